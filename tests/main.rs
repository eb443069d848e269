//! Integration tests: real etcd, Docker, git, kubectl and registry, one binary.

mod apiserver;
mod architecture;
mod gitops;
mod golden;
mod harness;
mod kubelet;
mod pipeline;
mod scheduler;
mod store;
mod support;
