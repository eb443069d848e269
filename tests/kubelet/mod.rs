//! Pods on a real Docker, by a kubelet and an API server in this process.

mod harness;
mod lifecycle;
mod timing;
