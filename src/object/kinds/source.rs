//! Sources: what the reconciler follows.

use super::Strategy;
use crate::object::field_error::FieldError;
use crate::object::kind::Part;
use crate::object::source::{HeldBy, Source, problems};
use crate::object::table::{self, Table};

/// The rules of sources.
pub(in crate::object) struct Sources;

impl Strategy for Sources {
    const TABLE: Table = table::SOURCES;

    type Object = Source;

    fn prepare_create(source: &mut Source) {
        source.metadata.generation = Some(1);
        source.status = None;
    }

    fn prepare_update(source: &mut Source, old: &Source, part: Part) {
        match part {
            Part::Main => source.status.clone_from(&old.status),
            Part::Status => source.spec.clone_from(&old.spec),
        }
        let changed = source.spec != old.spec;
        source.metadata.generation = old.metadata.generation.map(|count| count + i64::from(changed));
    }

    fn validate_create(source: &Source, errors: &mut Vec<FieldError>) {
        errors.extend(problems(source, HeldBy::Api));
    }

    /// What was wrong before may stay so: an object that was stored under other rules can still be labelled and told of.
    fn validate_update(source: &Source, old: &Source, part: Part, errors: &mut Vec<FieldError>) {
        if part == Part::Status || source.spec == old.spec {
            return;
        }
        let before = problems(old, HeldBy::Api);
        errors.extend(
            problems(source, HeldBy::Api)
                .into_iter()
                .filter(|error| !before.contains(error)),
        );
    }
}
