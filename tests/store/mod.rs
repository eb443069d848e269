//! One contract, every store; and what is particular to each.

mod contract;
mod embedded;
mod etcd;
pub mod etcd_server;
mod fixture;
mod speed;
mod suite;
mod watching;
