//! Strategic merge patches of structs and maps, and their directives. Lists merge in `strategic_list`.

use serde_json::{Map, Value};

use super::PatchError;
use super::strategic_list;
use crate::object::schema::facts::PatchRule;
use crate::object::schema::types::{Type, TypeRef};

/// Says what to do with the struct or item it stands in.
pub(super) const DIRECTIVE: &str = "$patch";
/// Lists the keys of the struct that stay.
const RETAIN_KEYS: &str = "$retainKeys";
/// Prefixes a list's name: the order its items are to have.
const SET_ORDER: &str = "$setElementOrder/";
/// Prefixes a list's name: scalars to take out of it.
const DELETE_SCALARS: &str = "$deleteFromPrimitiveList/";

/// What `$patch` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directive {
    /// Merge, as without it.
    Merge,
    /// Take the patch as it is.
    Replace,
    /// Take it away.
    Delete,
}

impl Directive {
    /// The directive of a patch's struct or list item, if it has one.
    pub(super) fn of(patch: &Map<String, Value>) -> Result<Option<Self>, PatchError> {
        match patch.get(DIRECTIVE) {
            None => Ok(None),
            Some(Value::String(text)) if text == "merge" => Ok(Some(Self::Merge)),
            Some(Value::String(text)) if text == "replace" => Ok(Some(Self::Replace)),
            Some(Value::String(text)) if text == "delete" => Ok(Some(Self::Delete)),
            Some(other) => Err(malformed(format!("unknown patch directive {DIRECTIVE}: {other}"))),
        }
    }
}

pub(super) fn malformed(text: impl Into<String>) -> PatchError {
    PatchError::Malformed(text.into())
}

/// Merges a whole object.
pub(super) fn apply(of: Option<TypeRef>, object: &Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Object(patch) = patch else {
        return Err(malformed(format!(
            "a strategic merge patch must be a JSON object, not {patch:.40}"
        )));
    };
    let Value::Object(object) = object else {
        return Err(malformed("only an object can be patched"));
    };
    merge(of, object.clone(), patch).map(Value::Object)
}

/// Merges a struct or map; `of` is its type where that is known.
pub(super) fn merge(
    of: Option<TypeRef>,
    mut original: Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>, PatchError> {
    match Directive::of(patch)? {
        Some(Directive::Replace) => return plain_fields(patch),
        Some(Directive::Delete) => return Ok(Map::new()),
        Some(Directive::Merge) | None => {}
    }
    retain_keys(&mut original, patch)?;
    // Scalars go out before others come in, so that a patch may move one.
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix(DELETE_SCALARS) {
            delete_scalars(&mut original, list, value)?;
        }
    }
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix(SET_ORDER) {
            if !patch.contains_key(list) {
                set_order(of, &mut original, list, value)?;
            }
        } else if !is_directive(key)? {
            let merged = merge_field(of, key, original.remove(key), value, patch)?;
            if let Some(merged) = merged {
                original.insert(key.clone(), merged);
            }
        }
    }
    Ok(original)
}

/// Whether the key is a directive; unknown ones are refused, since no field of Kubernetes starts with a dollar.
fn is_directive(key: &str) -> Result<bool, PatchError> {
    if !key.starts_with('$') {
        return Ok(false);
    }
    if key == DIRECTIVE || key == RETAIN_KEYS || key.starts_with(SET_ORDER) || key.starts_with(DELETE_SCALARS) {
        return Ok(true);
    }
    Err(malformed(format!("unknown patch directive {key}")))
}

fn merge_field(
    of: Option<TypeRef>,
    key: &str,
    original: Option<Value>,
    value: &Value,
    patch: &Map<String, Value>,
) -> Result<Option<Value>, PatchError> {
    let field = of.map(TypeRef::get);
    let child = field.and_then(|of| of.child(key));
    let replaced = field
        .and_then(|of| of.field(key))
        .is_some_and(|field| field.patch.replace);
    match (original, value) {
        (_, Value::Null) => Ok(None),
        (_, value) if replaced => plain(value).map(Some),
        (Some(Value::Object(original)), Value::Object(value)) => {
            merge(child, original, value).map(Value::Object).map(Some)
        }
        (Some(Value::Array(original)), Value::Array(value)) => {
            let (rule, item) = list_rule(field, key);
            let order = patch.get(&format!("{SET_ORDER}{key}")).map(as_list).transpose()?;
            let list = strategic_list::List { name: key, rule, item };
            list.merge(original, value, order).map(Value::Array).map(Some)
        }
        (_, value) => plain(value).map(Some),
    }
}

/// How the list under `key` merges, and its items' type.
fn list_rule(of: Option<&'static Type>, key: &str) -> (Option<&'static PatchRule>, Option<TypeRef>) {
    let field = of.and_then(|of| of.field(key));
    let item = field.and_then(|field| match field.of.get() {
        Type::List { item, .. } => Some(*item),
        _ => None,
    });
    (field.map(|field| &field.patch), item)
}

fn as_list(value: &Value) -> Result<&Vec<Value>, PatchError> {
    value
        .as_array()
        .ok_or_else(|| malformed(format!("the directive needs a list, not {value:.40}")))
}

fn retain_keys(original: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), PatchError> {
    let Some(keys) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let keys = as_list(keys)?;
    let retained = |key: &str| keys.iter().any(|kept| kept.as_str() == Some(key));
    for (key, value) in patch {
        if !value.is_null() && !is_directive(key)? && !retained(key) {
            return Err(malformed(format!(
                "the patch sets {key}, which its {RETAIN_KEYS} does not list"
            )));
        }
    }
    original.retain(|key, _| retained(key));
    Ok(())
}

fn delete_scalars(original: &mut Map<String, Value>, list: &str, gone: &Value) -> Result<(), PatchError> {
    let gone = as_list(gone)?;
    match original.get_mut(list) {
        Some(Value::Array(items)) => items.retain(|item| !gone.contains(item)),
        Some(_) => return Err(malformed(format!("{list} is no list, nothing can be deleted from it"))),
        None => {}
    }
    Ok(())
}

fn set_order(
    of: Option<TypeRef>,
    original: &mut Map<String, Value>,
    list: &str,
    order: &Value,
) -> Result<(), PatchError> {
    let order = as_list(order)?;
    match original.remove(list) {
        Some(Value::Array(items)) => {
            let (rule, item) = list_rule(of.map(TypeRef::get), list);
            let ordered = strategic_list::List { name: list, rule, item }.reorder(items, order)?;
            original.insert(list.to_owned(), Value::Array(ordered));
            Ok(())
        }
        Some(_) => Err(malformed(format!("{list} is no list, it cannot be ordered"))),
        None => Ok(()),
    }
}

/// A patch's value where nothing is there to merge it with: without directives and without what it deletes.
pub(super) fn plain(value: &Value) -> Result<Value, PatchError> {
    match value {
        Value::Object(fields) => plain_fields(fields).map(Value::Object),
        Value::Array(items) => plain_items(items).map(Value::Array),
        other => Ok(other.clone()),
    }
}

/// The same of a struct's fields.
pub(super) fn plain_fields(fields: &Map<String, Value>) -> Result<Map<String, Value>, PatchError> {
    if Directive::of(fields)? == Some(Directive::Delete) {
        return Ok(Map::new());
    }
    let mut kept = Map::new();
    for (key, value) in fields {
        if !value.is_null() && !is_directive(key)? {
            kept.insert(key.clone(), plain(value)?);
        }
    }
    Ok(kept)
}

/// The same of a list's items, those that are directives and nothing else left out.
pub(super) fn plain_items(items: &[Value]) -> Result<Vec<Value>, PatchError> {
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Object(fields) => match Directive::of(fields)? {
                Some(Directive::Delete) => {}
                Some(_) if fields.len() == 1 => {}
                _ => kept.push(Value::Object(plain_fields(fields)?)),
            },
            other => kept.push(other.clone()),
        }
    }
    Ok(kept)
}
