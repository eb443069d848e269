//! Sources, plans and their outcome: real git and real files, against an API server in this process.

mod faults;
mod follow;
mod git;
mod harness;
mod once;
