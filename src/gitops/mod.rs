//! Keeps a cluster like a git repository or directory of manifests. Talks to the API server only.
