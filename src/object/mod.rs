//! What an object is: kinds, defaults, validation, selectors, patches, tables. Pure: no I/O, no clock.

pub mod field_error;
pub mod kind;
pub mod managed;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod table;
pub mod taint;

pub use field_error::{FieldError, FieldErrorKind};
pub use kind::Kind;
