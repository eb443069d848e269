//! Label and field selectors: parsing what a client sends and matching objects.

use std::collections::BTreeMap;

/// A label selector: all requirements must hold. Empty matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {}

/// A field selector: all `path=value` / `path!=value` terms must hold. Empty matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// Path, whether it must equal, value.
    pub terms: Vec<(String, bool, String)>,
}

/// A selector that cannot be read (HTTP 400).
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SelectorError(pub String);

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    ///
    /// # Errors
    /// Where the text is no selector.
    pub fn parse(_text: &str) -> Result<Self, SelectorError> {
        Ok(Self {})
    }

    /// Whether these labels satisfy it.
    pub fn matches(&self, _labels: &BTreeMap<String, String>) -> bool {
        true
    }
}

impl FieldSelector {
    /// Reads `metadata.name=a,spec.nodeName!=b`.
    ///
    /// # Errors
    /// Where the text is no selector.
    pub fn parse(_text: &str) -> Result<Self, SelectorError> {
        Ok(Self::default())
    }

    /// Whether these fields satisfy it.
    pub fn matches(&self, fields: &[(&'static str, String)]) -> bool {
        self.terms.iter().all(|(path, equal, value)| {
            fields
                .iter()
                .any(|(name, actual)| name == path && (actual == value) == *equal)
        })
    }
}
