//! Pods and what is wrong with them, a row each. The recorded answers of a real API server have many more.

use serde_json::{Value, json};

use crate::object::kind::{Kind, Part};

/// A good pod with this merged into its spec.
fn pod(spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    let pods = Kind::find("", "v1", "pods").unwrap();
    let mut pod = pods.decode(pod).unwrap().object;
    pods.default(&mut pod);
    pods.prepare_create(&mut pod);
    pod
}

fn fields(spec: Value) -> Vec<String> {
    let errors = Kind::find("", "v1", "pods").unwrap().validate_create(&pod(spec));
    errors.into_iter().map(|error| error.field).collect()
}

/// A pod whose only container has this besides name and image.
fn with_container(extra: Value) -> Value {
    let mut container = json!({"name": "c", "image": "x"});
    for (key, value) in extra.as_object().unwrap() {
        container[key] = value.clone();
    }
    json!({"containers": [container], "volumes": [{"name": "v"}]})
}

#[test]
fn specs() {
    for (name, spec, wanted) in [
        ("good", json!({}), vec![]),
        (
            "gates",
            json!({"schedulingGates": [{"name": "a/b"}, {"name": "a/b"}], "nodeName": "n"}),
            vec!["spec.schedulingGates[1]", "spec.nodeName"],
        ),
        (
            "ephemeral containers",
            json!({"ephemeralContainers": [{"name": "e"}]}),
            vec!["spec.ephemeralContainers"],
        ),
        (
            "names",
            json!({"nodeName": "A", "serviceAccountName": "B", "subdomain": "a.b", "runtimeClassName": "C"}),
            vec![
                "spec.serviceAccountName",
                "spec.nodeName",
                "spec.subdomain",
                "spec.runtimeClassName",
            ],
        ),
        (
            "dns without servers",
            json!({"dnsPolicy": "None"}),
            vec!["spec.dnsConfig"],
        ),
        (
            "dns",
            json!({"dnsConfig": {"nameservers": ["x"], "searches": ["a b"], "options": [{}]}}),
            vec![
                "spec.dnsConfig.nameservers[0]",
                "spec.dnsConfig.searches[0]",
                "spec.dnsConfig.options[0]",
            ],
        ),
        (
            "init container of the same name",
            json!({"initContainers": [{"name": "c", "image": "x"}]}),
            vec!["spec.initContainers[0].name"],
        ),
        (
            "sidecar with a probe",
            json!({"initContainers": [{"name": "s", "image": "x", "restartPolicy": "Always",
            "readinessProbe": {"exec": {"command": ["x"]}}}]}),
            vec![],
        ),
        (
            "sidecar of another policy",
            json!({"initContainers": [{"name": "s", "image": "x", "restartPolicy": "Never"}]}),
            vec!["spec.initContainers[0].restartPolicy"],
        ),
        (
            "pid",
            json!({"hostPID": true, "shareProcessNamespace": true}),
            vec!["spec.securityContext.shareProcessNamespace"],
        ),
        (
            "seccomp",
            json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
            vec!["spec.securityContext.seccompProfile.localhostProfile"],
        ),
        (
            "preferred pod affinity",
            json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 0, "podAffinityTerm": {"topologyKey": "a"}}]}}}),
            vec!["spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight"],
        ),
        (
            "node fields",
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms":
            [{"matchFields": [{"key": "x", "operator": "Exists"}]}]}}}}),
            vec![
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].operator",
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key",
            ],
        ),
        (
            "projected paths",
            json!({"volumes": [{"name": "v", "projected": {"sources": [{}, {"serviceAccountToken": {"path": "a", "expirationSeconds": 1}},
            {"secret": {"name": "s", "items": [{"key": "k", "path": "a"}]}}]}}]}),
            vec![
                "spec.volumes[0].projected.sources[0]",
                "spec.volumes[0].projected.sources[1].serviceAccountToken.expirationSeconds",
                "spec.volumes[0].projected.sources[2]",
            ],
        ),
        (
            "downward file",
            json!({"volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "a"}]}}]}),
            vec!["spec.volumes[0].downwardAPI"],
        ),
        (
            "sources without what they need",
            json!({"volumes": [{"name": "a", "secret": {}}, {"name": "b", "configMap": {}},
            {"name": "c", "persistentVolumeClaim": {"claimName": ""}}, {"name": "d", "hostPath": {"path": ""}}]}),
            vec![
                "spec.volumes[0].secret.secretName",
                "spec.volumes[1].configMap.name",
                "spec.volumes[2].persistentVolumeClaim.claimName",
                "spec.volumes[3].hostPath.path",
            ],
        ),
        (
            "negative size",
            json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "-1"}}]}),
            vec!["spec.volumes[0].emptyDir.sizeLimit"],
        ),
    ] {
        assert_eq!(fields(spec), wanted, "{name}");
    }
}

#[test]
fn containers() {
    let at = |field: &str| format!("spec.containers[0].{field}");
    for (name, extra, wanted) in [
        ("image with a blank", json!({"image": " x"}), vec!["image"]),
        (
            "restart policy",
            json!({"restartPolicy": "Always"}),
            vec!["restartPolicy"],
        ),
        (
            "two env sources",
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"},
            "secretKeyRef": {"name": "s", "key": "a/b"}}}]}),
            vec!["env[0].valueFrom.secretKeyRef.key", "env[0].valueFrom"],
        ),
        (
            "field of another version",
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}}}]}),
            vec!["env[0].valueFrom.fieldRef.fieldPath"],
        ),
        (
            "field for files only",
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]}),
            vec!["env[0].valueFrom.fieldRef.fieldPath"],
        ),
        (
            "divisor",
            json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi"}}}]}),
            vec!["env[0].valueFrom.resourceFieldRef.divisor"],
        ),
        ("envFrom nothing", json!({"envFrom": [{}]}), vec!["envFrom"]),
        (
            "both sub paths",
            json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a", "subPathExpr": "b"}]}),
            vec!["volumeMounts[0].subPathExpr"],
        ),
        (
            "propagation",
            json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]}),
            vec!["volumeMounts.mountPropagation"],
        ),
        (
            "readiness grace",
            json!({"readinessProbe": {"tcpSocket": {"port": "http"}, "terminationGracePeriodSeconds": 1}}),
            vec!["readinessProbe.terminationGracePeriodSeconds"],
        ),
        (
            "sleep",
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
            vec!["lifecycle.preStop.sleep"],
        ),
        (
            "header and scheme",
            json!({"livenessProbe": {"httpGet": {"port": 1, "scheme": "FTP", "httpHeaders": [{"name": "a b"}]}}}),
            vec!["livenessProbe.httpGet.scheme", "livenessProbe.httpGet.httpHeaders"],
        ),
        (
            "quota's resource",
            json!({"resources": {"limits": {"pods": "1"}}}),
            vec!["resources.limits[pods]", "resources.requests[pods]"],
        ),
        (
            "extended request below its limit",
            json!({"resources": {"requests": {"a.com/b": "1"}, "limits": {"a.com/b": "2"}}}),
            vec!["resources.requests"],
        ),
        (
            "huge pages alone",
            json!({"resources": {"limits": {"hugepages-2Mi": "2Mi"}}}),
            vec!["resources"],
        ),
    ] {
        let wanted: Vec<String> = wanted.into_iter().map(at).collect();
        assert_eq!(fields(with_container(extra)), wanted, "{name}");
    }
}

fn push(spec: &mut Value, list: &str, item: Value) {
    spec[list].as_array_mut().unwrap().push(item);
}

#[test]
fn updates() {
    let base = json!({"tolerations": [{"key": "a", "operator": "Exists"}], "schedulingGates": [{"name": "g/a"}], "activeDeadlineSeconds": 10});
    type Change = fn(&mut Value);
    let rows: &[(&str, Change, &[&str])] = &[
        ("nothing", |_| {}, &[]),
        ("image", |spec| spec["containers"][0]["image"] = json!("y"), &[]),
        (
            "no image",
            |spec| spec["containers"][0]["image"] = json!(""),
            &["spec.containers[0].image"],
        ),
        (
            "command",
            |spec| spec["containers"][0]["command"] = json!(["y"]),
            &["spec"],
        ),
        ("node", |spec| spec["nodeName"] = json!("n"), &["spec"]),
        (
            "another container",
            |spec| push(spec, "containers", json!({})),
            &["spec.containers"],
        ),
        (
            "toleration added",
            |spec| push(spec, "tolerations", json!({"key": "b", "operator": "Exists"})),
            &[],
        ),
        (
            "toleration removed",
            |spec| spec["tolerations"] = json!([]),
            &["spec.tolerations"],
        ),
        (
            "bad toleration added",
            |spec| push(spec, "tolerations", json!({"key": "b", "operator": "x"})),
            &["spec.tolerations[1].operator"],
        ),
        ("shorter deadline", |spec| spec["activeDeadlineSeconds"] = json!(5), &[]),
        (
            "longer deadline",
            |spec| spec["activeDeadlineSeconds"] = json!(15),
            &["spec.activeDeadlineSeconds"],
        ),
        (
            "no deadline",
            |spec| spec["activeDeadlineSeconds"] = Value::Null,
            &["spec.activeDeadlineSeconds"],
        ),
        ("gate removed", |spec| spec["schedulingGates"] = json!([]), &[]),
        (
            "gate added",
            |spec| push(spec, "schedulingGates", json!({"name": "g/b"})),
            &["spec.schedulingGates[1]"],
        ),
    ];
    let pods = Kind::find("", "v1", "pods").unwrap();
    let old = pod(base);
    for (name, change, wanted) in rows {
        let mut new = old.clone();
        change(&mut new["spec"]);
        let mut new = pods.decode(new).unwrap().object;
        pods.prepare_update(&mut new, &old, Part::Main);
        let errors = pods.validate_update(&new, &old, Part::Main);
        let got: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(got, *wanted, "{name}: {errors:?}");
    }
}

#[test]
fn a_spec_refusal_names_the_fields_that_differ() {
    let pods = Kind::find("", "v1", "pods").unwrap();
    let old = pod(json!({}));
    let mut new = old.clone();
    new["spec"]["containers"][0]["command"] = json!(["y"]);
    let errors = pods.validate_update(&new, &old, Part::Main);
    let message = &errors[0].message;
    assert!(
        message.starts_with("Forbidden: pod updates may not change fields other than"),
        "{message}"
    );
    assert!(
        message.ends_with("\nspec.containers[0].command[0]: nothing -> \"y\""),
        "{message}"
    );
}

#[test]
fn status_updates() {
    let status =
        |state: Value| json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "state": state}]});
    let (running, ok, failed) = (
        json!({"running": {}}),
        json!({"terminated": {"exitCode": 0}}),
        json!({"terminated": {"exitCode": 1}}),
    );
    for (name, policy, before, after, wanted) in [
        ("runs again", "Always", &ok, &running, 0),
        ("may not run again", "Never", &failed, &running, 1),
        ("is tried again", "OnFailure", &failed, &running, 0),
        ("was done", "OnFailure", &ok, &running, 1),
        ("ends", "Never", &running, &ok, 0),
    ] {
        let pods = Kind::find("", "v1", "pods").unwrap();
        let mut old = pod(json!({"restartPolicy": policy}));
        old["status"] = status(before.clone());
        let mut new = old.clone();
        new["status"] = status(after.clone());
        new["spec"]["nodeName"] = json!("ignored");
        pods.prepare_update(&mut new, &old, Part::Status);
        assert_eq!(new["spec"], old["spec"], "{name}");
        assert_eq!(pods.validate_update(&new, &old, Part::Status).len(), wanted, "{name}");
    }
}
