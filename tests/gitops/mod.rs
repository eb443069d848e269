//! Sources, plans and their outcome: real git and real files, against an API server in this process.

mod ceded;
mod fault_table;
mod flags;
mod follow;
mod git;
mod harness;
mod ignored;
mod kills;
mod manage;
mod once;
mod openpgp;
mod plan_outcome;
mod references;
mod remotes;
mod remotes_https;
mod remotes_ssh;
mod rollback;
mod signatures;
mod sources;
mod state;
mod waves;
mod webhooks;
mod windows;
