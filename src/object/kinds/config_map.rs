//! ConfigMaps. What they share with Secrets, keys and size, is checked here too.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;

use super::Strategy;
use crate::object::field_error::{FieldError, Path};
use crate::object::format;
use crate::object::kind::Part;
use crate::object::table::{self, Table};

/// The most bytes of all values together: a value of the store stays well below its own bound.
pub(super) const DATA_MAX_BYTES: usize = 1024 * 1024;

/// The rules of ConfigMaps.
pub(in crate::object) struct ConfigMaps;

impl Strategy for ConfigMaps {
    const TABLE: Table = table::CONFIG_MAPS;

    type Object = ConfigMap;

    fn validate_create(map: &ConfigMap, errors: &mut Vec<FieldError>) {
        let empty = BTreeMap::new();
        let binary = map.binary_data.as_ref().unwrap_or(&empty);
        let mut size = 0;
        for (key, value) in map.data.iter().flatten() {
            let at = Path::new("data").key(key);
            valid_key(key, &at, errors);
            if binary.contains_key(key) {
                errors.push(FieldError::invalid(&at, key, "duplicate of key present in binaryData"));
            }
            size += value.len();
        }
        for (key, ByteString(value)) in binary {
            valid_key(key, &Path::new("binaryData").key(key), errors);
            size += value.len();
        }
        if size > DATA_MAX_BYTES {
            errors.push(FieldError::too_long(&Path::new("<nil>"), DATA_MAX_BYTES));
        }
    }

    fn validate_update(map: &ConfigMap, old: &ConfigMap, _part: Part, errors: &mut Vec<FieldError>) {
        if old.immutable == Some(true) {
            frozen(map.immutable, errors);
            unchanged(&map.data, &old.data, "data", errors);
            unchanged(&map.binary_data, &old.binary_data, "binaryData", errors);
        }
        Self::validate_create(map, errors);
    }
}

/// A key is also a file's name.
pub(super) fn valid_key(key: &str, at: &Path, errors: &mut Vec<FieldError>) {
    errors.extend(
        format::config_key(key)
            .into_iter()
            .map(|why| FieldError::invalid(at, key, why)),
    );
}

/// What was made immutable stays so.
pub(super) fn frozen(immutable: Option<bool>, errors: &mut Vec<FieldError>) {
    if immutable != Some(true) {
        let why = "field is immutable when `immutable` is set";
        errors.push(FieldError::forbidden(&Path::new("immutable"), why));
    }
}

/// The content of something immutable.
pub(super) fn unchanged<T: PartialEq>(new: &T, old: &T, field: &str, errors: &mut Vec<FieldError>) {
    if new != old {
        let why = "field is immutable when `immutable` is set";
        errors.push(FieldError::forbidden(&Path::new(field), why));
    }
}
