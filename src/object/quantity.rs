//! Kubernetes quantities: `500m`, `1.5Gi`, `1e3`.

use std::fmt;

/// An exact amount, kept in nano-units, and the notation it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    nanos: i128,
}

/// A text that is no quantity.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct QuantityError;

impl std::str::FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(_text: &str) -> Result<Self, Self::Err> {
        Err(QuantityError)
    }
}

impl Quantity {
    /// Whole units, rounded up.
    pub fn value(self) -> i64 {
        i64::try_from(self.nanos / 1_000_000_000).unwrap_or(i64::MAX)
    }

    /// Thousandths, rounded up.
    pub fn millis(self) -> i64 {
        i64::try_from(self.nanos / 1_000_000).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.nanos)
    }
}
