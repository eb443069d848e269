//! A pod's quality of service class. Looks at cpu and memory only, as Kubernetes does.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;

use crate::object::quantity::Quantity;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(pod: &Pod) -> &'static str {
    let spec = pod.spec.as_ref();
    let containers = spec
        .into_iter()
        .flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let (mut requests, mut limits) = (Totals::new(), Totals::new());
    let mut guaranteed = true;
    for container in containers {
        let of = |pick: Pick| container.resources.as_ref().and_then(pick);
        add(&mut requests, of(|resources| resources.requests.as_ref()));
        let limited = add(&mut limits, of(|resources| resources.limits.as_ref()));
        guaranteed &= limited == COMPUTE.len();
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

const COMPUTE: [&str; 2] = ["cpu", "memory"];

type Totals = BTreeMap<&'static str, Quantity>;
type Pick = fn(&k8s_openapi::api::core::v1::ResourceRequirements) -> Option<&BTreeMap<String, Amount>>;

/// Adds the positive amounts of one container; says how many there were.
fn add(totals: &mut Totals, amounts: Option<&BTreeMap<String, Amount>>) -> usize {
    let mut count = 0;
    for name in COMPUTE {
        let amount = amounts
            .and_then(|amounts| amounts.get(name))
            .and_then(|amount| amount.0.parse::<Quantity>().ok());
        if let Some(amount) = amount.filter(|amount| *amount > Quantity::default()) {
            *totals.entry(name).or_default() += amount;
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};

    use super::*;

    fn container(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> Container {
        let amounts = |pairs: &[(&str, &str)]| {
            Some(
                pairs
                    .iter()
                    .map(|(name, amount)| ((*name).to_owned(), Amount((*amount).to_owned())))
                    .collect(),
            )
        };
        let resources = ResourceRequirements {
            requests: amounts(requests),
            limits: amounts(limits),
            ..Default::default()
        };
        Container {
            resources: Some(resources),
            ..Default::default()
        }
    }

    #[test]
    fn classes() {
        let both = &[("cpu", "1"), ("memory", "1Gi")][..];
        for (name, containers, wanted) in [
            ("nothing", vec![container(&[], &[])], "BestEffort"),
            (
                "other resources",
                vec![container(&[("a.com/b", "1")], &[("a.com/b", "1")])],
                "BestEffort",
            ),
            ("zero", vec![container(&[("cpu", "0")], &[])], "BestEffort"),
            ("all equal", vec![container(both, both)], "Guaranteed"),
            (
                "one without memory",
                vec![container(&both[..1], &both[..1])],
                "Burstable",
            ),
            (
                "requests below limits",
                vec![container(&[("cpu", "1"), ("memory", "1Mi")], both)],
                "Burstable",
            ),
            (
                "one of two",
                vec![container(both, both), container(&[], &[])],
                "Burstable",
            ),
        ] {
            let pod = Pod {
                spec: Some(PodSpec {
                    containers,
                    ..Default::default()
                }),
                ..Default::default()
            };
            assert_eq!(class(&pod), wanted, "{name}");
        }
    }
}
