//! A real Kubernetes' recorded answers.
