//! Reads the table of how fields merge (`merge.facts`). Holds facts, never applies them.

use std::collections::HashMap;

/// The table itself; its head explains its form.
const TABLE: &str = include_str!("merge.facts");

/// What server-side apply does with a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListRule {
    /// The list is one value.
    #[default]
    Atomic,
    /// Its items are scalars, each at most once.
    Set,
    /// Its items are structs told apart by these keys, which are in alphabetical order.
    Map(Vec<String>),
}

/// What a strategic merge patch does with a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PatchRule {
    /// Lists merge, they are not replaced.
    pub merge: bool,
    /// The struct is replaced as a whole, not merged.
    pub replace: bool,
    /// Patches may name the keys of the struct (or of each item) that stay.
    pub retain_keys: bool,
    /// The key that tells a merged list's items apart; scalars have none.
    pub key: Option<String>,
}

/// What is known of one field, or of a type itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// For strategic merge patches.
    pub patch: PatchRule,
    /// For server-side apply; `None` where Kubernetes says nothing.
    pub list: Option<ListRule>,
    /// The struct or map is one value for server-side apply.
    pub atomic: bool,
    /// A plain struct: it is there wherever its parent is.
    pub always: bool,
    /// What the field counts as where it is a key and was left out.
    pub default: Option<String>,
}

/// The table, read: by definition (`io.k8s.api.core.v1.Pod`), then by field.
pub(crate) struct Table(HashMap<String, HashMap<&'static str, Facts>>);

impl Table {
    /// Reads the table; it is small and read only to build what is kept.
    pub(crate) fn load() -> Self {
        let mut types: HashMap<String, HashMap<&'static str, Facts>> = HashMap::new();
        for line in TABLE.lines() {
            let mut words = line.split_whitespace();
            if let (Some(definition), Some(field)) = (words.next(), words.next())
                && !definition.starts_with('#')
            {
                types
                    .entry(full_name(definition))
                    .or_default()
                    .insert(field, words.collect());
            }
        }
        Self(types)
    }

    /// What is known of that field.
    pub(crate) fn field(&self, definition: &str, field: &str) -> Option<&Facts> {
        self.0.get(definition)?.get(field)
    }

    /// Whether server-side apply takes every value of that type as one.
    pub(crate) fn is_atomic(&self, definition: &str) -> bool {
        self.field(definition, "-").is_some_and(|facts| facts.atomic)
    }

    /// Every row: definition, field, what is known.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &'static str, &Facts)> {
        self.0.iter().flat_map(|(definition, fields)| {
            fields
                .iter()
                .map(move |(field, facts)| (definition.as_str(), *field, facts))
        })
    }
}

fn full_name(short: &str) -> String {
    match short.strip_prefix("meta.") {
        Some(rest) => format!("io.k8s.apimachinery.pkg.apis.meta.{rest}"),
        None => format!("io.k8s.api.{short}"),
    }
}

impl<'a> FromIterator<&'a str> for Facts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(words: I) -> Self {
        let mut facts = Self::default();
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("always", _) => facts.always = true,
                ("map", _) => facts.atomic = true,
                ("default", text) => facts.default = Some(text.to_owned()),
                ("list", rule) => facts.list = Some(list_rule(rule)),
                ("patch", rule) => facts.patch = patch_rule(rule),
                _ => unreachable!("a test reads every row of the table"),
            }
        }
        facts
    }
}

fn list_rule(text: &str) -> ListRule {
    match text.split_once(':') {
        Some((_, keys)) => {
            let mut keys: Vec<String> = keys.split(',').map(str::to_owned).collect();
            keys.sort();
            ListRule::Map(keys)
        }
        None if text == "set" => ListRule::Set,
        None => ListRule::Atomic,
    }
}

fn patch_rule(text: &str) -> PatchRule {
    let (strategy, key) = match text.split_once(':') {
        Some((strategy, key)) => (strategy, Some(key.to_owned())),
        None => (text, None),
    };
    let has = |word| strategy.split(',').any(|part| part == word);
    PatchRule {
        merge: has("merge"),
        replace: has("replace"),
        retain_keys: has("retainKeys"),
        key,
    }
}
