//! Walks objects by their types: which fields a configuration names, what changed between two objects. Never merges.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{FieldSet, field_step, key_step, value_step};
use crate::object::quantity::Quantity;
use crate::object::schema::facts::ListRule;
use crate::object::schema::types::{Scalar, Type, TypeRef};

/// What became different from one object to another.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Fields that are new or have another value.
    pub changed: FieldSet,
    /// Fields that are gone.
    pub removed: FieldSet,
}

/// A value as its type sees it.
pub(super) enum Shape<'t> {
    /// One value, whatever is inside.
    Leaf,
    /// A struct or map whose entries have owners of their own.
    Entries(&'t Type),
    /// A list whose items have owners of their own, and the items' type.
    Items(&'t ListRule, &'static Type),
}

/// How ownership sees values of that type.
pub(super) fn shape(of: &Type) -> Shape<'_> {
    match of {
        Type::Struct(of) if of.atomic => Shape::Leaf,
        Type::Map { atomic: true, .. } => Shape::Leaf,
        Type::Struct(_) | Type::Map { .. } => Shape::Entries(of),
        Type::List {
            rule: ListRule::Atomic, ..
        } => Shape::Leaf,
        Type::List { rule, item } => Shape::Items(rule, item.get()),
        Type::Scalar(_) | Type::Any => Shape::Leaf,
    }
}

/// The type of an entry; nothing is known of fields that the type does not have.
pub(super) fn entry_type(of: &Type, key: &str) -> &'static Type {
    of.child(key).map_or(&Type::Any, TypeRef::get)
}

/// The step to an item of a list; `None` where the item has none of the keys.
pub(super) fn item_step(rule: &ListRule, item_type: &Type, item: &Value) -> Option<String> {
    let ListRule::Map(keys) = rule else {
        return (!item.is_object() && !item.is_array()).then(|| value_step(item));
    };
    let fields = item.as_object()?;
    let defaults: Vec<Option<Value>> = keys
        .iter()
        .map(|key| match fields.get(key) {
            Some(_) => None,
            None => item_type
                .field(key)
                .and_then(|field| field.default.clone())
                .map(Value::String),
        })
        .collect();
    let mut found = keys
        .iter()
        .zip(&defaults)
        .filter_map(|(key, default)| Some((key.as_str(), fields.get(key).or(default.as_ref())?)))
        .peekable();
    found.peek()?;
    Some(key_step(found))
}

/// Whether there is nothing in it.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether two values mean the same; two spellings of one quantity do.
pub(super) fn same(of: &Type, left: &Value, right: &Value) -> bool {
    left == right || (matches!(of, Type::Scalar(Scalar::Quantity)) && same_quantity(left, right))
}

fn same_quantity(left: &Value, right: &Value) -> bool {
    let parse = |value: &Value| match value {
        Value::String(text) => text.parse::<Quantity>().ok(),
        Value::Number(number) => number.to_string().parse::<Quantity>().ok(),
        _ => None,
    };
    match (parse(left), parse(right)) {
        (Some(left), Some(right)) => left.to_string() == right.to_string(),
        _ => false,
    }
}

/// The fields that a configuration names.
pub(super) fn field_set(of: &Type, value: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    match (shape(of), value) {
        (Shape::Leaf, _) => set.owned = true,
        (Shape::Entries(of), Value::Object(fields)) => {
            for (key, value) in fields {
                let mut below = field_set(entry_type(of, key), value);
                let is_bare = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                // To name an empty struct that is always there says nothing.
                below.owned |= of.field(key).is_none_or(|field| is_bare && !field.always);
                set.attach(|| field_step(key), below);
            }
        }
        (Shape::Items(rule, item_type), Value::Array(items)) => {
            for item in items {
                let Some(step) = item_step(rule, item_type, item) else {
                    continue;
                };
                let mut below = field_set(item_type, item);
                below.owned = true;
                set.attach(|| step, below);
            }
        }
        _ => {}
    }
    set
}

/// What differs between two objects; either may not be there.
pub(super) fn compare(of: &Type, old: Option<&Value>, new: Option<&Value>) -> Difference {
    if let (Some(old), Some(new)) = (old, new)
        && same(of, old, new)
    {
        return Difference::default();
    }
    // Two empty ones differ as wholes, e.g. null and {}.
    let both_blank = old.is_none_or(is_blank) && new.is_none_or(is_blank);
    let mut difference = match shape(of) {
        Shape::Entries(of) if !both_blank => compare_entries(of, old, new),
        Shape::Items(rule, item_type) if !both_blank => {
            match compare_items(
                rule,
                item_type,
                old.and_then(Value::as_array),
                new.and_then(Value::as_array),
            ) {
                Some(difference) => difference,
                None => return whole(new),
            }
        }
        _ => return whole(new),
    };
    difference.changed.owned |= old.is_none();
    difference.removed.owned |= new.is_none();
    difference
}

fn whole(new: Option<&Value>) -> Difference {
    match new {
        Some(_) => Difference {
            changed: FieldSet::leaf(),
            ..Difference::default()
        },
        None => Difference {
            removed: FieldSet::leaf(),
            ..Difference::default()
        },
    }
}

fn compare_entries(of: &Type, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let mut difference = Difference::default();
    let (before, after) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
    let mut compare_one = |key: &String| {
        let side = |parent: Option<&Value>, value| Side {
            is_inside: parent.is_some(),
            value,
        };
        let old = side(old, before.and_then(|fields| fields.get(key)));
        let new = side(new, after.and_then(|fields| fields.get(key)));
        let Difference { changed, removed } = compare_entry(of, key, old, new);
        difference.changed.attach(|| field_step(key), changed);
        difference.removed.attach(|| field_step(key), removed);
    };
    before.into_iter().flat_map(Map::keys).for_each(&mut compare_one);
    let is_new = |key: &&String| before.is_none_or(|before| !before.contains_key(*key));
    after
        .into_iter()
        .flat_map(Map::keys)
        .filter(is_new)
        .for_each(&mut compare_one);
    difference
}

/// An entry in one of two objects.
#[derive(Clone, Copy)]
struct Side<'a> {
    /// Whether the struct that it would be in is there.
    is_inside: bool,
    value: Option<&'a Value>,
}

fn compare_entry<'a>(of: &Type, key: &str, mut old: Side<'a>, mut new: Side<'a>) -> Difference {
    static NOTHING: Value = Value::Null;
    // A plain struct is there, if empty, wherever its parent is; so its parts change, it does not appear.
    if of.field(key).is_some_and(|field| field.always) {
        for side in [&mut old, &mut new] {
            if side.is_inside && side.value.is_none_or(is_blank) {
                side.value = Some(&NOTHING);
            }
        }
    }
    compare(entry_type(of, key), old.value, new.value)
}

/// `None` where an item has no key, so that the lists only compare as wholes.
fn compare_items(
    rule: &ListRule,
    item_type: &Type,
    old: Option<&Vec<Value>>,
    new: Option<&Vec<Value>>,
) -> Option<Difference> {
    let mut items: BTreeMap<String, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in old.into_iter().flatten() {
        items.entry(item_step(rule, item_type, item)?).or_default().0.push(item);
    }
    for item in new.into_iter().flatten() {
        items.entry(item_step(rule, item_type, item)?).or_default().1.push(item);
    }
    let mut difference = Difference::default();
    for (step, (old, new)) in items {
        let below = match (&old[..], &new[..]) {
            (&[old], &[new]) => compare(item_type, Some(old), Some(new)),
            (&[], &[new]) => compare(item_type, None, Some(new)),
            (&[old], &[]) => compare(item_type, Some(old), None),
            // Items of one key compare as a whole.
            (old, new) if old == new => continue,
            (_, []) => whole(None),
            (_, [first, ..]) => whole(Some(first)),
        };
        let Difference { changed, removed } = below;
        difference.changed.attach(|| step.clone(), changed);
        difference.removed.attach(|| step, removed);
    }
    Some(difference)
}
