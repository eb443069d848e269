//! Turns a pod's spec into what is asked of Docker. Pure: files and objects were read before.

mod container;
mod env;
mod expand;
mod fields;
mod sandbox;

pub use container::{Material, container};
pub use env::{Env, References, environment, references};
pub use expand::expand;
pub use fields::{Facts, downward_field, resource_field};
pub use sandbox::{hosts_file, sandbox};

/// A spec that cannot be carried out as things are (`CreateContainerConfigError`).
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(pub String);
