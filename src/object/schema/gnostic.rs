//! The OpenAPI v2 document as protobuf, in the messages of gnostic's `openapi.v2`. Holds what we use of them.
//!
//! Clients before 1.27 read nothing else, and refuse a document that is not in this form.

mod convert;
mod messages;

use prost::Message;

/// What clients accept the protobuf form as.
pub const V2_PROTOBUF_ACCEPT: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// What the answer is to say it is. An `@` is not allowed in a media type, and old clients fail on it.
pub const V2_PROTOBUF_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The document that [`super::v2`] makes, in protobuf.
pub fn v2_protobuf() -> Vec<u8> {
    convert::document(&super::v2()).encode_to_vec()
}
