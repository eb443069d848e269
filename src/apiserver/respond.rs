//! Makes answers in the shape a client accepts: objects, lists, tables, metadata only. Never reads the store.

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::ApiError;
use super::negotiate::{Include, Shape};
use super::record;
use super::registry::list::Listing;
use crate::object::{Kind, table};
use crate::store::{KeyValue, Revision};

/// How a request wants objects shown.
#[derive(Clone, Copy)]
pub struct View {
    /// Of which kind they are.
    pub kind: &'static Kind,
    /// The shape of the answer.
    pub shape: Shape,
    /// What a table's rows carry.
    pub include: Include,
}

/// A JSON answer.
pub fn json_bytes(status: StatusCode, bytes: impl Into<Body>) -> Response {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A JSON answer of a value.
pub fn json_value(status: StatusCode, value: &Value) -> Response {
    json_bytes(status, value.to_string())
}

/// Adds `Warning` headers, as `kubectl` prints them.
pub fn warn(response: &mut Response, warnings: &[String]) {
    for warning in warnings {
        let escaped = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{escaped}\"").as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

impl View {
    /// The object as the client wants it.
    pub fn object(&self, object: &Value) -> Value {
        match self.shape {
            Shape::Object => object.clone(),
            Shape::Partial(version) => partial(object, version),
            Shape::Table(version) => {
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let row = self.row(object, version, Timestamp::now());
                json!({
                    "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata,
                    "columnDefinitions": self.columns(), "rows": [row],
                })
            }
        }
    }

    /// A stored object as the client wants it, with that resourceVersion.
    ///
    /// # Errors
    /// 500 where it cannot be read.
    pub fn stored(&self, pair: &KeyValue, revision: Revision, with_columns: bool) -> Result<Bytes, ApiError> {
        if self.shape == Shape::Object {
            return record::splice_revision(pair, revision);
        }
        let mut value = self.object(&record::decode_at(pair, revision)?.object);
        if !with_columns && let Some(table) = value.as_object_mut() {
            table.remove("columnDefinitions");
        }
        Ok(Bytes::from(value.to_string()))
    }

    /// A list as the client wants it.
    ///
    /// # Errors
    /// 500 where an item cannot be read.
    pub fn list(&self, listing: &Listing) -> Result<Bytes, ApiError> {
        let mut metadata = json!({"resourceVersion": listing.revision.to_string()});
        if let Some(token) = &listing.continue_token {
            metadata["continue"] = json!(token);
            if let Some(remaining) = listing.remaining {
                metadata["remainingItemCount"] = json!(remaining);
            }
        }
        let size: usize = listing.items.iter().map(|pair| pair.value.len() + 64).sum();
        let mut bytes = BytesMut::with_capacity(size + 512);
        let (head, items) = match self.shape {
            Shape::Object => (
                json!({"kind": format!("{}List", self.kind.kind), "apiVersion": self.kind.api_version()}),
                "items",
            ),
            Shape::Partial(version) => (
                json!({"kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}")}),
                "items",
            ),
            Shape::Table(version) => (
                json!({"kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"), "columnDefinitions": self.columns()}),
                "rows",
            ),
        };
        let head = head.to_string();
        bytes.put_slice(&head.as_bytes()[..head.len() - 1]);
        bytes.put_slice(format!(",\"metadata\":{metadata},\"{items}\":[").as_bytes());
        let now = Timestamp::now();
        for (index, pair) in listing.items.iter().enumerate() {
            if index > 0 {
                bytes.put_u8(b',');
            }
            self.put_item(&mut bytes, pair, now)?;
        }
        bytes.put_slice(b"]}");
        Ok(bytes.freeze())
    }

    fn put_item(&self, bytes: &mut BytesMut, pair: &KeyValue, now: Timestamp) -> Result<(), ApiError> {
        let item = match self.shape {
            Shape::Object => return record::put_spliced(bytes, pair, pair.mod_revision),
            Shape::Partial(version) => partial(&record::decode(pair)?.object, version),
            Shape::Table(version) => self.row(&record::decode(pair)?.object, version, now),
        };
        serde_json::to_writer(bytes.writer(), &item)
            .map_err(|error| ApiError::Internal(format!("an item cannot be written: {error}")))
    }

    fn columns(&self) -> Value {
        table::columns(self.kind)
            .iter()
            .map(|column| {
                json!({
                    "name": column.name, "type": column.kind, "format": column.format,
                    "description": column.description, "priority": column.priority,
                })
            })
            .collect()
    }

    fn row(&self, object: &Value, version: &str, now: Timestamp) -> Value {
        let carried = match self.include {
            Include::None => Value::Null,
            Include::Metadata => partial(object, version),
            Include::Object => object.clone(),
        };
        json!({"cells": table::row(self.kind, object, now), "object": carried})
    }
}

/// The object's metadata alone.
fn partial(object: &Value, version: &str) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": object["metadata"]})
}
