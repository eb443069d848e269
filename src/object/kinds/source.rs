//! Sources: what the reconciler follows.

use super::Strategy;
use crate::object::field_error::{FieldError, Path};
use crate::object::kind::Part;
use crate::object::source::{Source, duration};
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
        let spec = Path::new("spec");
        if source.spec.source.is_empty() {
            errors.push(FieldError::required(&spec.child("source"), ""));
        }
        let forbid = |errors: &mut Vec<FieldError>, field: &str, other: &str| {
            let why = format!("may not be set beside {other}");
            errors.push(FieldError::forbidden(&spec.child(field), &why));
        };
        if source.spec.semver.is_some() && source.spec.reference.is_some() {
            forbid(errors, "semver", "ref");
        }
        if source.spec.credentials.is_some() && source.spec.secret_ref.is_some() {
            forbid(errors, "credentials", "secretRef");
        }
        if let Some(secret) = &source.spec.secret_ref {
            let path = spec.child("secretRef");
            for (field, value) in [("name", &secret.name), ("namespace", &secret.namespace)] {
                if value.as_ref().is_none_or(String::is_empty) {
                    errors.push(FieldError::required(&path.child(field), ""));
                }
            }
        }
        if let Some(text) = &source.spec.interval
            && let Err(why) = duration(text)
        {
            errors.push(FieldError::invalid(&spec.child("interval"), text, &why));
        }
    }

    fn validate_update(source: &Source, _old: &Source, _part: Part, errors: &mut Vec<FieldError>) {
        Self::validate_create(source, errors);
    }
}
