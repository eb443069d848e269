//! Claims to a volume. What they ask for stays as it is, but for its size.

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus, TypedLocalObjectReference,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;

use super::amounts::round_amounts;
use super::{Strategy, label_selector, storage};
use crate::object::field_error::{FieldError, Path};
use crate::object::kind::Part;
use crate::object::quantity::Quantity;
use crate::object::table::{self, Table};
use crate::object::volume;

const STORAGE: &str = "storage";

/// The rules of claims.
pub(in crate::object) struct PersistentVolumeClaims;

impl Strategy for PersistentVolumeClaims {
    const TABLE: Table = table::PERSISTENT_VOLUME_CLAIMS;

    type Object = PersistentVolumeClaim;

    fn default(claim: &mut PersistentVolumeClaim) {
        let status = claim.status.get_or_insert_default();
        status.phase.get_or_insert_with(|| "Pending".to_owned());
        status.capacity.iter_mut().for_each(round_amounts);
        if let Some(spec) = &mut claim.spec {
            default_spec(spec);
        }
    }

    /// The status is the controller's.
    fn prepare_create(claim: &mut PersistentVolumeClaim) {
        claim.status = Some(PersistentVolumeClaimStatus {
            phase: Some("Pending".to_owned()),
            ..PersistentVolumeClaimStatus::default()
        });
    }

    fn prepare_update(claim: &mut PersistentVolumeClaim, old: &PersistentVolumeClaim, part: Part) {
        match part {
            Part::Main => claim.status.clone_from(&old.status),
            Part::Status => claim.spec.clone_from(&old.spec),
        }
    }

    fn validate_create(claim: &PersistentVolumeClaim, errors: &mut Vec<FieldError>) {
        let at = Path::new("spec");
        let none = PersistentVolumeClaimSpec::default();
        validate_spec(claim.spec.as_ref().unwrap_or(&none), &at, errors);
    }

    fn validate_update(
        claim: &PersistentVolumeClaim,
        old: &PersistentVolumeClaim,
        part: Part,
        errors: &mut Vec<FieldError>,
    ) {
        if part == Part::Main {
            Self::validate_create(claim, errors);
            validate_change(claim, old, errors);
        }
    }
}

/// Fills in what a claim, or the template of one, leaves out.
pub(super) fn default_spec(spec: &mut PersistentVolumeClaimSpec) {
    spec.volume_mode.get_or_insert_with(|| volume::FILESYSTEM.to_owned());
    if let Some(resources) = &mut spec.resources {
        let amounts = [&mut resources.limits, &mut resources.requests];
        amounts.into_iter().flatten().for_each(round_amounts);
    }
}

/// Everything wrong with a claim, or the template of one.
pub(super) fn validate_spec(spec: &PersistentVolumeClaimSpec, at: &Path, errors: &mut Vec<FieldError>) {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let why = "at least 1 access mode is required";
    storage::validate_access_modes(modes, why, &at.child("accessModes"), errors);
    if let Some(selector) = &spec.selector {
        label_selector::validate(selector, &at.child("selector"), errors);
    }
    let field = at.child("resources").key(STORAGE);
    match requested(spec) {
        Some(amount) => storage::validate_positive(amount, &field, errors),
        None => errors.push(FieldError::required(&field, "")),
    }
    let class = spec.storage_class_name.as_deref();
    storage::validate_class_name(class, &at.child("storageClassName"), errors);
    storage::validate_volume_mode(spec.volume_mode.as_deref(), &at.child("volumeMode"), errors);
    if let Some(source) = &spec.data_source {
        validate_data_source(source, &at.child("dataSource"), errors);
    }
    let class = spec.volume_attributes_class_name.as_deref();
    storage::validate_class_name(class, &at.child("volumeAttributesClassName"), errors);
}

fn requested(spec: &PersistentVolumeClaimSpec) -> Option<&Amount> {
    spec.resources.as_ref()?.requests.as_ref()?.get(STORAGE)
}

fn validate_data_source(source: &TypedLocalObjectReference, at: &Path, errors: &mut Vec<FieldError>) {
    for (value, field) in [(&source.name, "name"), (&source.kind, "kind")] {
        if value.is_empty() {
            errors.push(FieldError::required(&at.child(field), ""));
        }
    }
    let group = source.api_group.as_deref().unwrap_or_default();
    if group.is_empty() && source.kind != "PersistentVolumeClaim" {
        let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(FieldError::invalid(at, &source.kind, why));
    }
}

/// The volume is named once, a class that was left out is filled in once, and what is bound may grow.
fn validate_change(claim: &PersistentVolumeClaim, old: &PersistentVolumeClaim, errors: &mut Vec<FieldError>) {
    let (Some(spec), Some(before)) = (&claim.spec, &old.spec) else {
        return;
    };
    let mut allowed = before.clone();
    if volume::volume_name(old).is_none() {
        allowed.volume_name.clone_from(&spec.volume_name);
    }
    if volume::class_named(old).is_none() {
        allowed.storage_class_name.clone_from(&spec.storage_class_name);
    }
    let phase = old.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Bound") {
        allowed
            .volume_attributes_class_name
            .clone_from(&spec.volume_attributes_class_name);
        let requests = |resources: &PersistentVolumeClaimSpec| resources.resources.clone()?.requests;
        if let (Some(resources), Some(requests)) = (&mut allowed.resources, requests(spec)) {
            let amount = requests.get(STORAGE).cloned();
            let known = resources.requests.get_or_insert_default();
            amount.map(|amount| known.insert(STORAGE.to_owned(), amount));
        }
    }
    if *spec != allowed {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
                   claims";
        errors.push(FieldError::forbidden(&Path::new("spec"), why));
    }
    let (asked, asked_before) = (volume::request(claim), volume::request(old));
    if asked < asked_before && asked <= granted(old) {
        let why = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden(
            &Path::new("spec.resources.requests.storage"),
            why,
        ));
    }
}

/// How much the claim has been given so far.
fn granted(claim: &PersistentVolumeClaim) -> Quantity {
    let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
    let amount = capacity.and_then(|capacity| capacity.get(STORAGE));
    amount
        .and_then(|amount| amount.0.parse().ok())
        .unwrap_or_else(|| Quantity::from_units(0))
}

#[cfg(test)]
#[path = "persistent_volume_claim_tests.rs"]
mod tests;
