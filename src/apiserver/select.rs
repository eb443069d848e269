//! Which stored objects a request's selectors match, reading no more of each than needed. Never talks to the store.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

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
    /// Whether the field selector needs more than names.
    whole: bool,
}

/// As much of an object as labels and names need.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    metadata: HeadMeta<'a>,
}

#[derive(Deserialize)]
struct HeadMeta<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

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
        let mut whole = false;
        if let Some(selector) = &fields {
            kind.check_field_selector(selector)
                .map_err(|error| ApiError::BadRequest(error.to_string()))?;
            whole = selector
                .terms
                .iter()
                .any(|(path, ..)| path != NAME && path != NAMESPACE);
        }
        Ok(Self {
            kind,
            labels,
            fields,
            whole,
        })
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
            whole: false,
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
        let head: Head<'_> = serde_json::from_slice(&pair.value).map_err(unreadable)?;
        if let Some(selector) = &self.labels
            && !selector.matches(&head.metadata.labels.unwrap_or_default())
        {
            return Ok(false);
        }
        let Some(selector) = &self.fields else { return Ok(true) };
        if self.whole {
            let object: Value = serde_json::from_slice(&pair.value).map_err(unreadable)?;
            return Ok(selector.matches(&self.kind.selectable_fields(&object)));
        }
        Ok(selector.matches(&[
            (NAME, head.metadata.name.into_owned()),
            (NAMESPACE, head.metadata.namespace.into_owned()),
        ]))
    }
}
