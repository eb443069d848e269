//! Keeps the store in one local file (redb), many waiting writes to a transaction.

/// The embedded store.
pub struct Embedded;
