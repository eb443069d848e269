//! Runs the pods bound to this node in Docker and reports their status.
