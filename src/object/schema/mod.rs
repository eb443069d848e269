//! OpenAPI documents of the kinds served, made from the schemas of `k8s-openapi`, and how their fields merge.
//!
//! Documents are large and asked for rarely: they are made anew each time, and whoever serves them keeps the bytes.

mod definitions;
mod documents;
pub(crate) mod facts;
mod gnostic;
mod operations;
mod roots;
#[cfg(test)]
mod tests;
pub(crate) mod types;

use serde_json::Value;

pub use self::gnostic::{V2_PROTOBUF_ACCEPT, V2_PROTOBUF_TYPE, v2_protobuf};
use super::Kind;

/// The OpenAPI v3 document of one group and version; null where nothing of it is served.
pub fn v3(group: &str, version: &str) -> Value {
    let kinds: Vec<&Kind> = Kind::all()
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
        .collect();
    if kinds.is_empty() {
        Value::Null
    } else {
        documents::v3(&kinds)
    }
}

/// The OpenAPI v2 (Swagger) document of everything served.
pub fn v2() -> Value {
    documents::v2(&Kind::all().iter().collect::<Vec<_>>())
}
