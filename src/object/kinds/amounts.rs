//! Amounts of resources as the API keeps them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;

use crate::object::quantity::Quantity;

/// Rounds up to thousandths, the finest that the API keeps.
pub(super) fn round_amounts(amounts: &mut BTreeMap<String, Amount>) {
    for Amount(text) in amounts.values_mut() {
        if let Ok(amount) = text.parse::<Quantity>() {
            *text = amount.rounded_to_millis().to_string();
        }
    }
}
