//! The OpenAPI v2 document as protobuf, in the messages of gnostic's `openapi.v2`. Holds what we use of them.
//!
//! Clients before 1.27 read nothing else, and refuse a document that is not in this form.

mod convert;
mod messages;

use prost::Message;

/// The document that [`super::v2`] makes, as `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`.
pub fn v2_protobuf() -> Vec<u8> {
    convert::document(&super::v2()).encode_to_vec()
}
