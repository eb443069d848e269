//! Files into objects, with the place of each and of everything that is wrong with it. Pure: never asks the cluster.

mod document;
mod field;
mod parse;
mod resolve;
mod value;

pub use parse::{Parsed, parse};
pub use resolve::{Intended, Manifests, resolve};
