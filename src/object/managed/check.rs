//! Finds what is wrong with an applied configuration: unknown fields, wrong types, repeated keys. Never changes it.

use std::collections::HashSet;

use serde_json::Value;

use super::fields::shown;
use super::typed::{Shape, item_step, shape};
use crate::object::schema::facts::ListRule;
use crate::object::schema::types::{Scalar, Type};

/// What is wrong, each with its path; empty where nothing is.
pub(super) fn check(of: &Type, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    walk(of, value, &mut String::new(), &mut errors);
    errors
}

fn walk(of: &Type, value: &Value, path: &mut String, errors: &mut Vec<String>) {
    match (of, value) {
        (_, Value::Null) | (Type::Any, _) => {}
        (Type::Struct(_) | Type::Map { .. }, Value::Object(fields)) => {
            for (key, value) in fields {
                let length = path.len();
                path.push('.');
                path.push_str(key);
                match of.child(key) {
                    Some(child) => walk(child.get(), value, path, errors),
                    None => errors.push(format!("{path}: field not declared in schema")),
                }
                path.truncate(length);
            }
        }
        (Type::Struct(_) | Type::Map { .. }, other) => {
            errors.push(format!("{path}: expected map, got {}", name(other)))
        }
        (Type::List { item, .. }, Value::Array(items)) => walk_items(of, item.get(), items, path, errors),
        (Type::List { .. }, other) => errors.push(format!("{path}: expected list, got {}", name(other))),
        (Type::Scalar(scalar), value) => {
            if let Some(expected) = mismatch(*scalar, value) {
                errors.push(format!("{path}: expected {expected}, got {}", name(value)));
            }
        }
    }
}

fn walk_items(of: &Type, item_type: &Type, items: &[Value], path: &mut String, errors: &mut Vec<String>) {
    let rule = match shape(of) {
        Shape::Items(rule, _) => rule,
        _ => &ListRule::Atomic,
    };
    let mut seen = HashSet::new();
    for (index, item) in items.iter().enumerate() {
        let length = path.len();
        let step = match rule {
            ListRule::Atomic => format!("i:{index}"),
            _ => match item_step(rule, item_type, item) {
                Some(step) => step,
                None => {
                    errors.push(format!(
                        "{path}: element {index}: associative list has an element without its keys"
                    ));
                    continue;
                }
            },
        };
        path.push_str(&shown(&step));
        walk(item_type, item, path, errors);
        path.truncate(length);
        if let Some(step) = seen.replace(step) {
            errors.push(format!("{path}: duplicate entries for key {}", shown(&step)));
        }
    }
}

/// What was expected, where the value is something else.
fn mismatch(scalar: Scalar, value: &Value) -> Option<&'static str> {
    match (scalar, value) {
        (Scalar::Text, Value::String(_))
        | (Scalar::Number, Value::Number(_))
        | (Scalar::Boolean, Value::Bool(_))
        | (Scalar::IntOrString | Scalar::Quantity, Value::Number(_) | Value::String(_)) => None,
        (Scalar::Text, _) => Some("string"),
        (Scalar::Number, _) => Some("numeric (int or float)"),
        (Scalar::Boolean, _) => Some("boolean"),
        (Scalar::IntOrString | Scalar::Quantity, _) => Some("a number or a string"),
    }
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "map",
    }
}
