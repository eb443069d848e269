//! What holds of applies of any shape.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::test_support::*;

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
