//! The whole way: a commit becomes running containers.
