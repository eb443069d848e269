//! Sources, plans and their outcome: real git and real files, against an API server in this process.

mod commit_status;
mod events;
mod fault_table;
mod flags;
mod follow;
mod git;
mod harness;
mod ignored;
mod kills;
mod manage;
mod metrics;
mod notifications;
mod once;
mod openpgp;
mod plan_outcome;
mod receiver;
mod references;
mod remotes;
mod remotes_https;
mod remotes_ssh;
mod signatures;
mod sources;
mod state;
mod webhooks;
