//! Pods get nodes, and the cluster is kept tidy, through a real API server.

mod binding;
mod controllers;
mod disruption;
mod gates;
mod harness;
mod preempting;
mod refusing;
mod simulation;
