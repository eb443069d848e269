//! Names a field of an object and what is wrong with it, as Kubernetes' field errors do.

use std::fmt;

use serde::Serialize;

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

impl FieldError {
    fn new(field: &Path, kind: FieldErrorKind, message: String) -> Self {
        Self {
            field: field.0.clone(),
            kind,
            message,
        }
    }

    /// It must be there; `why` may be empty.
    pub(crate) fn required(field: &Path, why: &str) -> Self {
        Self::new(field, FieldErrorKind::Required, with_reason("Required value", why))
    }

    /// Its value is wrong.
    pub(crate) fn invalid(field: &Path, value: impl Serialize, why: impl AsRef<str>) -> Self {
        Self::new(
            field,
            FieldErrorKind::Invalid,
            with_reason(&format!("Invalid value: {}", show(value)), why.as_ref()),
        )
    }

    /// It is none of `supported`.
    pub(crate) fn not_supported(field: &Path, value: impl Serialize, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(show).collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            show(value),
            list.join(", ")
        );
        Self::new(field, FieldErrorKind::NotSupported, message)
    }

    /// It was there before.
    pub(crate) fn duplicate(field: &Path, value: impl Serialize) -> Self {
        Self::new(
            field,
            FieldErrorKind::Duplicate,
            format!("Duplicate value: {}", show(value)),
        )
    }

    /// It may not be set so.
    pub(crate) fn forbidden(field: &Path, why: &str) -> Self {
        Self::new(field, FieldErrorKind::Forbidden, with_reason("Forbidden", why))
    }

    /// It has more than `max` bytes.
    pub(crate) fn too_long(field: &Path, max: usize) -> Self {
        Self::new(
            field,
            FieldErrorKind::TooLong,
            format!("Too long: may not be more than {max} bytes"),
        )
    }

    /// What it names is not there.
    pub(crate) fn not_found(field: &Path, value: impl Serialize) -> Self {
        Self::new(field, FieldErrorKind::NotFound, format!("Not found: {}", show(value)))
    }
}

fn with_reason(what: &str, why: &str) -> String {
    if why.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {why}")
    }
}

/// A value as a person reads it in an error: JSON.
fn show(value: impl Serialize) -> String {
    serde_json::to_string(&value).unwrap_or_else(|_| "<unprintable>".to_owned())
}

/// Where a field is, as Kubernetes writes it.
#[derive(Clone, Debug)]
pub(crate) struct Path(String);

impl Path {
    /// A field of the object itself.
    pub(crate) fn new(field: &str) -> Self {
        Self(field.to_owned())
    }

    /// A field of this one; dots in `name` name a field further down.
    #[must_use]
    pub(crate) fn child(&self, name: &str) -> Self {
        Self(format!("{}.{name}", self.0))
    }

    /// An item of this list.
    #[must_use]
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// An entry of this map.
    #[must_use]
    pub(crate) fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}
