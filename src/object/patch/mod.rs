//! Applies patches to objects: JSON patch, merge patch, strategic merge patch. Never validates the outcome.

mod json;
#[cfg(test)]
mod json_tests;
mod strategic;
mod strategic_list;
#[cfg(test)]
mod strategic_tests;

use serde_json::Value;

use super::Kind;
use super::schema::types::TypeRef;

/// Why a patch does not apply.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatchError {
    /// The patch itself is malformed (HTTP 400).
    #[error("{0}")]
    Malformed(String),
    /// The patch is well formed but does not fit this object (HTTP 422).
    #[error("{0}")]
    Unprocessable(String),
}

/// RFC 6902.
///
/// # Errors
/// Where the patch is malformed, a path is missing or a test fails.
pub fn json(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    json::apply(object, patch)
}

/// RFC 7386.
///
/// # Errors
/// Where the patch is no JSON object, which would replace the whole object.
pub fn merge(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Unprocessable(format!(
            "a merge patch must be a JSON object, not {patch:.40}"
        )));
    }
    let mut merged = object.clone();
    merge_into(&mut merged, patch);
    Ok(merged)
}

fn merge_into(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge_into(target.entry(key.as_str()).or_insert(Value::Null), value);
        }
    }
}

/// Kubernetes' strategic merge: lists merge by each field's own key, with all directives.
///
/// # Errors
/// Where a directive is unknown or a list item lacks its merge key.
pub fn strategic(kind: &Kind, object: &Value, patch: &Value) -> Result<Value, PatchError> {
    strategic_of(TypeRef::of_kind(kind), object, patch)
}

/// Strategic merge of a value of that type; without a type lists are replaced.
pub(crate) fn strategic_of(of: Option<TypeRef>, object: &Value, patch: &Value) -> Result<Value, PatchError> {
    strategic::apply(of, object, patch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7386, appendix A, whose patch is an object.
    #[test]
    fn merge_patches_follow_the_rfc() {
        for (object, patch, wanted) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merge(&object, &patch), Ok(wanted), "{object} with {patch}");
        }
    }

    #[test]
    fn a_merge_patch_that_is_no_object_is_refused() {
        for patch in [json!([1]), json!("a"), json!(null), json!(1)] {
            assert!(
                matches!(merge(&json!({"a": 1}), &patch), Err(PatchError::Unprocessable(_))),
                "{patch}"
            );
        }
    }
}
