//! Sources, plans and their outcome, with real git.
