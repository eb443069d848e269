//! Strategic merge patches of lists: items told apart by their merge key, and the order they end up in.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::PatchError;
use super::strategic::{self, Directive, malformed};
use crate::object::schema::facts::PatchRule;
use crate::object::schema::types::TypeRef;

/// A list that is patched.
pub(super) struct List<'a> {
    /// Its field's name.
    pub name: &'a str,
    /// How it merges; `None` where its type is not known.
    pub rule: Option<&'a PatchRule>,
    /// Its items' type.
    pub item: Option<TypeRef>,
}

/// Items by what tells them apart, the first of equal ones.
type Positions = HashMap<String, usize>;

impl List<'_> {
    /// The list after the patch. `order` is what `$setElementOrder` says of it.
    pub(super) fn merge(
        &self,
        original: Vec<Value>,
        patch: &[Value],
        order: Option<&Vec<Value>>,
    ) -> Result<Vec<Value>, PatchError> {
        if !self.merges() {
            return strategic::plain_items(patch);
        }
        let before = self.identities(&original)?;
        let (merged, patched) = match self.key() {
            Some(_) => self.merge_structs(original, patch)?,
            None => merge_scalars(self.name, original, patch)?,
        };
        let merged = self.arranged(merged, &patched, &before)?;
        match order {
            Some(order) => {
                let order = self.identities(order)?;
                self.check_order(&patched, &order)?;
                self.arranged(merged, &order, &before)
            }
            None => Ok(merged),
        }
    }

    /// The list in the order that `$setElementOrder` asks for.
    pub(super) fn reorder(&self, original: Vec<Value>, order: &[Value]) -> Result<Vec<Value>, PatchError> {
        if !self.merges() {
            return Ok(original);
        }
        let before = self.identities(&original)?;
        self.arranged(original, &self.identities(order)?, &before)
    }

    fn merges(&self) -> bool {
        self.rule.is_some_and(|rule| rule.merge)
    }

    fn key(&self) -> Option<&str> {
        self.rule.and_then(|rule| rule.key.as_deref())
    }

    /// What tells this item apart from the others.
    fn identity(&self, item: &Value) -> Result<String, PatchError> {
        match (self.key(), item) {
            (Some(key), Value::Object(fields)) => match fields.get(key) {
                Some(value) => Ok(value.to_string()),
                None => Err(malformed(format!(
                    "an item of {} does not have its merge key {key}",
                    self.name
                ))),
            },
            (Some(_), _) => Err(malformed(format!("{} takes objects, not {item:.40}", self.name))),
            (None, Value::Object(_) | Value::Array(_)) => {
                Err(malformed(format!("{} takes scalars, not {item:.40}", self.name)))
            }
            (None, scalar) => Ok(scalar.to_string()),
        }
    }

    fn identities(&self, items: &[Value]) -> Result<Vec<String>, PatchError> {
        items.iter().map(|item| self.identity(item)).collect()
    }

    /// Merges structs by key; gives the outcome and the patch's items in its own order.
    fn merge_structs(
        &self,
        mut original: Vec<Value>,
        patch: &[Value],
    ) -> Result<(Vec<Value>, Vec<String>), PatchError> {
        let mut wanted: Vec<(String, &Map<String, Value>)> = Vec::with_capacity(patch.len());
        let mut replace = false;
        for item in patch {
            let Value::Object(fields) = item else {
                return Err(malformed(format!("{} takes objects, not {item:.40}", self.name)));
            };
            match Directive::of(fields)? {
                Some(Directive::Replace) => replace = true,
                Some(Directive::Delete) => {
                    let gone = self.identity(item)?;
                    // Items without the key cannot be meant.
                    original.retain(|item| self.identity(item).is_ok_and(|identity| identity != gone));
                }
                Some(Directive::Merge) if fields.len() == 1 => {}
                Some(Directive::Merge) | None => wanted.push((self.identity(item)?, fields)),
            }
        }
        if replace {
            original.clear();
        }
        let mut places = positions(&self.identities(&original)?);
        for (identity, fields) in &wanted {
            match places.get(identity) {
                Some(&place) => {
                    if let Value::Object(before) = original[place].take() {
                        original[place] = Value::Object(strategic::merge(self.item, before, fields)?);
                    }
                }
                None => {
                    places.insert(identity.clone(), original.len());
                    original.push(Value::Object(strategic::plain_fields(fields)?));
                }
            }
        }
        Ok((original, wanted.into_iter().map(|(identity, _)| identity).collect()))
    }

    /// Puts the items of `first` in that order, keeps the others in the order they had, and lets each of these come
    /// before the first of the former that it came before.
    fn arranged(&self, items: Vec<Value>, first: &[String], before: &[String]) -> Result<Vec<Value>, PatchError> {
        let first = positions(first);
        let before = positions(before);
        let (mut named, mut others) = (Vec::new(), Vec::new());
        for item in items {
            let identity = self.identity(&item)?;
            let was = before.get(&identity).copied();
            match first.get(&identity) {
                Some(&place) => named.push((place, was, item)),
                None => others.push((was.unwrap_or(usize::MAX), was, item)),
            }
        }
        named.sort_by_key(|(place, ..)| *place);
        others.sort_by_key(|(place, ..)| *place);
        let mut arranged = Vec::with_capacity(named.len() + others.len());
        let mut others = others.into_iter().peekable();
        for (_, named_was, item) in named {
            while let Some((_, _, other)) =
                others.next_if(|(_, was, _)| matches!((was, named_was), (Some(was), Some(named)) if *was < named))
            {
                arranged.push(other);
            }
            arranged.push(item);
        }
        arranged.extend(others.map(|(_, _, item)| item));
        Ok(arranged)
    }

    fn check_order(&self, patched: &[String], order: &[String]) -> Result<(), PatchError> {
        let places = positions(order);
        let mut last = 0;
        for identity in patched {
            match places.get(identity) {
                Some(&place) if place >= last => last = place,
                _ => {
                    return Err(malformed(format!(
                        "the items of {} are not in the order that its $setElementOrder gives",
                        self.name
                    )));
                }
            }
        }
        Ok(())
    }
}

fn merge_scalars(name: &str, original: Vec<Value>, patch: &[Value]) -> Result<(Vec<Value>, Vec<String>), PatchError> {
    let mut seen = HashMap::new();
    let mut merged = Vec::with_capacity(original.len() + patch.len());
    for item in original.into_iter().chain(patch.iter().cloned()) {
        if item.is_object() || item.is_array() {
            return Err(malformed(format!("{name} takes scalars, not {item:.40}")));
        }
        if seen.insert(item.to_string(), ()).is_none() {
            merged.push(item);
        }
    }
    Ok((merged, patch.iter().map(Value::to_string).collect()))
}

fn positions(identities: &[String]) -> Positions {
    let mut places = Positions::with_capacity(identities.len());
    for (place, identity) in identities.iter().enumerate() {
        places.entry(identity.clone()).or_insert(place);
    }
    places
}
