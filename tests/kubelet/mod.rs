//! Pods on a real Docker, by a kubelet and an API server in this process.

mod adoption;
mod claims;
mod confinement;
mod containers;
mod harness;
mod images;
mod lifecycle;
mod logs;
mod node;
mod probes;
mod restarts;
mod timing;
mod volumes;
