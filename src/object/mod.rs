//! What an object is: kinds, defaults, validation, selectors, patches, tables. Pure: no I/O, no clock.

mod codec;
pub mod disruption;
pub mod field_error;
pub(crate) mod format;
pub mod kind;
mod kinds;
pub mod managed;
mod metadata;
pub mod node_selector;
pub mod patch;
pub mod prepull;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod source;
pub mod table;
pub mod taint;
pub mod volume;

pub use field_error::{FieldError, FieldErrorKind};
pub use kind::Kind;
pub use kinds::{node, pod};
