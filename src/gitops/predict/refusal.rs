//! Reads why the API server refuses something. Asks nobody.

use kube::core::Status;

use crate::client::Told;

/// One reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The field as the API server names it, where it does.
    pub field: Option<String>,
    /// What is wrong, complete.
    pub message: String,
}

impl Refusal {
    pub(super) fn of(message: impl Into<String>) -> Self {
        Self {
            field: None,
            message: message.into(),
        }
    }
}

/// Whether the answer to the preview of a creation is about the object itself, so that it could not be created once its
/// name is free. What is not known to be harmless counts: an object is never deleted for one that may be refused.
pub(super) fn is_refused_as_new(status: &Status, stands_in: bool) -> bool {
    match status.code {
        // The name is taken; by then everything else was found right.
        409 => false,
        // An object that goes makes room for the one that replaces it.
        403 if status.message.contains("exceeded quota") => false,
        // What the stand-in forbids, the object's own namespace may allow; classes are the same everywhere.
        403 if stands_in => status.message.contains("PriorityClass"),
        _ => true,
    }
}

fn causes(status: &Status) -> impl Iterator<Item = (&str, &str, &str)> {
    status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| (cause.field.as_str(), cause.reason.as_str(), cause.message.as_str()))
}

/// Whether the refusal is about changing a field that must not change, by what Kubernetes says in such cases.
pub(super) fn is_immutability(status: &Status) -> bool {
    let says = |text: &str| {
        [
            "immutable",
            "may not change",
            "may not be changed",
            "may not update",
            "may not be updated",
            "may not be removed",
        ]
        .iter()
        .any(|part| text.contains(part))
    };
    causes(status).any(|(_, reason, message)| reason == "FieldValueForbidden" || says(message)) || says(&status.message)
}

pub(super) fn immutable_fields(status: &Status) -> String {
    let mut fields: Vec<&str> = causes(status)
        .map(|(field, _, _)| field)
        .filter(|field| !field.is_empty())
        .collect();
    fields.dedup();
    match fields.is_empty() {
        true => "an immutable field changed".into(),
        false => format!("{} cannot change in place", fields.join(", ")),
    }
}

/// What an error answer says, a reason a field.
pub(in crate::gitops) fn refusals(status: &Status) -> Vec<Refusal> {
    let found: Vec<Refusal> = causes(status)
        .flat_map(|(field, _, message)| {
            let unknown = unknown_fields(message);
            // A message may quote whole structs over many lines; the first line says what is wrong.
            let message = message.lines().next().unwrap_or(message);
            match (unknown.is_empty(), field) {
                (false, _) => unknown,
                (true, "") => vec![Refusal::of(message)],
                (true, field) => vec![Refusal {
                    field: Some(field.to_owned()),
                    message: format!("{field}: {message}"),
                }],
            }
        })
        .collect();
    if !found.is_empty() {
        return found;
    }
    let message = Told(&kube::Error::Api(Box::new(status.clone()))).to_string();
    let unknown = unknown_fields(&message);
    match unknown.is_empty() {
        true => vec![mistyped(message)],
        false => unknown,
    }
}

/// Finds the field in `… json: cannot unmarshal number into field data.key of type string`.
fn mistyped(message: String) -> Refusal {
    let found = message.split_once("cannot unmarshal ").and_then(|(_, rest)| {
        let (value, rest) = rest.split_once(" into ")?;
        let (place, wanted) = rest.split_once(" of type ")?;
        let field = place.rsplit(' ').next()?;
        // Go's own decoder begins with the struct's name.
        let field = match field.split_once('.') {
            Some((first, rest)) if first.starts_with(char::is_uppercase) => rest,
            _ => field,
        };
        // As YAML calls them.
        let value = match value {
            "array" => "list",
            "object" => "mapping",
            value => value,
        };
        let hint = match (wanted, value) {
            (_, "list" | "mapping") => "",
            ("string", _) => "; put it in quotes",
            _ => "",
        };
        Some((
            field.to_owned(),
            format!("{field}: a {value} stands where a {wanted} belongs{hint}"),
        ))
    });
    let found = found.or_else(|| {
        let (_, rest) = message.split_once(" cannot be handled as a ")?;
        let (_, rest) = rest.split_once(": ")?;
        let (field, _) = rest.split_once(": ")?;
        let is_field = !field.contains(' ') && field != "json" && field.starts_with(char::is_lowercase);
        is_field.then(|| (field.to_owned(), rest.to_owned()))
    });
    match found {
        Some((field, message)) => Refusal {
            field: Some(field),
            message,
        },
        None => Refusal { field: None, message },
    }
}

/// The fields of `strict decoding error: unknown field "spec.x", unknown field "spec.y"`.
fn unknown_fields(message: &str) -> Vec<Refusal> {
    message
        .split("unknown field \"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(field, _)| Refusal {
            message: format!("unknown field {field}"),
            field: Some(field.to_owned()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(value: Value) -> Status {
        serde_json::from_value(value).expect("a status")
    }

    #[test]
    fn only_refused_changes_are_immutability() {
        for (name, causes, expected) in [
            (
                "a pod's env",
                json!([{"field": "spec", "reason": "FieldValueForbidden", "message": "Forbidden: pod updates may not change fields other than …\n core.PodSpec{"}]),
                true,
            ),
            (
                "a secret's type",
                json!([{"field": "type", "reason": "FieldValueInvalid", "message": "Invalid value: \"a\": field is immutable"}]),
                true,
            ),
            (
                "a bad name",
                json!([{"field": "spec.containers[0].name", "reason": "FieldValueInvalid", "message": "Invalid value: \"_\""}]),
                false,
            ),
        ] {
            let status = status(
                json!({"status": "Failure", "code": 422, "message": "is invalid", "details": {"causes": causes}}),
            );
            assert_eq!(is_immutability(&status), expected, "{name}");
            assert!(!refusals(&status)[0].message.contains('\n'), "{name}");
        }
    }

    #[test]
    fn nothing_is_deleted_for_an_object_that_may_be_refused() {
        for (name, code, message, stands_in, expected) in [
            ("the name is taken", 409, "pods \"a\" already exists", false, false),
            ("invalid", 422, "Pod \"a\" is invalid", false, true),
            (
                "no such account",
                403,
                "error looking up service account default/x",
                false,
                true,
            ),
            (
                "no such class",
                403,
                "no PriorityClass with name x was found",
                false,
                true,
            ),
            (
                "no such class, asked elsewhere",
                403,
                "no PriorityClass with name x was found",
                true,
                true,
            ),
            ("a rule of another namespace", 403, "violates PodSecurity", true, false),
            ("no room beside the old one", 403, "exceeded quota: pods", false, false),
            ("overloaded", 429, "too many requests", false, true),
            ("broken", 500, "internal error", false, true),
        ] {
            let status = Status::failure(message, "").with_code(code);
            assert_eq!(is_refused_as_new(&status, stands_in), expected, "{name}");
        }
    }

    #[test]
    fn mistyped_fields_are_taken_from_the_message() {
        for (message, field, expected) in [
            (
                "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into field data.key of type string",
                Some("data.key"),
                "data.key: a number stands where a string belongs; put it in quotes",
            ),
            (
                "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool",
                Some("immutable"),
                "immutable: a string stands where a bool belongs",
            ),
            (
                "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal array into field spec.containers[0].env[0].value of type string",
                Some("spec.containers[0].env[0].value"),
                "spec.containers[0].env[0].value: a list stands where a string belongs",
            ),
            (
                "Secret in version \"v1\" cannot be handled as a Secret: data.key: Invalid symbol 42, offset 0.",
                Some("data.key"),
                "data.key: Invalid symbol 42, offset 0.",
            ),
            ("something else", None, "something else"),
        ] {
            let refusal = mistyped(message.to_owned());
            assert_eq!((refusal.field.as_deref(), refusal.message.as_str()), (field, expected));
        }
    }

    #[test]
    fn unknown_fields_are_taken_from_the_message() {
        let status = status(
            json!({"status": "Failure", "code": 400, "message": "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.containers[0].imge\", unknown field \"spec.foo\""}),
        );
        let found = refusals(&status);
        assert_eq!(
            found.iter().map(|refusal| refusal.field.as_deref()).collect::<Vec<_>>(),
            [Some("spec.containers[0].imge"), Some("spec.foo")]
        );
    }
}
