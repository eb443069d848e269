//! Fields of an object that its manifest sets at first and then leaves to others, as an annotation says.

use serde_json::Value;

/// The annotation with the fields, as JSON pointers (RFC 6901) between commas or spaces.
pub const IGNORE: &str = "reconcile.dev/ignore";

/// What makes an object the one it is, and what says to whom it belongs: nobody else's.
const KEPT: [&str; 5] = [
    "apiVersion",
    "kind",
    "metadata/name",
    "metadata/namespace",
    "metadata/labels",
];

/// The fields that an object's annotation cedes; or what is wrong with it.
pub fn fields(object: &Value) -> Result<Vec<String>, String> {
    let Some(text) = object["metadata"]["annotations"][IGNORE].as_str() else {
        return Ok(Vec::new());
    };
    let pointers = text.split([',', ' ', '\n', '\t']).filter(|pointer| !pointer.is_empty());
    let checked = pointers.map(|pointer| {
        let wrong = |what: &str| Err(format!("the annotation {IGNORE} {what}: {pointer:?}"));
        let Some(path) = pointer.strip_prefix('/').filter(|path| !path.is_empty()) else {
            return wrong("needs JSON pointers such as /data/key");
        };
        // What holds such a field is as much as the field.
        let holds = |kept: &&str| *kept == path || kept.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        match KEPT.iter().any(holds) {
            true => wrong("names what cannot be left to others"),
            false => Ok(pointer.to_owned()),
        }
    });
    checked.collect()
}

/// The manifest with its ceded fields as they live; all of it as it is where nothing lives yet.
pub fn as_they_live(manifest: &mut Value, live: &Value) {
    for pointer in fields(manifest).unwrap_or_default() {
        let Some((parent, field)) = pointer.rsplit_once('/') else {
            continue;
        };
        let field = field.replace("~1", "/").replace("~0", "~");
        let lives = live.pointer(&pointer).cloned();
        match (manifest.pointer_mut(parent), lives) {
            (Some(Value::Object(fields)), Some(lives)) if fields.contains_key(&field) => {
                fields.insert(field, lives);
            }
            (Some(Value::Object(fields)), None) => {
                fields.remove(&field);
            }
            (Some(Value::Array(items)), Some(lives)) => {
                if let Some(item) = field.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                    *item = lives;
                }
            }
            // What the manifest does not set is others' already.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(pointers: &str) -> Value {
        json!({
            "metadata": {"name": "a", "annotations": {IGNORE: pointers}},
            "data": {"key": "ours", "other": "ours", "a/b": "ours"},
            "spec": {"containers": [{"name": "main", "image": "ours"}]},
        })
    }

    #[test]
    fn ceded_fields_are_as_they_live() {
        let live = json!({
            "data": {"key": "theirs", "other": "theirs", "a/b": "theirs", "more": "theirs"},
            "spec": {"containers": [{"name": "main", "image": "theirs"}]},
        });
        for (pointers, changed) in [
            ("/data/key", &[("/data/key", "theirs"), ("/data/other", "ours")][..]),
            (
                "/data/key, /data/a~1b",
                &[("/data/a~1b", "theirs"), ("/data/other", "ours")],
            ),
            ("/spec/containers/0/image", &[("/spec/containers/0/image", "theirs")]),
            ("/data", &[("/data/more", "theirs")]),
            ("/spec/none/such", &[("/data/key", "ours")]),
        ] {
            let mut manifest = manifest(pointers);
            as_they_live(&mut manifest, &live);
            for (pointer, value) in changed {
                assert_eq!(manifest.pointer(pointer), Some(&json!(value)), "{pointers} {pointer}");
            }
        }
        let mut more = manifest("/data/more");
        as_they_live(&mut more, &live);
        assert_eq!(
            more["data"].get("more"),
            None,
            "what the manifest does not set stays others'"
        );
        let mut gone = manifest("/data/key");
        as_they_live(&mut gone, &json!({"data": {}}));
        assert_eq!(gone["data"].get("key"), None, "what others removed stays away");
    }

    #[test]
    fn mistakes_are_named() {
        for (pointers, part) in [
            ("data/key", "needs JSON pointers"),
            ("/", "needs JSON pointers"),
            (
                "/data/key,/metadata/name",
                "cannot be left to others: \"/metadata/name\"",
            ),
            ("/metadata", "cannot be left to others"),
            ("/metadata/labels", "cannot be left to others"),
            ("/kind", "cannot be left to others"),
        ] {
            let error = fields(&manifest(pointers)).expect_err(pointers);
            assert!(error.contains(part), "{pointers}: {error}");
        }
        assert_eq!(fields(&json!({"metadata": {}})), Ok(Vec::new()));
        assert!(fields(&manifest("/metadata/labels/tier")).is_ok());
    }
}
