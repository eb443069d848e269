//! Names a field of an object and what is wrong with it, as Kubernetes' field errors do.

use std::fmt;

/// What is wrong with a field; each is one `reason` of a Status cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// It must be there and is not.
    Required,
    /// Its value is malformed or out of range.
    Invalid,
    /// It is not one of the values allowed.
    NotSupported,
    /// It repeats what must be unique.
    Duplicate,
    /// It may not be set, or not here, or not changed.
    Forbidden,
    /// It is too long.
    TooLong,
    /// There are too many of them.
    TooMany,
    /// It names something that does not exist.
    NotFound,
}

impl FieldErrorKind {
    /// The `reason` of the Status cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotFound => "FieldValueNotFound",
        }
    }
}

/// One thing wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path as Kubernetes writes it, e.g. `spec.containers[0].image`.
    pub field: String,
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// What a person reads, complete: `Invalid value: "x": must be …`.
    pub message: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}
