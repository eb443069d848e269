//! Pods get nodes, and the cluster is kept tidy, through a real API server.

mod binding;
mod controllers;
mod disruption;
mod foreign;
mod gates;
mod harness;
mod killed;
mod preempting;
mod processes;
mod refusing;
mod simulation;
