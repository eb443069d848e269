//! Field paths as API servers write them: `spec.containers[0].image`, `.spec.ports[name="web"].port`, `data[a.b]`.

use serde_json::Value;

use super::document::Segment;

/// Reads a field path; list items given by key are looked up in `object`.
pub(super) fn parse(path: &str, object: &Value) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut here = Some(object);
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        let segment;
        if let Some(bracket) = rest.strip_prefix('[') {
            let end = bracket.find(']').unwrap_or(bracket.len());
            segment = bracketed(&bracket[..end], here);
            rest = bracket.get(end + 1..).unwrap_or_default();
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            segment = Segment::Key(rest[..end].to_owned());
            rest = &rest[end..];
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        here = here.and_then(|value| match &segment {
            Segment::Key(key) => value.get(key),
            Segment::Index(index) => value.get(index),
        });
        segments.push(segment);
    }
    segments
}

fn bracketed(inside: &str, here: Option<&Value>) -> Segment {
    if let Ok(index) = inside.parse() {
        return Segment::Index(index);
    }
    let wanted: Vec<(&str, &str)> = inside
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim().trim_matches('"')))
        .collect();
    let item = here
        .and_then(Value::as_array)
        .filter(|_| !wanted.is_empty())
        .and_then(|items| {
            items.iter().position(|item| {
                wanted.iter().all(|(key, value)| match item.get(key) {
                    Some(Value::String(text)) => text == value,
                    Some(other) => other.to_string().as_str() == *value,
                    None => false,
                })
            })
        });
    item.map_or_else(|| Segment::Key(inside.trim_matches('"').to_owned()), Segment::Index)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_api_servers_are_read() {
        let object = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 80}]}]}});
        let show = |path: &str| {
            parse(path, &object)
                .into_iter()
                .map(|segment| match segment {
                    Segment::Key(key) => key,
                    Segment::Index(index) => index.to_string(),
                })
                .collect::<Vec<_>>()
                .join("/")
        };
        for (path, expected) in [
            ("spec.containers[1].image", "spec/containers/1/image"),
            (
                ".spec.containers[name=\"b\"].ports[containerPort=80].name",
                "spec/containers/1/ports/0/name",
            ),
            ("data[a.b]", "data/a.b"),
            (
                "metadata.annotations[example.com/x]",
                "metadata/annotations/example.com/x",
            ),
            ("spec.containers[name=\"zzz\"]", "spec/containers/name=\"zzz"),
            ("", ""),
            ("spec[", "spec/"),
        ] {
            assert_eq!(show(path), expected, "{path}");
        }
    }
}
