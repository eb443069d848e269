//! What a new object gets from its surroundings, and what every cluster has from the start.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::on_both_stores;
use super::world::{PODS, World, pod, pod_path};

fn every_cluster_has_its_namespaces_accounts_and_classes(world: &World) {
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        assert_eq!(
            world.get(&format!("/api/v1/namespaces/{namespace}")).of(200)["status"]["phase"],
            "Active"
        );
        let account = world
            .get(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/default"))
            .of(200);
        let secret = account["secrets"][0]["name"].as_str().expect("a secret's name");
        let secret = world
            .get(&format!("/api/v1/namespaces/{namespace}/secrets/{secret}"))
            .of(200);
        assert_eq!(secret["type"], "kubernetes.io/service-account-token");
        assert_eq!(
            secret["metadata"]["annotations"]["kubernetes.io/service-account.uid"],
            account["metadata"]["uid"]
        );
        let data = |key: &str| {
            String::from_utf8(STANDARD.decode(secret["data"][key].as_str().expect(key)).expect(key)).expect(key)
        };
        assert_eq!(data("namespace"), namespace);
        assert_eq!(data("ca.crt"), world.pki.ca_certificate());
        assert_eq!(data("token").split('.').count(), 3, "a JWT");
    }
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    assert_eq!(
        world.get(&format!("{classes}/system-node-critical")).of(200)["value"],
        2_000_001_000
    );
    assert_eq!(
        world.get(&format!("{classes}/system-cluster-critical")).of(200)["value"],
        2_000_000_000
    );
}

fn a_pod_gets_its_account_and_priority(world: &World) {
    let made = world.post(PODS, &pod("p")).of(201);
    assert_eq!(
        (&made["spec"]["serviceAccountName"], &made["spec"]["priority"]),
        (&json!("default"), &json!(0))
    );
    let mount = &made["spec"]["containers"][0]["volumeMounts"][0];
    assert_eq!(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    let secret = made["spec"]["volumes"][0]["secret"]["secretName"]
        .as_str()
        .expect("a secret");
    world
        .get(&format!("/api/v1/namespaces/default/secrets/{secret}"))
        .of(200);
    let mut own = pod("own");
    own["spec"]["serviceAccountName"] = json!("builder");
    let message = world.post(PODS, &own).refused(403, "Forbidden");
    assert_eq!(
        message,
        "pods \"own\" is forbidden: error looking up service account default/builder: serviceaccount \"builder\" not found"
    );
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "builder"}, "imagePullSecrets": [{"name": "registry"}]});
    world
        .post("/api/v1/namespaces/default/serviceaccounts", &account)
        .of(201);
    let made = world.post(PODS, &own).of(201);
    assert!(
        made["spec"]["volumes"][0]["name"]
            .as_str()
            .expect("a volume")
            .starts_with("builder-token-")
    );
    assert_eq!(made["spec"]["imagePullSecrets"][0]["name"], "registry");
}

fn priority_classes_count(world: &World) {
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let class = |name: &str, value: i64, default: bool| json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value, "globalDefault": default});
    let named = |class: &str| {
        let mut pod = pod(&format!("with-{class}"));
        pod["spec"]["priorityClassName"] = json!(class);
        world.post(PODS, &pod)
    };
    assert_eq!(
        named("high").refused(403, "Forbidden"),
        "pods \"with-high\" is forbidden: no PriorityClass with name high was found"
    );
    world.post(classes, &class("high", 1000, false)).of(201);
    assert_eq!(named("high").of(201)["spec"]["priority"], 1000);
    world.post(classes, &class("usual", 10, true)).of(201);
    let made = world.post(PODS, &pod("plain")).of(201);
    assert_eq!(
        (&made["spec"]["priorityClassName"], &made["spec"]["priority"]),
        (&json!("usual"), &json!(10))
    );
    let mut claims = pod("claims");
    claims["spec"]["priority"] = json!(77);
    world.post(PODS, &claims).refused(403, "Forbidden");
    // A manifest that replaces the pod need not repeat what was settled.
    let mut again = made.clone();
    for field in ["priority", "preemptionPolicy"] {
        again["spec"].as_object_mut().expect("a spec").remove(field);
    }
    let replaced = world.put(&pod_path("plain"), &again).of(200);
    assert_eq!(replaced["spec"], made["spec"]);
}

fn a_pods_class_decides_whether_it_preempts(world: &World) {
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let patient = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "patient"},
        "value": 5, "preemptionPolicy": "Never"});
    world.post(classes, &patient).of(201);
    let of_class = |name: &str, policy: Value| {
        let mut pod = pod(name);
        pod["spec"]["priorityClassName"] = json!("patient");
        pod["spec"]["preemptionPolicy"] = policy;
        world.post(PODS, &pod)
    };
    for (name, policy) in [("says-nothing", Value::Null), ("says-the-same", json!("Never"))] {
        assert_eq!(
            of_class(name, policy).of(201)["spec"]["preemptionPolicy"],
            "Never",
            "{name}"
        );
    }
    assert_eq!(
        of_class("differs", json!("PreemptLowerPriority")).refused(403, "Forbidden"),
        "pods \"differs\" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided \
         in pod spec; priority admission controller computed Never from the given PriorityClass name"
    );
    let plain = world.post(PODS, &pod("plain")).of(201);
    assert_eq!(plain["spec"]["preemptionPolicy"], "PreemptLowerPriority");
}

fn a_cluster_has_one_default_class(world: &World) {
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    let class = |name: &str, default: bool| {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": name}, "value": 5, "globalDefault": default})
    };
    world.post(classes, &class("first", true)).of(201);
    world.post(classes, &class("second", false)).of(201);
    let refusal = |name: &str| {
        format!(
            "priorityclasses.scheduling.k8s.io \"{name}\" is forbidden: PriorityClass first is already marked as default. \
             Only one default can exist"
        )
    };
    assert_eq!(
        world.post(classes, &class("third", true)).refused(403, "Forbidden"),
        refusal("third")
    );
    let mark = |default: bool| json!({"globalDefault": default});
    let second = format!("{classes}/second");
    assert_eq!(
        world.patch(&second, "merge", &mark(true)).refused(403, "Forbidden"),
        refusal("second")
    );
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    world.patch(&format!("{classes}/first"), "merge", &label).of(200);
    world.patch(&format!("{classes}/first"), "merge", &mark(false)).of(200);
    world.patch(&second, "merge", &mark(true)).of(200);
    let made = world.post(PODS, &pod("p")).of(201);
    assert_eq!(made["spec"]["priorityClassName"], "second");
}

fn a_new_node_is_tainted_until_it_is_ready(world: &World) {
    let node =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}}});
    let made = world.post("/api/v1/nodes", &node).of(201);
    let taints: Vec<&Value> = made["spec"]["taints"]
        .as_array()
        .expect("taints")
        .iter()
        .map(|taint| &taint["key"])
        .collect();
    assert_eq!(taints, ["node.kubernetes.io/not-ready"]);
    assert_eq!(made["status"]["capacity"]["cpu"], "4");
}

fn a_new_namespace_has_its_account(world: &World) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}});
    world.post("/api/v1/namespaces", &namespace).of(201);
    let made = world.post("/api/v1/namespaces/team/pods", &pod("p")).of(201);
    assert!(
        made["spec"]["volumes"][0]["name"]
            .as_str()
            .expect("a volume")
            .starts_with("default-token-")
    );
    world
        .post("/api/v1/namespaces/none/pods", &pod("p"))
        .refused(404, "NotFound");
}

on_both_stores!(
    every_cluster_has_its_namespaces_accounts_and_classes,
    a_pod_gets_its_account_and_priority,
    priority_classes_count,
    a_pods_class_decides_whether_it_preempts,
    a_cluster_has_one_default_class,
    a_new_node_is_tainted_until_it_is_ready,
    a_new_namespace_has_its_account,
);
