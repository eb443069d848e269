//! Chooses a node for each unbound pod. Decides purely; a thin loop feeds it and binds.
