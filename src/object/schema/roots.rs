//! Names the types that documents and merging rules are made from. Never looks inside them.

use k8s_openapi::Resource;
use k8s_openapi::api::{apps, batch, coordination, core, policy, scheduling, storage};
use k8s_openapi::apimachinery::pkg::apis::meta;
use k8s_openapi::schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::super::Kind;
use super::super::source::Source;

/// A type with a schema: a kind, or what requests and answers are made of.
pub(super) struct Root {
    /// API group, empty for core.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// The definition's name, e.g. `io.k8s.api.core.v1.Pod`.
    pub definition: fn() -> String,
    add: fn(&mut SchemaGenerator),
}

/// Kinds; those not served yet cost nothing but their row.
pub(super) static KINDS: &[Root] = &[
    root::<core::v1::ConfigMap>(),
    root::<core::v1::Event>(),
    root::<core::v1::Namespace>(),
    root::<core::v1::Node>(),
    root::<core::v1::PersistentVolume>(),
    root::<core::v1::PersistentVolumeClaim>(),
    root::<core::v1::Pod>(),
    root::<core::v1::Secret>(),
    root::<core::v1::ServiceAccount>(),
    root::<coordination::v1::Lease>(),
    root::<policy::v1::PodDisruptionBudget>(),
    root::<scheduling::v1::PriorityClass>(),
    root::<storage::v1::StorageClass>(),
    root::<Source>(),
    root::<apps::v1::DaemonSet>(),
    root::<apps::v1::Deployment>(),
    root::<apps::v1::ReplicaSet>(),
    root::<apps::v1::StatefulSet>(),
    root::<batch::v1::CronJob>(),
    root::<batch::v1::Job>(),
];

/// What the names of our own types begin with.
const OURS: &str = "dev.reconcile.";

/// What requests and answers of any kind carry.
static SHARED: &[fn(&mut SchemaGenerator)] = &[
    add::<meta::v1::DeleteOptions>,
    add::<meta::v1::ListMeta>,
    add::<meta::v1::Patch>,
    add::<meta::v1::Status>,
];

const fn root<T: Resource + JsonSchema>() -> Root {
    Root {
        group: T::GROUP,
        version: T::VERSION,
        kind: T::KIND,
        definition: name::<T>,
        add: add::<T>,
    }
}

fn name<T: JsonSchema>() -> String {
    T::schema_name().into_owned()
}

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

/// The type of a kind.
pub(super) fn of(kind: &Kind) -> Option<&'static Root> {
    KINDS
        .iter()
        .find(|root| root.group == kind.group && root.version == kind.version && root.kind == kind.kind)
}

/// The JSON schemas of these types, and with `shared` those of requests and answers, and of everything they refer to.
pub(super) fn schemas<'a>(roots: impl Iterator<Item = &'a Root>, shared: bool) -> Map<String, Value> {
    let mut generator = SchemaSettings::draft07().into_generator();
    for root in roots {
        (root.add)(&mut generator);
    }
    if shared {
        SHARED.iter().for_each(|add| add(&mut generator));
    }
    let mut definitions = generator.take_definitions(false);
    // What is left out is left out: only `serde` fills it in, for our own types.
    for (name, definition) in &mut definitions {
        if let Some(Value::Object(properties)) = definition.get_mut("properties").filter(|_| name.starts_with(OURS)) {
            for property in properties.values_mut().filter_map(Value::as_object_mut) {
                property.remove("default");
            }
        }
    }
    definitions
}
