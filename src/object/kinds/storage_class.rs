//! Storage classes: who makes volumes, and when a claim gets one. Claims rely on what they say, so it hardly changes.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::TopologySelectorTerm;
use k8s_openapi::api::storage::v1::StorageClass;

use super::Strategy;
use crate::object::field_error::{FieldError, Path};
use crate::object::format;
use crate::object::kind::Part;
use crate::object::metadata::immutable;
use crate::object::table::{self, Table};

const RECLAIM_POLICIES: [&str; 2] = ["Delete", "Retain"];
const BINDING_MODES: [&str; 2] = ["Immediate", "WaitForFirstConsumer"];
/// The most parameters, as in Kubernetes.
const PARAMETERS_MAX: usize = 512;
/// The most bytes that all parameters have together, as in Kubernetes.
const PARAMETERS_MAX_BYTES: usize = 256 * 1024;

/// The rules of storage classes.
pub(in crate::object) struct StorageClasses;

impl Strategy for StorageClasses {
    const TABLE: Table = table::STORAGE_CLASSES;

    type Object = StorageClass;

    fn default(class: &mut StorageClass) {
        class.reclaim_policy.get_or_insert_with(|| "Delete".to_owned());
        class.volume_binding_mode.get_or_insert_with(|| "Immediate".to_owned());
    }

    fn validate_create(class: &StorageClass, errors: &mut Vec<FieldError>) {
        validate_provisioner(&class.provisioner, &Path::new("provisioner"), errors);
        validate_parameters(class, &Path::new("parameters"), errors);
        for (value, supported, field) in [
            (&class.reclaim_policy, &RECLAIM_POLICIES, "reclaimPolicy"),
            (&class.volume_binding_mode, &BINDING_MODES, "volumeBindingMode"),
        ] {
            let value = value.as_deref().unwrap_or_default();
            if !supported.contains(&value) {
                errors.push(FieldError::not_supported(&Path::new(field), value, supported));
            }
        }
        let terms = class.allowed_topologies.as_deref().unwrap_or_default();
        for (index, term) in terms.iter().enumerate() {
            let at = Path::new("allowedTopologies").index(index);
            validate_topology(term, &at, errors);
            if terms[..index].contains(term) {
                errors.push(FieldError::duplicate(&at.child("matchLabelExpressions"), ""));
            }
        }
    }

    fn validate_update(class: &StorageClass, old: &StorageClass, _part: Part, errors: &mut Vec<FieldError>) {
        for (changed, field) in [
            (class.parameters != old.parameters, "parameters"),
            (class.provisioner != old.provisioner, "provisioner"),
            (class.reclaim_policy != old.reclaim_policy, "reclaimPolicy"),
        ] {
            if changed {
                let why = format!("updates to {field} are forbidden.");
                errors.push(FieldError::forbidden(&Path::new(field), &why));
            }
        }
        let field = Path::new("volumeBindingMode");
        immutable(&class.volume_binding_mode, &old.volume_binding_mode, &field, errors);
    }
}

fn validate_provisioner(provisioner: &str, at: &Path, errors: &mut Vec<FieldError>) {
    if provisioner.is_empty() {
        return errors.push(FieldError::required(at, ""));
    }
    let problems = format::qualified_name(&provisioner.to_lowercase()).into_iter();
    errors.extend(problems.map(|why| FieldError::invalid(at, provisioner, why)));
}

fn validate_parameters(class: &StorageClass, at: &Path, errors: &mut Vec<FieldError>) {
    let parameters = class.parameters.iter().flatten();
    if parameters.clone().count() > PARAMETERS_MAX {
        errors.push(FieldError::too_long(at, PARAMETERS_MAX));
    }
    if parameters.clone().any(|(key, _)| key.is_empty()) {
        errors.push(FieldError::invalid(at, "", "field can not be empty."));
    }
    if parameters.map(|(key, value)| key.len() + value.len()).sum::<usize>() > PARAMETERS_MAX_BYTES {
        errors.push(FieldError::too_long(at, PARAMETERS_MAX_BYTES));
    }
}

fn validate_topology(term: &TopologySelectorTerm, at: &Path, errors: &mut Vec<FieldError>) {
    let mut keys = BTreeSet::new();
    for (index, expression) in term.match_label_expressions.iter().flatten().enumerate() {
        let at = at.child("matchLabelExpressions").index(index);
        let values_at = at.child("values");
        if expression.values.is_empty() {
            errors.push(FieldError::required(&values_at, ""));
        }
        let mut values = BTreeSet::new();
        for (index, value) in expression.values.iter().enumerate() {
            if !values.insert(value) {
                errors.push(FieldError::duplicate(&values_at.index(index), value));
            }
        }
        let key = &expression.key;
        let problems = format::qualified_name(key).into_iter();
        errors.extend(problems.map(|why| FieldError::invalid(&at.child("key"), key, why)));
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(&at.child("key"), key));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::Kind;

    fn class(fields: Value) -> Value {
        let kind = kind();
        let mut body = json!({"metadata": {"name": "fast"}, "provisioner": "kubernetes.io/no-provisioner"});
        for (key, value) in fields.as_object().expect("fields") {
            body[key] = value.clone();
        }
        let mut object = kind.decode(body).expect("it can be read").object;
        kind.default(&mut object);
        kind.prepare_create(&mut object);
        object
    }

    fn kind() -> &'static Kind {
        Kind::find("storage.k8s.io", "v1", "storageclasses").expect("it is served")
    }

    fn told(errors: &[FieldError]) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_class_may_say() {
        let key = |key: &str, values: Value| json!([{"matchLabelExpressions": [{"key": key, "values": values}]}]);
        for (name, fields, wanted) in [
            ("nothing", json!({}), vec![]),
            (
                "nobody",
                json!({"provisioner": ""}),
                vec!["provisioner: Required value"],
            ),
            (
                "recycling",
                json!({"reclaimPolicy": "Recycle"}),
                vec![r#"reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain""#],
            ),
            (
                "sometime",
                json!({"volumeBindingMode": "Later"}),
                vec![
                    r#"volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer""#,
                ],
            ),
            (
                "somewhere",
                json!({"allowedTopologies": key("zone", json!(["a", "b"]))}),
                vec![],
            ),
            (
                "nowhere",
                json!({"allowedTopologies": key("zone", json!([]))}),
                vec!["allowedTopologies[0].matchLabelExpressions[0].values: Required value"],
            ),
            (
                "twice",
                json!({"allowedTopologies": key("zone", json!(["a", "a"]))}),
                vec![r#"allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a""#],
            ),
            (
                "the same again",
                json!({"allowedTopologies": [key("zone", json!(["a"]))[0], key("zone", json!(["a"]))[0]]}),
                vec![r#"allowedTopologies[1].matchLabelExpressions: Duplicate value: """#],
            ),
        ] {
            assert_eq!(told(&kind().validate_create(&class(fields))), wanted, "{name}");
        }
    }

    #[test]
    fn what_claims_rely_on_stays() {
        for (name, fields, wanted) in [
            ("nothing", json!({}), vec![]),
            ("growth", json!({"allowVolumeExpansion": true}), vec![]),
            ("options", json!({"mountOptions": ["ro"]}), vec![]),
            (
                "parameters",
                json!({"parameters": {"a": "b"}}),
                vec!["parameters: Forbidden: updates to parameters are forbidden."],
            ),
            (
                "its maker",
                json!({"provisioner": "other"}),
                vec!["provisioner: Forbidden: updates to provisioner are forbidden."],
            ),
            (
                "its end",
                json!({"reclaimPolicy": "Retain"}),
                vec!["reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."],
            ),
            (
                "its time",
                json!({"volumeBindingMode": "WaitForFirstConsumer"}),
                vec![r#"volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable"#],
            ),
        ] {
            let errors = kind().validate_update(&class(fields), &class(json!({})), Part::Main);
            assert_eq!(told(&errors), wanted, "{name}");
        }
    }

    #[test]
    fn what_a_class_leaves_out_is_filled_in() {
        let class = class(json!({}));
        assert_eq!(class["reclaimPolicy"], "Delete");
        assert_eq!(class["volumeBindingMode"], "Immediate");
    }
}
