//! What `kubectl get pods` shows.
