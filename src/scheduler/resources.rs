//! Amounts of resources: what a pod asks for, what a node has. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use crate::object::quantity::Quantity;

/// What kube-scheduler reckons a container uses that asks for no CPU: a tenth of a core.
const UNASKED_CPU_MILLIS: i64 = 100;
/// What kube-scheduler reckons a container uses that asks for no memory: 200 MiB.
const UNASKED_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource, in whole units (CPU in thousandths).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Everything else by name: huge pages and extended resources.
    pub others: BTreeMap<String, i64>,
}

/// A resource that nodes are compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// In thousandths of a core.
    Cpu,
    /// In bytes.
    Memory,
    /// In bytes.
    EphemeralStorage,
    /// Huge pages or an extended resource, by its name.
    Other(String),
}

impl From<&str> for Resource {
    fn from(name: &str) -> Self {
        match name {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "ephemeral-storage" => Self::EphemeralStorage,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// CPU and memory with a guess for containers that do not ask; only scores use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Thousandths of a core.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory: i64,
}

impl Resources {
    /// Reads a list of quantities; `pods` is no amount of anything and is left out, as is what cannot be read.
    pub fn read(list: Option<&BTreeMap<String, Text>>) -> Self {
        let mut read = Self::default();
        for (name, text) in list.into_iter().flatten() {
            let Ok(quantity) = text.0.parse::<Quantity>() else {
                continue;
            };
            match name.as_str() {
                "cpu" => read.cpu_millis = quantity.millis(),
                "memory" => read.memory = quantity.value(),
                "ephemeral-storage" => read.ephemeral_storage = quantity.value(),
                "pods" => {}
                other if quantity.value() != 0 => {
                    read.others.insert(other.to_owned(), quantity.value());
                }
                _ => {}
            }
        }
        read
    }

    /// How much there is of that resource.
    pub fn amount(&self, resource: &Resource) -> i64 {
        match resource {
            Resource::Cpu => self.cpu_millis,
            Resource::Memory => self.memory,
            Resource::EphemeralStorage => self.ephemeral_storage,
            Resource::Other(name) => self.others.get(name).copied().unwrap_or_default(),
        }
    }

    /// Adds the other's amounts to these.
    pub fn add(&mut self, other: &Self) {
        self.merge(other, |mine, theirs| mine.saturating_add(theirs));
    }

    /// Takes the other's amounts from these.
    pub fn subtract(&mut self, other: &Self) {
        self.merge(other, |mine, theirs| mine.saturating_sub(theirs));
        self.others.retain(|_, amount| *amount != 0);
    }

    /// Raises each amount to the other's.
    pub fn raise(&mut self, other: &Self) {
        self.merge(other, Ord::max);
    }

    fn merge(&mut self, other: &Self, with: impl Fn(i64, i64) -> i64) {
        self.cpu_millis = with(self.cpu_millis, other.cpu_millis);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.others {
            let mine = self.others.entry(name.clone()).or_default();
            *mine = with(*mine, *amount);
        }
    }

    /// Whether nothing at all is asked for.
    pub fn is_empty(&self) -> bool {
        self.cpu_millis == 0
            && self.memory == 0
            && self.ephemeral_storage == 0
            && self.others.values().all(|amount| *amount == 0)
    }
}

/// What a pod's placing takes from a node: its containers and sidecars together or, where that is more, the
/// largest init container beside the sidecars started before it; a pod-level request instead where there is
/// one; the overhead on top.
pub fn requests(spec: &PodSpec) -> Resources {
    total(spec, |container| {
        Resources::read(
            container
                .resources
                .as_ref()
                .and_then(|resources| resources.requests.as_ref()),
        )
    })
}

/// The same for scores, with a guess for each container that does not say.
pub fn estimate(spec: &PodSpec) -> Estimate {
    let total = total(spec, |container| {
        let list = container
            .resources
            .as_ref()
            .and_then(|resources| resources.requests.as_ref());
        let mut read = Resources::read(list);
        if list.is_none_or(|list| !list.contains_key("cpu")) {
            read.cpu_millis = UNASKED_CPU_MILLIS;
        }
        if list.is_none_or(|list| !list.contains_key("memory")) {
            read.memory = UNASKED_MEMORY;
        }
        read
    });
    Estimate {
        cpu_millis: total.cpu_millis,
        memory: total.memory,
    }
}

fn total(spec: &PodSpec, read: impl Fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&read(container));
    }
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut peak = read(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&peak);
            sidecars.add(&peak);
            peak = sidecars.clone();
        } else {
            peak.add(&sidecars);
        }
        starting.raise(&peak);
    }
    running.raise(&starting);
    replace_by_pod_level(&mut running, spec);
    running.add(&Resources::read(spec.overhead.as_ref()));
    running
}

/// Pod-level requests stand for the sum over containers, for the resources they may name.
fn replace_by_pod_level(total: &mut Resources, spec: &PodSpec) {
    let Some(list) = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref())
    else {
        return;
    };
    let read = Resources::read(Some(list));
    for name in list.keys() {
        match name.as_str() {
            "cpu" => total.cpu_millis = read.cpu_millis,
            "memory" => total.memory = read.memory,
            pages if pages.starts_with("hugepages-") => {
                if let Some(amount) = read.others.get(pages) {
                    total.others.insert(pages.to_owned(), *amount);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(value: Value) -> PodSpec {
        serde_json::from_value(value).expect("a pod spec")
    }

    fn container(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(name: &str, cpu: &str) -> Value {
        json!({"name": name, "restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn requests_count_what_runs_at_once() {
        let a = container("a", "100m");
        let b = container("b", "200m");
        for (name, containers, init, wanted) in [
            ("containers add up", vec![a.clone(), b.clone()], vec![], 300),
            (
                "a small init container is covered",
                vec![a.clone(), b.clone()],
                vec![container("i", "250m")],
                300,
            ),
            (
                "a large one counts alone",
                vec![a.clone(), b.clone()],
                vec![container("i", "1")],
                1000,
            ),
            ("a sidecar stays", vec![a.clone()], vec![sidecar("s", "50m")], 150),
            (
                "an init container runs beside the sidecars before it",
                vec![a.clone()],
                vec![sidecar("s", "50m"), container("i", "1")],
                1050,
            ),
            (
                "and not beside those after it",
                vec![a.clone()],
                vec![container("i", "1"), sidecar("s", "50m")],
                1000,
            ),
        ] {
            let spec = spec(json!({"containers": containers, "initContainers": init}));
            assert_eq!(requests(&spec).cpu_millis, wanted, "{name}");
        }
    }

    #[test]
    fn overhead_and_pod_level_requests_count() {
        let spec = spec(json!({
            "containers": [container("a", "100m")],
            "resources": {"requests": {"cpu": "2", "memory": "1Gi"}},
            "overhead": {"cpu": "10m"},
        }));
        let requests = requests(&spec);
        assert_eq!(requests.cpu_millis, 2010);
        assert_eq!(requests.memory, 1 << 30);
    }

    #[test]
    fn an_estimate_guesses_only_what_is_not_said() {
        let spec = spec(json!({"containers": [
            {"name": "a"},
            {"name": "b", "resources": {"requests": {"cpu": "0", "memory": "1Mi"}}},
        ]}));
        let estimate = estimate(&spec);
        assert_eq!(estimate.cpu_millis, 100);
        assert_eq!(estimate.memory, (200 + 1) << 20);
        assert!(requests(&spec).cpu_millis == 0);
    }

    #[test]
    fn adding_and_subtracting_are_each_others_opposite() {
        let some = Resources {
            cpu_millis: 5,
            others: BTreeMap::from([("example.com/gpu".to_owned(), 2)]),
            ..Resources::default()
        };
        let mut total = Resources::default();
        total.add(&some);
        total.subtract(&some);
        assert_eq!(total, Resources::default());
    }
}
