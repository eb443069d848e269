//! Creates: code, object, causes.
