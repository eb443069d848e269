//! Pods get nodes, through a real API server.
