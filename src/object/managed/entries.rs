//! The entries of `metadata.managedFields`: who owns which fields since when. Reads, writes, sorts and bounds them.

use serde_json::{Map, Value};

use super::fields::FieldSet;

/// More managers that update than this are folded into one, as Kubernetes does; appliers are never folded, since
/// they need their own set to know what to prune.
const MAX_UPDATE_MANAGERS: usize = 10;

/// The manager into which the oldest updates are folded.
const ANCIENT_CHANGES: &str = "ancient-changes";

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// Server-side apply.
    Apply,
    /// Everything else.
    Update,
}

/// Who writes, how, and through which part of the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    /// The field manager's name.
    pub name: String,
    /// How it writes.
    pub operation: Operation,
    /// The version its fields are named in; appliers are the same manager in any version.
    pub api_version: String,
    /// `status` or empty.
    pub subresource: String,
}

impl Manager {
    /// Whether both are one manager.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// As conflicts name it: `"kubectl" with subresource "status" using v1`.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// What one manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Who.
    pub manager: Manager,
    /// RFC 3339; when it last changed something.
    pub time: Option<String>,
    /// What.
    pub fields: FieldSet,
}

/// The entries of an object, without their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries(pub Vec<Entry>);

impl Entries {
    /// The entries of an object; none where there are none, or where they are malformed.
    pub(super) fn of(object: Option<&Value>) -> Self {
        let encoded = object.and_then(|object| object.pointer("/metadata/managedFields"));
        encoded.and_then(Self::read).unwrap_or_default()
    }

    /// Reads `managedFields`; `None` where they are malformed.
    pub(super) fn read(encoded: &Value) -> Option<Self> {
        let mut entries = Self::default();
        for entry in encoded.as_array()? {
            let entry = Entry::read(entry)?;
            match entries.find_mut(&entry.manager) {
                Some(known) => known.fields.unite(&entry.fields),
                None => entries.0.push(entry),
            }
        }
        Some(entries)
    }

    /// That manager's entry.
    pub(super) fn find(&self, manager: &Manager) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.manager.is(manager))
    }

    fn find_mut(&mut self, manager: &Manager) -> Option<&mut Entry> {
        self.0.iter_mut().find(|entry| entry.manager.is(manager))
    }

    /// Adds fields to what a manager owns, as of `now`.
    pub(super) fn add(&mut self, manager: Manager, fields: FieldSet, now: &str) {
        if fields.is_empty() {
            return;
        }
        match self.find_mut(&manager) {
            Some(entry) => {
                entry.fields.unite(&fields);
                entry.time = Some(now.to_owned());
            }
            None => self.0.push(Entry {
                manager,
                time: Some(now.to_owned()),
                fields,
            }),
        }
    }

    /// Takes fields from every manager for which `from` holds.
    pub(super) fn take(&mut self, fields: &FieldSet, from: impl Fn(&Manager) -> bool) {
        if fields.is_empty() {
            return;
        }
        for entry in self.0.iter_mut().filter(|entry| from(&entry.manager)) {
            entry.fields.subtract(fields);
        }
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Folds the oldest updates together until there are few enough.
    pub(super) fn cap(&mut self) {
        let mut updates: Vec<Entry> = Vec::new();
        let mut kept: Vec<Entry> = Vec::new();
        for entry in std::mem::take(&mut self.0) {
            let is_update = entry.manager.operation == Operation::Update;
            if is_update { &mut updates } else { &mut kept }.push(entry);
        }
        let excess = updates.len().saturating_sub(MAX_UPDATE_MANAGERS);
        if excess > 0 {
            // What was folded before is the first to be folded again.
            let age = |entry: &Entry| {
                (
                    entry.manager.name != ANCIENT_CHANGES,
                    entry.time.clone(),
                    entry.manager.clone(),
                )
            };
            updates.sort_by_cached_key(age);
            // One more than the excess, since what they are folded into remains.
            let newer = updates.split_off(excess + 1);
            for entry in updates {
                let manager = Manager {
                    name: ANCIENT_CHANGES.into(),
                    operation: Operation::Update,
                    api_version: entry.manager.api_version.clone(),
                    subresource: String::new(),
                };
                match kept.iter_mut().find(|known| known.manager.is(&manager)) {
                    Some(known) => {
                        known.fields.unite(&entry.fields);
                        known.time = entry.time;
                    }
                    None => kept.push(Entry { manager, ..entry }),
                }
            }
            kept.extend(newer);
        } else {
            kept.extend(updates);
        }
        self.0 = kept;
    }

    /// As `managedFields` has them: appliers first, then by time; `None` where there are none.
    pub(super) fn write(mut self) -> Option<Value> {
        let order = |entry: &Entry| {
            let Manager {
                name,
                operation,
                api_version,
                subresource,
            } = entry.manager.clone();
            (operation, entry.time.clone(), name, api_version, subresource)
        };
        self.0.sort_by_cached_key(order);
        let encoded: Vec<Value> = self.0.iter().map(Entry::write).collect();
        (!encoded.is_empty()).then_some(Value::Array(encoded))
    }
}

impl Entry {
    fn read(encoded: &Value) -> Option<Self> {
        let text = |key: &str| encoded.get(key).and_then(Value::as_str);
        let operation = match text("operation")? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        if text("fieldsType")? != "FieldsV1" {
            return None;
        }
        let fields = match encoded.get("fieldsV1") {
            Some(fields) => FieldSet::from_json(fields)?,
            None => FieldSet::default(),
        };
        Some(Self {
            manager: Manager {
                name: text("manager").unwrap_or_default().to_owned(),
                operation,
                api_version: text("apiVersion").filter(|version| !version.is_empty())?.to_owned(),
                subresource: text("subresource").unwrap_or_default().to_owned(),
            },
            time: text("time").map(str::to_owned),
            fields,
        })
    }

    fn write(&self) -> Value {
        let Manager {
            name,
            operation,
            api_version,
            subresource,
        } = &self.manager;
        let mut encoded = Map::new();
        encoded.insert("apiVersion".into(), api_version.as_str().into());
        encoded.insert("fieldsType".into(), "FieldsV1".into());
        encoded.insert("fieldsV1".into(), self.fields.to_json());
        encoded.insert("manager".into(), name.as_str().into());
        let operation = match operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        };
        encoded.insert("operation".into(), operation.into());
        if !subresource.is_empty() {
            encoded.insert("subresource".into(), subresource.as_str().into());
        }
        if let Some(time) = &self.time {
            encoded.insert("time".into(), time.as_str().into());
        }
        Value::Object(encoded)
    }
}
