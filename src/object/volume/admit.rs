//! What new volumes and claims are given: the finalizer that protects them, and the default class. The API server calls it
//! on create, between `default` and `prepare_create`.

use serde_json::{Value, json};

use super::OLD_CLASS;

/// Adds the finalizer that keeps the object while it is in use.
pub fn protect(object: &mut Value, finalizer: &str) {
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    let Some(finalizers) = finalizers.as_array_mut() else {
        return;
    };
    if !finalizers.iter().any(|known| known == finalizer) {
        finalizers.push(json!(finalizer));
    }
}

/// Whether the claim leaves its class to the cluster; one that asks for none does not.
pub fn names_no_class(claim: &Value) -> bool {
    let named = claim.pointer("/spec/storageClassName").is_some_and(Value::is_string);
    let old = &claim["metadata"]["annotations"][OLD_CLASS];
    !named && !old.is_string()
}

/// Gives the claim the cluster's default class, if there is one.
pub fn give_class(claim: &mut Value, class: Option<&str>) {
    if let (Some(class), Some(spec)) = (class, claim.get_mut("spec").and_then(Value::as_object_mut)) {
        spec.insert("storageClassName".to_owned(), json!(class));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_protected_once() {
        let mut object = json!({"metadata": {"finalizers": ["mine/too"]}});
        protect(&mut object, "a/b");
        protect(&mut object, "a/b");
        assert_eq!(object["metadata"]["finalizers"], json!(["mine/too", "a/b"]));
    }

    #[test]
    fn only_a_claim_that_names_no_class_is_given_one() {
        for (name, claim, wanted) in [
            ("says nothing", json!({"spec": {}}), true),
            ("of none", json!({"spec": {"storageClassName": ""}}), false),
            ("of one", json!({"spec": {"storageClassName": "a"}}), false),
            (
                "as of old",
                json!({"metadata": {"annotations": {OLD_CLASS: ""}}, "spec": {}}),
                false,
            ),
        ] {
            assert_eq!(names_no_class(&claim), wanted, "{name}");
        }
        let mut claim = json!({"spec": {}});
        give_class(&mut claim, None);
        assert_eq!(claim, json!({"spec": {}}));
        give_class(&mut claim, Some("a"));
        assert_eq!(claim, json!({"spec": {"storageClassName": "a"}}));
    }
}
