//! The whole way, as a person uses it: the built binary, real git, Docker, etcd and kubectl.

mod bad_input;
mod container;
mod dry_run;
mod example;
mod follow;
mod images;
mod killed;
mod lifecycle;
mod manifest;
mod nodes;
mod signed;
mod source;
mod transcript;
