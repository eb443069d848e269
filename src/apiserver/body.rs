//! Reads request bodies: JSON or YAML, bounded in bytes and in what they expand to, repeated fields noticed.
//! Never knows what an object is.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::error::ApiError;
use super::loose::{self, Loose};
use super::protobuf::{self, ProtobufError};

/// The longest body read; Kubernetes' own limit, well above what etcd takes as one value (1.5 MB).
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What the text of a 415 names.
const ACCEPTED: &str = "application/json, application/yaml";

/// The notation of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// JSON.
    Json,
    /// YAML, one document.
    Yaml,
    /// Kubernetes' protobuf, of the few types that are read in it.
    Protobuf,
}

/// The media type of a body without its parameters, lower case; empty where none is named.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The notation a body claims; JSON where it claims nothing, as Kubernetes assumes.
///
/// # Errors
/// 415 for other media types.
pub fn notation(headers: &HeaderMap) -> Result<Notation, ApiError> {
    match media_type(headers).as_str() {
        "" | "application/json" => Ok(Notation::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Notation::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Notation::Protobuf),
        _ => Err(ApiError::UnsupportedMediaType(ACCEPTED.to_owned())),
    }
}

/// The whole body.
///
/// # Errors
/// 413 where it is too long, 400 where it breaks off.
pub async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(ApiError::TooLarge(BODY_BYTES_MAX));
    }
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ApiError::TooLarge(BODY_BYTES_MAX)),
        Err(error) => Err(ApiError::BadRequest(format!("the body could not be read: {error}"))),
    }
}

/// The body's one value and the paths of fields given twice (the last one counts).
///
/// # Errors
/// 400 where it is not what it claims to be, or expands to too much.
pub fn parse(bytes: &[u8], notation: Notation) -> Result<Loose, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::BadRequest("the request has no body".to_owned()));
    }
    match notation {
        Notation::Json => loose::from_json(bytes)
            .map_err(|reason| ApiError::BadRequest(format!("the body is not valid JSON: {reason}"))),
        Notation::Yaml => loose::from_yaml(bytes)
            .map_err(|reason| ApiError::BadRequest(format!("the body is not valid YAML: {reason}"))),
        Notation::Protobuf => match protobuf::read(bytes) {
            Ok(value) => Ok(Loose {
                value,
                repeated: Vec::new(),
            }),
            Err(ProtobufError::OtherType(kind)) => {
                Err(ApiError::UnsupportedMediaType(format!("{ACCEPTED} (for {kind})")))
            }
            Err(ProtobufError::Damaged(reason)) => Err(ApiError::BadRequest(format!(
                "the body is not valid protobuf: {reason}"
            ))),
        },
    }
}

/// An options object (`DeleteOptions`) that may be missing.
///
/// # Errors
/// As [`parse`].
pub fn parse_optional(bytes: &[u8], notation: Notation) -> Result<Value, ApiError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    parse(bytes, notation).map(|loose| loose.value)
}
