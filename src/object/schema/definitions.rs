//! Turns the schemas of `k8s-openapi` into definitions as Kubernetes publishes them. Never adds a path.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::Kind;
use super::facts::{Facts, ListRule, Table};
use super::roots::{self, Root};
use super::types::reference;

/// Which version of OpenAPI a document is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Swagger.
    V2,
    /// With `components/schemas`.
    V3,
}

impl Version {
    /// A schema that is that definition.
    pub(super) fn refer(self, definition: &str) -> Value {
        match self {
            Self::V2 => json!({"$ref": format!("#/definitions/{definition}")}),
            Self::V3 => json!({"$ref": format!("#/components/schemas/{definition}")}),
        }
    }
}

/// What says which kind a definition or operation is of.
pub(super) fn group_version_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "kind": kind, "version": version})
}

/// The definition of a kind, e.g. `io.k8s.api.core.v1.Pod`.
pub(super) fn name_of(kind: &Kind) -> Option<String> {
    roots::of(kind).map(|root| (root.definition)())
}

/// The definitions of these kinds, their lists, and everything they refer to.
pub(super) fn of_kinds(kinds: &[&Kind], version: Version) -> Map<String, Value> {
    let roots: Vec<(&Kind, &Root)> = kinds
        .iter()
        .filter_map(|kind| Some((*kind, roots::of(kind)?)))
        .collect();
    let mut schemas = roots::schemas(roots.iter().map(|(_, root)| *root), true);
    let facts = Table::load();
    let mut definitions = Map::new();
    for (kind, root) in roots {
        let name = (root.definition)();
        if let Some(schema) = schemas.get_mut(&name) {
            mark_kind(schema, kind);
        }
        definitions.insert(format!("{name}List"), list_of(kind, &name, version));
    }
    let groups: BTreeSet<(&str, &str)> = kinds.iter().map(|kind| (kind.group, kind.version)).collect();
    mark_shared(&mut schemas, &groups);
    for (name, schema) in schemas {
        let converted = Converter {
            facts: &facts,
            version,
            definition: &name,
        }
        .definition(schema);
        definitions.insert(name, converted);
    }
    definitions
}

/// Says which kind it is, and that metadata may be left out (the types behind the schemas always have it).
fn mark_kind(schema: &mut Value, kind: &Kind) {
    schema["x-kubernetes-group-version-kind"] = json!([group_version_kind(kind.group, kind.version, kind.kind)]);
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|field| field != "metadata");
    }
}

/// DeleteOptions are of every group, a Status is of the core.
fn mark_shared(schemas: &mut Map<String, Value>, groups: &BTreeSet<(&str, &str)>) {
    for (name, schema) in schemas {
        if name.ends_with(".meta.v1.DeleteOptions") {
            let kinds = groups
                .iter()
                .map(|(group, version)| group_version_kind(group, version, "DeleteOptions"));
            schema["x-kubernetes-group-version-kind"] = kinds.collect();
        } else if name.ends_with(".meta.v1.Status") {
            schema["x-kubernetes-group-version-kind"] = json!([group_version_kind("", "v1", "Status")]);
        }
    }
}

fn list_of(kind: &Kind, definition: &str, version: Version) -> Value {
    let text = |description: &str| json!({"description": description, "type": "string"});
    let name = kind.kind;
    json!({
        "description": format!("{name}List is a list of {name} objects."),
        "properties": {
            "apiVersion": text("The version of the schema that this list is in."),
            "items": {"description": "The objects.", "items": version.refer(definition), "type": "array"},
            "kind": text("The kind of this list."),
            "metadata": version.refer("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"),
        },
        "required": ["items"],
        "type": "object",
        "x-kubernetes-group-version-kind": [group_version_kind(kind.group, kind.version, &format!("{name}List"))],
    })
}

/// Converts one definition.
struct Converter<'a> {
    facts: &'a Table,
    version: Version,
    definition: &'a str,
}

impl Converter<'_> {
    fn definition(&self, schema: Value) -> Value {
        let is_required = |field: &str| {
            let required = schema.get("required").and_then(Value::as_array);
            required.is_some_and(|required| required.iter().any(|name| name == field))
        };
        let mut converted = match self.scalar(&schema) {
            Some(converted) => converted,
            None => self.schema(schema.clone()),
        };
        if let Some(properties) = converted.get_mut("properties").and_then(Value::as_object_mut) {
            for (field, schema) in properties {
                if let Some(facts) = self.facts.field(self.definition, field) {
                    self.annotate(schema, facts, is_required(field));
                }
            }
        }
        if self.facts.is_atomic(self.definition) {
            converted["x-kubernetes-map-type"] = "atomic".into();
        }
        converted
    }

    /// Types that are a number or a string, as Kubernetes describes them.
    fn scalar(&self, schema: &Value) -> Option<Value> {
        schema.get("x-kubernetes-int-or-string")?;
        let description = schema.get("description").cloned().unwrap_or_default();
        let is_quantity = self.definition.ends_with(".resource.Quantity");
        Some(match (self.version, is_quantity) {
            (Version::V2, true) => json!({"description": description, "type": "string"}),
            (Version::V2, false) => json!({"description": description, "format": "int-or-string", "type": "string"}),
            (Version::V3, true) => {
                json!({"description": description, "oneOf": [{"type": "string"}, {"type": "number"}]})
            }
            (Version::V3, false) => json!({
                "description": description, "format": "int-or-string",
                "oneOf": [{"type": "integer"}, {"type": "string"}],
            }),
        })
    }

    fn schema(&self, schema: Value) -> Value {
        let Value::Object(fields) = schema else { return schema };
        if let Some(target) = reference(&Value::Object(fields.clone())) {
            return self.reference(target, fields.get("description"));
        }
        let converted = fields.into_iter().map(|(key, value)| {
            let value = match (key.as_str(), value) {
                ("properties", Value::Object(properties)) => properties
                    .into_iter()
                    .map(|(name, schema)| (name, self.schema(schema)))
                    .collect(),
                ("items" | "additionalProperties", value) => self.schema(value),
                (_, value) => value,
            };
            (key, value)
        });
        Value::Object(converted.collect())
    }

    /// In v3 nothing may stand beside a `$ref`, so it is wrapped where there is a description.
    fn reference(&self, target: &str, description: Option<&Value>) -> Value {
        let refer = self.version.refer(target);
        match (self.version, description) {
            (_, None) => refer,
            (Version::V2, Some(description)) => {
                let mut refer = refer;
                refer["description"] = description.clone();
                refer
            }
            (Version::V3, Some(description)) => json!({"allOf": [refer], "description": description}),
        }
    }

    fn annotate(&self, schema: &mut Value, facts: &Facts, is_required: bool) {
        let patch = &facts.patch;
        let strategy = [
            (patch.merge, "merge"),
            (patch.replace, "replace"),
            (patch.retain_keys, "retainKeys"),
        ];
        let strategy: Vec<&str> = strategy
            .into_iter()
            .filter_map(|(is_set, name)| is_set.then_some(name))
            .collect();
        if !strategy.is_empty() {
            schema["x-kubernetes-patch-strategy"] = strategy.join(",").into();
        }
        if let Some(key) = &patch.key {
            schema["x-kubernetes-patch-merge-key"] = key.as_str().into();
        }
        match &facts.list {
            Some(ListRule::Atomic) => schema["x-kubernetes-list-type"] = "atomic".into(),
            Some(ListRule::Set) => schema["x-kubernetes-list-type"] = "set".into(),
            Some(ListRule::Map(keys)) => {
                schema["x-kubernetes-list-type"] = "map".into();
                schema["x-kubernetes-list-map-keys"] = json!(keys);
            }
            None => {}
        }
        if facts.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        if self.version == Version::V3 {
            if facts.always && !is_required && schema.get("allOf").is_some() {
                schema["default"] = json!({});
            } else if let Some(default) = &facts.default {
                schema["default"] = default.as_str().into();
            }
        }
    }
}
