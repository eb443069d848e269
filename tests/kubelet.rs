//! Pods on a real Docker.
