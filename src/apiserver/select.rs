//! Which stored objects a request's selectors match, reading no more of each than needed. Never talks to the store.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::ApiError;
use super::request::Query;
use crate::object::Kind;
use crate::object::selector::{FieldSelector, LabelSelector};
use crate::store::KeyValue;

/// The selectors of a request over one kind.
#[derive(Clone)]
pub struct Matcher {
    kind: &'static Kind,
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
}

/// As much of an object as its labels need.
#[derive(Deserialize)]
struct Head {
    metadata: HeadMeta,
}

#[derive(Deserialize)]
struct HeadMeta {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// The field that names one object.
const NAME: &str = "metadata.name";

impl Matcher {
    /// Reads `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// 400 where one cannot be read, or names a field that the kind cannot be selected by.
    pub fn read(kind: &'static Kind, query: &Query) -> Result<Self, ApiError> {
        let labels = query
            .get("labelSelector")
            .map(|text| {
                LabelSelector::parse(text)
                    .map_err(|error| ApiError::BadRequest(format!("unable to parse requirement: {error}")))
            })
            .transpose()?
            .filter(|selector| *selector != LabelSelector::default());
        let fields = query
            .get("fieldSelector")
            .map(|text| FieldSelector::parse(text).map_err(|error| ApiError::BadRequest(error.to_string())))
            .transpose()?
            .filter(|selector| !selector.terms.is_empty());
        if let Some(selector) = &fields {
            kind.check_field_selector(selector)
                .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        }
        Ok(Self { kind, labels, fields })
    }

    /// Matches the one object of that name.
    pub fn named(kind: &'static Kind, name: &str) -> Self {
        let fields = FieldSelector {
            terms: vec![(NAME.to_owned(), true, name.to_owned())],
        };
        Self {
            kind,
            labels: None,
            fields: Some(fields),
        }
    }

    /// Whether there is nothing to look at.
    pub fn is_everything(&self) -> bool {
        self.labels.is_none() && self.fields.is_none()
    }

    /// The one name that can match, where the field selector says so.
    pub fn name(&self) -> Option<&str> {
        let usable = |value: &str| !value.is_empty() && !value.contains('/');
        self.fields
            .as_ref()?
            .terms
            .iter()
            .find(|(path, equal, value)| path == NAME && *equal && usable(value))
            .map(|(_, _, value)| value.as_str())
    }

    /// Whether a stored object matches.
    ///
    /// # Errors
    /// 500 where it cannot be read.
    pub fn matches(&self, pair: &KeyValue) -> Result<bool, ApiError> {
        if self.is_everything() {
            return Ok(true);
        }
        let unreadable = |error| ApiError::Internal(format!("what is stored at {} cannot be read: {error}", pair.key));
        if let Some(selector) = &self.labels {
            let head: Head = serde_json::from_slice(&pair.value).map_err(unreadable)?;
            if !selector.matches(&head.metadata.labels.unwrap_or_default()) {
                return Ok(false);
            }
        }
        let Some(selector) = &self.fields else { return Ok(true) };
        let object = self.kind.read_selectable(&pair.value).map_err(unreadable)?;
        Ok(selector.matches(&self.kind.selectable_fields(&object)))
    }
}
