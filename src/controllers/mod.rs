//! Loops that keep the cluster tidy through the API: node lifecycle, namespace deletion, pod collection, disruption
//! budgets, volumes.
//!
//! [`world::World`] holds what they know; [`node_lifecycle`], [`eviction`] and [`pod_collection`] decide over it,
//! purely; `run` feeds it from watches, and `act` carries decisions out, each after reading again what it is about.
//! `pace` says when. [`namespaces`] empties the namespaces that are being deleted; [`disruption`] counts the pods of budgets;
//! [`volumes`] binds claims to volumes.

mod act;
pub mod disruption;
mod event;
pub mod eviction;
pub mod namespaces;
pub mod node_lifecycle;
mod pace;
pub mod pod_collection;
mod run;
pub mod volumes;
pub mod world;

pub use run::{Config, Error, run};
