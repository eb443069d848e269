//! The API server over HTTP and under stock kubectl.
