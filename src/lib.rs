//! A Kubernetes small enough to be one process, driven by git.
//!
//! # The way a commit takes
//!
//! ```text
//! git / directory ─▶ manifests ─▶ plan ─▶ apply ─▶ apiserver ─▶ store (embedded | etcd)
//!                                                      │ watch
//!          scheduler: filter ▸ score ▸ bind ◀──────────┤
//!          kubelet: plan ▸ Docker ▸ status ◀───────────┘──▶ status back to the apiserver
//! ```
//!
//! # Code map: who may use whom
//!
//! | module | owns | may use |
//! |---|---|---|
//! | [`object`] | what an object is: kinds, defaults, validation, patches; pure | k8s-openapi |
//! | [`store`] | bytes at a revision | redb, etcd-client |
//! | [`apiserver`] | HTTP over a store | `object`, `store` |
//! | [`client`] | what those that talk through `kube::Client` share: errors for people, watches that last, events | `kube` |
//! | [`exposition`] | what is measured, as text for Prometheus | axum |
//! | [`plain_http`] | HTTP for strangers, bounded in connections and time | hyper |
//! | [`gitops`] | sources, plans, applying them | `object`, `client`, `plain_http`, `kube::Client` |
//! | [`scheduler`] | choosing a node for a pod | `object`, `client`, `kube::Client` |
//! | [`kubelet`] | running a node's pods in Docker | `object`, `client`, `kube::Client` |
//! | [`controllers`] | loops that keep nodes and namespaces tidy, count disruption budgets and bind volumes | `object`, `client`, `kube::Client` |
//! | [`cli`] | flags, environment, printing, wiring, exit codes | everything |
//!
//! `tests/architecture.rs` reads the `use` lines and enforces this table.
//!
//! # Invariants
//!
//! - Decide purely, act thinly: time, randomness and the world come in as arguments.
//! - Events only wake; state decides. A lost or repeated event changes nothing.
//! - Nothing is deleted because something could not be read.
//! - Fail static: stopping or crashing leaves containers running; a restart adopts them.
//! - Only containers that carry our cluster's and node's labels are touched.
//! - Every queue, retry, body and cache has a bound, a constant with its reason.

pub mod apiserver;
pub mod cli;
pub mod client;
pub mod controllers;
pub mod exposition;
pub mod gitops;
pub mod kubelet;
pub mod object;
pub mod plain_http;
pub mod scheduler;
pub mod store;
