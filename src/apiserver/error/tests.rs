//! The texts and codes that clients see.

use super::*;
use crate::object::FieldErrorKind;

fn resource() -> Resource {
    Resource {
        group: String::new(),
        plural: "pods".into(),
    }
}

#[test]
fn texts_are_those_of_kubernetes() {
    let cases = [
        (
            ApiError::NotFound {
                resource: resource(),
                name: "web".into(),
            },
            404,
            "NotFound",
            "pods \"web\" not found",
        ),
        (
            ApiError::NotFound {
                resource: Resource {
                    group: "policy".into(),
                    plural: "poddisruptionbudgets".into(),
                },
                name: "web".into(),
            },
            404,
            "NotFound",
            "poddisruptionbudgets.policy \"web\" not found",
        ),
        (
            ApiError::AlreadyExists {
                resource: resource(),
                name: "web".into(),
            },
            409,
            "AlreadyExists",
            "pods \"web\" already exists",
        ),
        (
            ApiError::Forbidden {
                resource: resource(),
                name: "p".into(),
                reason: "no".into(),
                cause: None,
            },
            403,
            "Forbidden",
            "pods \"p\" is forbidden: no",
        ),
        (
            ApiError::FutureVersion {
                requested: 9,
                current: 5,
            },
            504,
            "Timeout",
            "Too large resource version: 9, current: 5",
        ),
    ];
    for (error, code, reason, message) in cases {
        let status = error.status();
        assert_eq!(
            (&status["code"], &status["reason"], &status["message"]),
            (&json!(code), &json!(reason), &json!(message))
        );
    }
}

#[test]
fn all_errors_of_an_object_come_at_once_and_repeated_texts_are_said_once() {
    let wrong = |field: &str| FieldError {
        field: field.into(),
        kind: FieldErrorKind::Required,
        message: "Required value".into(),
    };
    let error = ApiError::Invalid {
        group: "batch".into(),
        kind: "Job".into(),
        name: "j".into(),
        errors: vec![wrong("spec.a"), wrong("spec.b"), wrong("spec.a")],
    };
    let status = error.status();
    assert_eq!(
        status["message"],
        "Job.batch \"j\" is invalid: [spec.a: Required value, spec.b: Required value]"
    );
    assert_eq!(status["details"]["causes"].as_array().map(Vec::len), Some(3));
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueRequired");
}
