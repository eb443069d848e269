//! The columns and cells that `kubectl get` prints.

use jiff::Timestamp;
use serde_json::Value;

use super::Kind;

/// A column of a kind's table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading, e.g. `Ready`.
    pub name: &'static str,
    /// `string`, `integer`, `date`.
    pub kind: &'static str,
    /// `name` for the name column, else empty.
    pub format: &'static str,
    /// What it tells.
    pub description: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
}

/// The kind's columns.
pub fn columns(_kind: &Kind) -> &'static [Column] {
    &[]
}

/// An object's cells, one a column.
pub fn row(_kind: &Kind, _object: &Value, _now: Timestamp) -> Vec<Value> {
    Vec::new()
}
