//! Chosen nodes and refusals.
