//! Turns etcd's answers and errors into the store's. Makes no calls.

use bytes::Bytes;
use etcd_client::{Error, EventType};

use super::before::Change;
use crate::store::{KeyValue, Revision, StoreError};

/// gRPC status codes: <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const OUT_OF_RANGE: i32 = 11;
const INVALID_ARGUMENT: i32 = 3;
const PERMISSION_DENIED: i32 = 7;
const UNIMPLEMENTED: i32 = 12;
const UNAUTHENTICATED: i32 = 16;

/// What a failed call means.
pub(super) enum Failure {
    /// The revision asked for is no longer kept.
    Compacted,
    /// The revision asked for is not there yet.
    Future,
    /// The answer is larger than is accepted; asking for less may help.
    TooLarge,
    /// No connection could be made: the call was not carried out.
    NotSent(String),
    /// Anything that trying again may help. Whether the call was carried out is not known.
    Unavailable(String),
    /// Anything else.
    Failed(String),
}

impl Failure {
    /// Reads an error of the client.
    pub(super) fn of(error: &Error) -> Self {
        let Error::GRpcStatus(status) = error else {
            return match error {
                Error::InvalidArgs(_) | Error::InvalidUri(_) | Error::Utf8Error(_) => Self::Failed(error.to_string()),
                _ => Self::Unavailable(error.to_string()),
            };
        };
        let message = status.message();
        match i32::from(status.code()) {
            OUT_OF_RANGE if message.contains("compacted") => Self::Compacted,
            OUT_OF_RANGE if message.contains("future revision") => Self::Future,
            OUT_OF_RANGE | RESOURCE_EXHAUSTED if message.contains("message length too large") => Self::TooLarge,
            OUT_OF_RANGE | RESOURCE_EXHAUSTED | FAILED_PRECONDITION | INVALID_ARGUMENT | PERMISSION_DENIED
            | UNIMPLEMENTED | UNAUTHENTICATED => Self::Failed(message.to_owned()),
            _ => {
                let reason = innermost(status).unwrap_or_else(|| message.to_owned());
                if message.contains("connect error") || message.contains("trying to connect") {
                    Self::NotSent(reason)
                } else {
                    Self::Unavailable(reason)
                }
            }
        }
    }
}

/// The cause at the bottom, e.g. "Connection refused (os error 111)": what a reader can act on.
fn innermost(error: &dyn std::error::Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause.to_string())
}

/// A revision of etcd's, which counts from 1 and fits both types for any time to come.
pub(super) fn revision(number: i64) -> Revision {
    Revision::try_from(number).unwrap_or(0)
}

/// A revision for etcd.
pub(super) fn number(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// A value as etcd returns it. Fails on a key that is not UTF-8, which no store of ours wrote.
pub(super) fn key_value(kv: etcd_client::KeyValue) -> Result<KeyValue, StoreError> {
    let (create_revision, mod_revision) = (revision(kv.create_revision()), revision(kv.mod_revision()));
    let (key, value) = kv.into_key_value();
    let key = String::from_utf8(key)
        .map_err(|error| StoreError::Failed(format!("etcd holds a key that is not UTF-8: {error}")))?;
    Ok(KeyValue {
        key,
        value: Bytes::from(value),
        create_revision,
        mod_revision,
    })
}

/// A change as etcd tells it; `None` for a key that is not ours because it is not UTF-8.
pub(super) fn change(event: &etcd_client::Event) -> Result<Option<Change>, StoreError> {
    let Some(kv) = event.kv() else {
        return Err(StoreError::Failed("etcd sent an event without a key".to_owned()));
    };
    let Ok(key) = std::str::from_utf8(kv.key()) else {
        return Ok(None);
    };
    Ok(Some(match event.event_type() {
        EventType::Put if kv.version() > 1 => Change::Update(key_value(kv.clone())?),
        EventType::Put => Change::Create(key_value(kv.clone())?),
        EventType::Delete => Change::Delete(key.to_owned(), revision(kv.mod_revision())),
    }))
}

/// The end of the range of all keys under `prefix`: the prefix with its last byte that can grow grown.
pub(super) fn prefix_end(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // etcd's way to say: no end.
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        for (prefix, end) in [("/registry/pods/", &b"/registry/pods0"[..]), ("a", b"b"), ("", b"\0")] {
            assert_eq!(prefix_end(prefix), end, "{prefix:?}");
        }
    }
}
