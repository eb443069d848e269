//! What holds of applies of any shape, and what they cost.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::test_support::*;
use crate::object::schema::types::TypeRef;

/// Prints what ownership costs: `cargo nextest run --run-ignored only what_an_apply_costs --no-capture`.
#[test]
#[ignore = "prints times for a person to read; only an optimised build says much"]
fn what_an_apply_costs() {
    let container = |name: &str| {
        json!({"name": name, "image": "registry.example.com/team/app:1.2.3", "imagePullPolicy": "IfNotPresent",
               "args": ["--listen", "0.0.0.0:8080", "--log", "info"],
               "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}],
               "ports": [{"containerPort": 8080, "name": "web", "protocol": "TCP"}],
               "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}},
               "volumeMounts": [{"mountPath": "/data", "name": "data"}, {"mountPath": "/tmp", "name": "tmp"}]})
    };
    let mut config = containers(json!([container("app"), container("side")]));
    config["metadata"]["labels"] = json!({"app": "web", "tier": "front"});
    let live = all_applied(&[("one", config.clone())]);
    let mut other = config.clone();
    other["spec"]["containers"][1]["image"] = json!("other");
    let mut renamed = live.clone();
    renamed["spec"]["containers"][1]["image"] = json!("other");
    let report = |name: &str, run: &dyn Fn()| {
        let rounds = 1_000;
        let start = std::time::Instant::now();
        (0..rounds).for_each(|_| run());
        println!(
            "{name}: {:?} each, of {} bytes",
            start.elapsed() / rounds,
            config.to_string().len()
        );
    };
    report("first apply", &|| drop(applied(None, &config, false, by("one", NOW))));
    report("the same again", &|| {
        drop(applied(Some(&live), &config, false, by("one", NOW)))
    });
    report("one field changed", &|| {
        drop(applied(Some(&live), &other, false, by("one", NOW)))
    });
    report("over another manager", &|| {
        drop(applied(Some(&live), &config, false, by("two", NOW)))
    });
    report("tracked create", &|| drop(created(config.clone(), "creator")));
    report("tracked update", &|| {
        pods().track(Some(&live), &mut renamed.clone(), by("two", NOW))
    });
    report("strategic merge", &|| {
        let of = TypeRef::named("io.k8s.api.core.v1.Pod");
        drop(crate::object::patch::strategic_of(
            of,
            &live,
            &json!({"metadata": {"labels": {"a": "b"}}}),
        ));
    });
}

proptest! {
    /// Objects and configurations of any shape are merged or refused; the same applied again changes nothing.
    #[test]
    fn no_configuration_panics(live in any_pod(), config in any_pod(), force in any::<bool>()) {
        let with_type = |mut pod: Value| {
            pod["apiVersion"] = json!("v1");
            pod
        };
        let (live, config) = (with_type(live), with_type(config));
        let mut tracked = live.clone();
        pods().track(None, &mut tracked, by("creator", NOW));
        pods().track(Some(&tracked), &mut config.clone(), by("updater", NOW));
        if let Ok(once) = applied(Some(&tracked), &config, force, by("one", NOW)) {
            let again = applied(Some(&once), &config, false, by("one", LATER));
            prop_assert!(matches!(&again, Ok(again) if *again == once), "{again:?}\nafter\n{once}");
        }
    }
}

/// Pods with the odd thing in the wrong place.
fn any_pod() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        Just(json!("x")),
        Just(json!(1)),
        Just(json!({})),
        Just(json!([]))
    ];
    let env = prop::collection::vec(
        prop_oneof![
            "[AB]".prop_map(|name| json!({"name": name})),
            "[AB]".prop_map(|name| json!({"name": name, "value": name})),
            scalar.clone(),
        ],
        0..3,
    );
    let container =
        ("[cd]", env, scalar.clone()).prop_map(|(name, env, odd)| json!({"name": name, "env": env, "stdin": odd}));
    let containers = prop_oneof![
        prop::collection::vec(container, 0..3).prop_map(Value::from),
        scalar.clone()
    ];
    (containers, scalar.clone(), scalar.clone(), prop::collection::vec("[ab]", 0..3)).prop_map(|(containers, odd, labels, finalizers)| {
        json!({"metadata": {"labels": labels, "finalizers": finalizers}, "spec": {"containers": containers, "volumes": odd}})
    })
}
