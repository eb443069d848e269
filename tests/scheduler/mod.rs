//! Pods get nodes, and the cluster is kept tidy, through a real API server.

mod binding;
mod claims;
mod controllers;
mod disruption;
mod electing;
mod explaining;
mod foreign;
mod gates;
mod harness;
mod killed;
mod measured;
mod preempting;
mod processes;
mod profiles;
mod refusing;
mod simulation;
mod volumes;
