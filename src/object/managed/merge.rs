//! Merges an applied configuration into an object, and prunes what its manager no longer applies. Never decides
//! whether it may.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::fields::FieldSet;
use super::typed::{Shape, entry_type, is_blank, item_step, same, shape};
use crate::object::schema::facts::ListRule;
use crate::object::schema::types::Type;

/// The live value with the applied one laid over it. A null takes a scalar or atomic field away, and is nothing else.
pub(super) fn merge(of: &Type, live: &Value, applied: &Value) -> Value {
    match (shape(of), live, applied) {
        (Shape::Entries(of), Value::Object(live), Value::Object(applied)) => merge_entries(of, live, applied),
        (Shape::Items(rule, item_type), Value::Array(live), Value::Array(applied)) => {
            merge_items(rule, item_type, live, applied)
        }
        (Shape::Entries(_) | Shape::Items(..), live, Value::Null) if !is_blank(live) => live.clone(),
        (_, live, applied) if same(of, live, applied) => live.clone(),
        (_, _, applied) => without_nulls(applied),
    }
}

fn merge_entries(of: &Type, live: &Map<String, Value>, applied: &Map<String, Value>) -> Value {
    let mut merged = live.clone();
    for (key, value) in applied {
        let below = match live.get(key) {
            Some(live) => merge(entry_type(of, key), live, value),
            None => without_nulls(value),
        };
        if below.is_null() {
            merged.remove(key);
        } else {
            merged.insert(key.clone(), below);
        }
    }
    Value::Object(merged)
}

/// Items that only live has keep their places; those that both have take the order they are applied in, and items
/// only applied come where they are applied among these.
fn merge_items(rule: &ListRule, item_type: &Type, live: &[Value], applied: &[Value]) -> Value {
    let step = |item: &Value| item_step(rule, item_type, item);
    let live_steps: Vec<Option<String>> = live.iter().map(step).collect();
    let applied_steps: Vec<Option<String>> = applied.iter().map(step).collect();
    let mut by_step: HashMap<&str, Option<&Value>> = HashMap::new();
    for (item, step) in live.iter().zip(&live_steps) {
        // Items that share a key are not merged with: which one would be?
        let Some(step) = step else { continue };
        by_step
            .entry(step)
            .and_modify(|item| *item = None)
            .or_insert(Some(item));
    }
    let wanted: HashSet<&str> = applied_steps.iter().flatten().map(String::as_str).collect();
    let merged_item = |index: usize| {
        let found = applied_steps[index]
            .as_deref()
            .and_then(|step| by_step.get(step).copied().flatten());
        match found {
            Some(live) => merge(item_type, live, &applied[index]),
            None => without_nulls(&applied[index]),
        }
    };
    let is_live = |index: &usize| {
        applied_steps[*index]
            .as_deref()
            .is_some_and(|step| by_step.contains_key(step))
    };
    let mut merged = Vec::with_capacity(live.len() + applied.len());
    let mut next = 0;
    for (item, step) in live.iter().zip(&live_steps) {
        let Some(step) = step.as_deref().filter(|step| wanted.contains(step)) else {
            merged.push(item.clone());
            continue;
        };
        let turn = (next..applied.len()).find(is_live);
        if let Some(turn) = turn.filter(|turn| applied_steps[*turn].as_deref() == Some(step)) {
            merged.extend((next..=turn).map(merged_item));
            next = turn + 1;
        }
    }
    merged.extend((next..applied.len()).map(merged_item));
    Value::Array(merged)
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// Takes out of `value` what `last` names and nothing in `kept` does: what a manager applied before, does not apply
/// any more, and nobody else owns.
pub(super) fn prune(of: &Type, value: &mut Value, last: &FieldSet, kept: &[&FieldSet]) {
    match (shape(of), value) {
        (Shape::Entries(of), Value::Object(fields)) => {
            for (step, below) in last.children() {
                let Some(key) = step.strip_prefix("f:") else { continue };
                let is_field = of.field(key).is_some();
                let gone = match fields.get_mut(key) {
                    Some(value) => prune_one(entry_type(of, key), value, below, &kept_below(kept, step), is_field),
                    None => false,
                };
                if gone {
                    fields.remove(key);
                }
            }
        }
        (Shape::Items(rule, item_type), Value::Array(items)) => items.retain_mut(|item| {
            let Some(step) = item_step(rule, item_type, item) else {
                return true;
            };
            let Some(below) = last.child(&step) else { return true };
            !prune_one(item_type, item, below, &kept_below(kept, &step), false)
        }),
        _ => {}
    }
}

/// Prunes one entry or item; whether it is to go itself.
fn prune_one(of: &Type, value: &mut Value, last: &FieldSet, kept: &[&FieldSet], is_field: bool) -> bool {
    // A struct's field is owned also by whoever owns something in it.
    let owns = |set: &FieldSet| set.owned || (is_field && set.has_children());
    if owns(last) && !kept.iter().any(|set| owns(set)) {
        return true;
    }
    let was_blank = is_blank(value);
    if last.has_children() {
        prune(of, value, last, kept);
    }
    // A list or map that lost its last entry goes; an empty struct can mean something.
    !was_blank && is_blank(value) && !matches!(of, Type::Struct(_))
}

fn kept_below<'a>(kept: &[&'a FieldSet], step: &str) -> Vec<&'a FieldSet> {
    kept.iter().filter_map(|set| set.child(step)).collect()
}
