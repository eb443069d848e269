//! Label and field selectors: parsing what a client sends and matching objects. Knows no kinds.

mod field;
mod label;
mod label_text;

pub use field::FieldSelector;
pub use label::{LabelSelector, Operator, Requirement};

/// A selector that cannot be read (HTTP 400).
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SelectorError(pub String);
