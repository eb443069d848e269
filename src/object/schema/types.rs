//! The shapes of Kubernetes' types and how their fields merge, in a form quick to walk. Never changes an object.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::super::Kind;
use super::facts::{Facts, ListRule, PatchRule, Table};
use super::roots;

/// What a value may look like.
#[derive(Debug)]
pub(crate) enum Type {
    /// A string, number or boolean.
    Scalar(Scalar),
    /// Anything; nothing is known of its inside, so it is one value.
    Any,
    /// Named fields.
    Struct(Struct),
    /// Any names, values of one type.
    Map {
        /// The values' type.
        value: TypeRef,
        /// Server-side apply owns the whole map.
        atomic: bool,
    },
    /// Items of one type.
    List {
        /// The items' type.
        item: TypeRef,
        /// How server-side apply merges it.
        rule: ListRule,
    },
}

/// Kinds of scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// Text, times and bytes.
    Text,
    /// Integers and fractions.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A number or a string.
    IntOrString,
    /// An amount such as `500m`: two spellings of one amount are equal.
    Quantity,
}

/// A type with named fields.
#[derive(Debug)]
pub(crate) struct Struct {
    /// Alphabetical by name.
    fields: Vec<Field>,
    /// Server-side apply owns the whole struct.
    pub atomic: bool,
}

/// A field of a struct.
#[derive(Debug)]
pub(crate) struct Field {
    name: String,
    /// Its type.
    pub of: TypeRef,
    /// How strategic merge patches treat it.
    pub patch: PatchRule,
    /// It is there, if empty, wherever its struct is.
    pub always: bool,
    /// What it counts as where it is a key and was left out.
    pub default: Option<String>,
}

/// Names a type of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeRef(u32);

/// Every type, built once from the schemas of `k8s-openapi` and the table of facts.
struct Graph {
    types: Vec<Type>,
    definitions: HashMap<String, TypeRef>,
}

impl TypeRef {
    /// The type with that definition's name, e.g. `io.k8s.api.core.v1.Pod`.
    pub(crate) fn named(definition: &str) -> Option<Self> {
        graph().definitions.get(definition).copied()
    }

    /// The type of a kind's objects.
    pub(crate) fn of_kind(kind: &Kind) -> Option<Self> {
        Self::named(&(roots::of(kind)?.definition)())
    }

    /// The type itself.
    pub(crate) fn get(self) -> &'static Type {
        &graph().types[self.0 as usize]
    }
}

impl Type {
    /// The type of the value under that key of a struct or map; `None` where the struct has no such field.
    pub(crate) fn child(&self, key: &str) -> Option<TypeRef> {
        match self {
            Self::Struct(fields) => fields.field(key).map(|field| field.of),
            Self::Map { value, .. } => Some(*value),
            _ => None,
        }
    }

    /// The field of that name, where this is a struct.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        match self {
            Self::Struct(fields) => fields.field(name),
            _ => None,
        }
    }
}

impl Struct {
    /// The field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .binary_search_by(|field| field.name.as_str().cmp(name))
            .ok()
            .map(|index| &self.fields[index])
    }
}

fn graph() -> &'static Graph {
    static GRAPH: OnceLock<Graph> = OnceLock::new();
    GRAPH.get_or_init(|| Builder::new(&roots::schemas(roots::KINDS.iter(), false)).build())
}

/// Turns schemas into types. Definitions get their places first, since they refer to each other.
struct Builder<'a> {
    schemas: &'a Map<String, Value>,
    facts: Table,
    graph: Graph,
}

impl<'a> Builder<'a> {
    fn new(schemas: &'a Map<String, Value>) -> Self {
        let places = schemas
            .keys()
            .zip(0..)
            .map(|(name, place)| (name.clone(), TypeRef(place)))
            .collect();
        let types = schemas.iter().map(|_| Type::Any).collect();
        Self {
            schemas,
            facts: Table::load(),
            graph: Graph {
                types,
                definitions: places,
            },
        }
    }

    fn build(mut self) -> Graph {
        for (place, (name, schema)) in self.schemas.iter().enumerate() {
            self.graph.types[place] = self.definition(name, schema);
        }
        self.graph
    }

    fn definition(&mut self, name: &str, schema: &Value) -> Type {
        if name.ends_with(".resource.Quantity") {
            return Type::Scalar(Scalar::Quantity);
        }
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return self.plain(schema, None);
        };
        let fields = properties
            .iter()
            .map(|(field, schema)| self.field(name, field, schema))
            .collect();
        Type::Struct(Struct {
            fields,
            atomic: self.facts.is_atomic(name),
        })
    }

    fn field(&mut self, definition: &str, name: &str, schema: &Value) -> Field {
        let facts = self.facts.field(definition, name).cloned().unwrap_or_default();
        let of = self.place(schema, Some(&facts));
        let is_metadata = reference(schema).is_some_and(|target| target.ends_with(".meta.v1.ObjectMeta"));
        Field {
            name: name.to_owned(),
            of,
            patch: facts.patch,
            always: facts.always || is_metadata,
            default: facts.default,
        }
    }

    fn place(&mut self, schema: &Value, facts: Option<&Facts>) -> TypeRef {
        if let Some(place) = reference(schema).and_then(|name| self.graph.definitions.get(name)) {
            return *place;
        }
        let of = self.plain(schema, facts);
        self.graph.types.push(of);
        TypeRef(u32::try_from(self.graph.types.len() - 1).expect("schemas have far fewer than 2^32 parts"))
    }

    fn plain(&mut self, schema: &Value, facts: Option<&Facts>) -> Type {
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => Type::Scalar(Scalar::Text),
            Some("integer" | "number") => Type::Scalar(Scalar::Number),
            Some("boolean") => Type::Scalar(Scalar::Boolean),
            Some("array") => {
                let item = self.place(schema.get("items").unwrap_or(&Value::Null), None);
                Type::List {
                    item,
                    rule: facts.and_then(|facts| facts.list.clone()).unwrap_or_default(),
                }
            }
            Some("object") => match schema.get("additionalProperties") {
                Some(values) => {
                    let value = self.place(values, None);
                    Type::Map {
                        value,
                        atomic: facts.is_some_and(|facts| facts.atomic),
                    }
                }
                None => Type::Any,
            },
            _ if schema.get("x-kubernetes-int-or-string").is_some() => Type::Scalar(Scalar::IntOrString),
            _ => Type::Any,
        }
    }
}

/// The definition a schema refers to.
pub(super) fn reference(schema: &Value) -> Option<&str> {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(definition: &str, path: &[&str]) -> &'static Type {
        let start = TypeRef::named(definition).expect(definition).get();
        path.iter().fold(start, |at, step| {
            let next = match at {
                Type::List { item, .. } => item.get(),
                other => other,
            };
            next.child(step)
                .unwrap_or_else(|| panic!("{definition} {path:?}: no {step}"))
                .get()
        })
    }

    #[test]
    fn every_fact_names_a_field_that_exists() {
        let schemas = roots::schemas(roots::KINDS.iter(), false);
        for (definition, field, facts) in Table::load().rows() {
            let of = TypeRef::named(definition);
            if of.is_none() {
                // Types of kinds that are not in the list of roots yet.
                assert!(!schemas.contains_key(definition), "{definition}");
                continue;
            }
            let of = of.expect("checked above").get();
            if field == "-" {
                assert!(matches!(of, Type::Struct(of) if of.atomic), "{definition}");
                continue;
            }
            let found = of
                .field(field)
                .unwrap_or_else(|| panic!("{definition} has no field {field}"));
            if let Some(ListRule::Map(keys)) = &facts.list {
                let Type::List { item, .. } = found.of.get() else {
                    panic!("{definition}.{field} is no list")
                };
                for key in keys {
                    assert!(item.get().field(key).is_some(), "{definition}.{field} has no key {key}");
                }
            }
        }
    }

    #[test]
    fn types_know_how_they_merge() {
        let pod = "io.k8s.api.core.v1.Pod";
        let keys = |of: &Type| match of {
            Type::List {
                rule: ListRule::Map(keys),
                ..
            } => keys.join(","),
            other => format!("{other:?}"),
        };
        for (name, path, wanted) in [
            ("containers", &["spec", "containers"][..], "name"),
            ("ports", &["spec", "containers", "ports"], "containerPort,protocol"),
            (
                "spread",
                &["spec", "topologySpreadConstraints"],
                "topologyKey,whenUnsatisfiable",
            ),
            ("owners", &["metadata", "ownerReferences"], "uid"),
            ("conditions", &["status", "conditions"], "type"),
        ] {
            assert_eq!(keys(follow(pod, path)), wanted, "{name}");
        }
        assert!(matches!(
            follow(pod, &["metadata", "finalizers"]),
            Type::List {
                rule: ListRule::Set,
                ..
            }
        ));
        assert!(matches!(
            follow(pod, &["spec", "tolerations"]),
            Type::List {
                rule: ListRule::Atomic,
                ..
            }
        ));
        assert!(matches!(
            follow(pod, &["spec", "nodeSelector"]),
            Type::Map { atomic: true, .. }
        ));
        assert!(matches!(
            follow(pod, &["metadata", "labels"]),
            Type::Map { atomic: false, .. }
        ));
        assert!(matches!(
            follow(pod, &["spec", "containers", "resources", "limits", "cpu"]),
            Type::Scalar(Scalar::Quantity)
        ));
        assert!(matches!(
            follow(
                "io.k8s.api.apps.v1.Deployment",
                &["spec", "strategy", "rollingUpdate", "maxSurge"]
            ),
            Type::Scalar(Scalar::IntOrString)
        ));
    }

    #[test]
    fn every_kind_served_has_a_type() {
        for kind in Kind::all() {
            assert!(TypeRef::of_kind(kind).is_some(), "{} has no row in roots", kind.kind);
        }
    }
}
