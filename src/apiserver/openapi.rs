//! Serves the OpenAPI documents, made once from the schemas of `object`.

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::discovery::group_versions;
use super::error::ApiError;
use super::negotiate::accepted;
use super::respond;
use crate::object::schema;

/// A document as it is sent, and what names its content.
struct Document {
    path: String,
    bytes: Bytes,
    hash: String,
}

impl Document {
    fn new(path: String, bytes: Bytes) -> Self {
        let hash = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        Self { path, bytes, hash }
    }

    fn answer(&self, headers: &HeaderMap, media_type: &'static str) -> Response {
        let tag = format!("\"{}\"", self.hash);
        let known = headers
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains(&tag));
        let mut response = if known {
            respond::json_bytes(StatusCode::NOT_MODIFIED, Bytes::new())
        } else {
            respond::json_bytes(StatusCode::OK, self.bytes.clone())
        };
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

static V3: LazyLock<Vec<Document>> = LazyLock::new(|| {
    group_versions()
        .into_iter()
        .filter_map(|(group, version)| {
            let document = schema::v3(group, version);
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            (!document.is_null()).then(|| Document::new(path, Bytes::from(document.to_string())))
        })
        .collect()
});

static V2_JSON: LazyLock<Document> =
    LazyLock::new(|| Document::new(String::new(), Bytes::from(schema::v2().to_string())));

static V2_PROTOBUF: LazyLock<Document> =
    LazyLock::new(|| Document::new(String::new(), Bytes::from(schema::v2_protobuf())));

/// `/openapi/v3`: which documents there are.
///
/// # Errors
/// None.
pub fn v3_index() -> Result<Response, ApiError> {
    let paths: Map<String, Value> = V3
        .iter()
        .map(|document| {
            let url = format!("/openapi/v3/{}?hash={}", document.path, document.hash);
            (document.path.clone(), json!({"serverRelativeURL": url}))
        })
        .collect();
    Ok(respond::json_value(StatusCode::OK, &json!({"paths": paths})))
}

/// `/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`.
///
/// # Errors
/// 404.
pub fn v3(headers: &HeaderMap, segments: &[&str]) -> Result<Response, ApiError> {
    let path = segments.join("/");
    let document = V3
        .iter()
        .find(|document| document.path == path)
        .ok_or(ApiError::NoSuchPath)?;
    Ok(document.answer(headers, "application/json"))
}

/// `/openapi/v2`: protobuf for clients that ask for it (older `kubectl` reads nothing else), else JSON.
///
/// # Errors
/// 406.
pub fn v2(headers: &HeaderMap) -> Result<Response, ApiError> {
    for clause in accepted(headers) {
        if clause.media == schema::V2_PROTOBUF_ACCEPT || clause.media == schema::V2_PROTOBUF_TYPE {
            return Ok(V2_PROTOBUF.answer(headers, schema::V2_PROTOBUF_TYPE));
        }
        if clause.takes_json() {
            return Ok(V2_JSON.answer(headers, "application/json"));
        }
    }
    Err(ApiError::NotAcceptable)
}
