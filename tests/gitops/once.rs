//! Plan and outcome agree: what a dry run says is what a sync does, and a second one finds nothing to do.

use reconcile::gitops::report::{DiffLine, Verdict};
use reconcile::gitops::{Action, PlanReport};
use serde_json::json;

use super::harness::{World, actions, config_map, pod, problems};

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n";

fn diff_of(report: &PlanReport, name: &str) -> String {
    let entry = report
        .entries
        .iter()
        .find(|entry| entry.name == name)
        .expect("an entry");
    entry
        .diff
        .iter()
        .map(|line| match line {
            DiffLine::Hunk(text) => format!("{text}\n"),
            DiffLine::Context(text) => format!(" {text}\n"),
            DiffLine::Removed(text) => format!("-{text}\n"),
            DiffLine::Added(text) => format!("+{text}\n"),
        })
        .collect()
}

#[tokio::test]
async fn every_action_is_foretold_and_carried_out() {
    let world = World::new().await;
    world.write("settings.yaml", &config_map("settings", "one"));
    world.write("leaving.yaml", &config_map("leaving", "x"));
    world.write("deep/er/web.yaml", &pod("web", "hello"));
    world.write("same.yaml", &pod("same", "hello"));

    let plan = world.dry_run().await;
    assert_eq!(plan.verdict(), Verdict::Differs);
    assert_eq!(
        actions(&plan),
        [
            "create configmap/leaving",
            "create configmap/settings",
            "create pod/same",
            "create pod/web"
        ]
    );
    let outcome = world.sync().await;
    assert_eq!(outcome.counts.create, 4);
    assert_eq!(
        problems(&outcome.problems).len(),
        2,
        "two pods that nobody runs: {outcome:?}"
    );

    let again = world.dry_run().await;
    assert_eq!(
        (again.verdict(), again.counts.unchanged),
        (Verdict::Same, 4),
        "{again:?}"
    );
    let before = world.revision().await;
    assert_eq!(world.sync().await.counts.changes(), 0);
    assert_eq!(world.revision().await, before, "a second sync writes nothing");

    let web = world.get("Pod", "web").await.expect("web");
    let same = world.get("Pod", "same").await.expect("same");
    world.write("settings.yaml", &config_map("settings", "two"));
    world.remove("leaving.yaml");
    world.write("arriving.yaml", &config_map("arriving", "y"));
    world.write("deep/er/web.yaml", &pod("web", "goodbye"));
    world.write("same.yaml", &pod("same", "hello").replace("app: same", "app: other"));
    let plan = world.dry_run().await;
    assert_eq!(
        actions(&plan),
        [
            "create configmap/arriving",
            "update configmap/settings",
            "update pod/same",
            "replace pod/web",
            "delete configmap/leaving"
        ]
    );
    insta::assert_snapshot!(diff_of(&plan, "pod/web"), @r"
    @@ -12,6 +12,6 @@
         - '1000'
         env:
         - name: GREETING
    -      value: hello
    +      value: goodbye
         image: busybox:1.36
         name: main
    ");
    insta::assert_snapshot!(diff_of(&plan, "configmap/leaving"), @r"
    @@ -1,7 +0,0 @@
    -apiVersion: v1
    -data:
    -  key: x
    -kind: ConfigMap
    -metadata:
    -  name: leaving
    -  namespace: default
    ");
    let outcome = world.sync().await;
    assert_eq!(outcome.counts, plan.counts);
    assert_eq!(world.names("ConfigMap").await, ["arriving", "settings"]);
    let now = world.get("Pod", "same").await.expect("same");
    assert_eq!(now["metadata"]["uid"], same["metadata"]["uid"], "changed in place");
    assert_eq!(now["metadata"]["labels"]["app"], "other");
    let now = world.get("Pod", "web").await.expect("web");
    assert_ne!(now["metadata"]["uid"], web["metadata"]["uid"], "replaced");
    assert_eq!(world.dry_run().await.verdict(), Verdict::Same);
}

#[tokio::test]
async fn a_new_namespace_and_what_lies_in_it_preview_cleanly() {
    let world = World::new().await;
    world.write(
        "all.yaml",
        &format!(
            "{}---\n{NAMESPACE}",
            pod("web", "hello").replace("  name: web\n  labels", "  name: web\n  namespace: shop\n  labels")
        ),
    );
    let plan = world.dry_run().await;
    assert_eq!(problems(&plan.problems), [""; 0]);
    assert_eq!(actions(&plan), ["create namespace/shop", "create pod/web"]);
    assert!(
        diff_of(&plan, "pod/web").contains("+  namespace: shop\n"),
        "{}",
        diff_of(&plan, "pod/web")
    );
    let outcome = world.sync().await;
    assert_eq!(outcome.counts.create, 2, "{outcome:?}");
    assert!(world.get_in("Pod", Some("shop"), "web").await.is_some());
    assert_eq!(world.dry_run().await.verdict(), Verdict::Same);
}

#[tokio::test]
async fn an_invalid_object_in_a_new_namespace_is_refused_before_anything_is_written() {
    let world = World::new().await;
    world.write("ns.yaml", NAMESPACE);
    world.write(
        "web.yaml",
        &pod("web", "hello")
            .replace("  name: web\n", "  name: web\n  namespace: shop\n")
            .replace("image: busybox:1.36", "image: \"\""),
    );
    let plan = world.dry_run().await;
    let found = problems(&plan.problems);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("web.yaml:11:5: Pod shop/web: spec.containers[0].image: Required value"),
        "{found:?}"
    );
    assert_eq!(plan.verdict(), Verdict::Error);
    assert_eq!(actions(&plan), ["create namespace/shop"]);
}

#[tokio::test]
async fn all_errors_of_all_files_come_at_once() {
    let world = World::new().await;
    world.write("a.yaml", "kind: ConfigMap\n\tname: tabs\n");
    world.write("b.yaml", &pod("b", "x").replace("image:", "imge:"));
    world.write("c.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: c}\n");
    world.write("d.yaml", &config_map("d", "fine"));
    world.write(
        "e.yaml",
        &pod("e", "x")
            .replace("namespace", "")
            .replace("  name: e\n", "  name: e\n  namespace: nowhere\n"),
    );
    let found = problems(&world.dry_run().await.problems);
    let expected = [
        "a.yaml:2:1: the line is indented with a tab",
        "b.yaml:10:5: Pod default/b: unknown field spec.containers[0].imge",
        "c.yaml:2:1: Deployment.apps c: apps/v1 is not served here; served are v1 (",
        "e.yaml:5:3: Pod nowhere/e: namespace nowhere does not exist",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
    assert!(found.len() >= expected.len(), "{found:#?}");
    let outcome = world.sync().await;
    assert_eq!(outcome.counts.create, 1, "the valid one is applied: {outcome:?}");
}

#[tokio::test]
async fn an_invalid_change_never_deletes_the_pod() {
    let world = World::new().await;
    world.write("web.yaml", &pod("web", "hello"));
    world.sync().await;
    let before = world.get("Pod", "web").await.expect("web");
    // The env may not change in place, and the new name of the container is no name.
    world.write(
        "web.yaml",
        &pod("web", "goodbye").replace("name: main", "name: NO_NAME"),
    );
    let outcome = world.sync().await;
    assert_eq!(outcome.counts.changes(), 0, "{outcome:?}");
    let found = problems(&outcome.problems);
    assert!(
        found
            .iter()
            .any(|problem| problem.contains("web.yaml:9:5") && problem.contains("spec.containers[0].name")),
        "{found:?}"
    );
    assert_eq!(
        world.get("Pod", "web").await.expect("web")["metadata"]["uid"],
        before["metadata"]["uid"]
    );
}

#[tokio::test]
async fn a_finished_pod_runs_again_only_when_its_manifest_changes() {
    let world = World::new().await;
    world.write("job.yaml", &pod("job", "hello"));
    world.sync().await;
    world.merge_status("job", json!({"phase": "Succeeded"})).await;
    let before = world.get("Pod", "job").await.expect("job");
    let outcome = world.sync().await;
    assert_eq!(
        (outcome.counts.changes(), outcome.problems.len()),
        (0, 0),
        "{outcome:?}"
    );
    world.write("job.yaml", &pod("job", "hello").replace("busybox:1.36", "busybox:1.37"));
    assert_eq!(world.sync().await.counts.replace, 1);
    let after = world.get("Pod", "job").await.expect("job");
    assert_ne!(after["metadata"]["uid"], before["metadata"]["uid"]);
}

#[tokio::test]
async fn existing_objects_are_adopted_and_those_of_another_source_are_not() {
    let world = World::new().await;
    world.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "found"}, "data": {"key": "old", "other": "stays"}})).await;
    world.write("found.yaml", &config_map("found", "new"));
    let plan = world.dry_run().await;
    assert_eq!(plan.entries[0].action, Action::Update);
    assert!(
        plan.entries[0]
            .reasons
            .iter()
            .any(|reason| reason.contains("taken over by this source")),
        "{plan:?}"
    );
    world.sync().await;
    let found = world.get("ConfigMap", "found").await.expect("found");
    assert_eq!(found["data"], json!({"key": "new", "other": "stays"}));

    std::fs::create_dir(world.path("second")).expect("made");
    std::fs::write(world.path("second/found.yaml"), config_map("found", "mine")).expect("written");
    let mut second = world.config();
    second.source = world.path("second").to_str().expect("text").to_owned();
    let outcome = world.sync_with(&second).await;
    assert_eq!(outcome.counts.changes(), 0);
    assert!(
        problems(&outcome.problems)[0].contains("belongs to another source"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn an_unowned_pod_that_would_have_to_be_replaced_is_left_alone() {
    let world = World::new().await;
    world.create(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "main", "image": "busybox:1.36", "command": ["sleep", "1"]}]}})).await;
    let before = world.get("Pod", "web").await.expect("web");
    world.write("web.yaml", &pod("web", "hello"));
    let outcome = world.sync().await;
    assert!(
        problems(&outcome.problems)[0].contains("is not owned by this source"),
        "{outcome:?}"
    );
    assert_eq!(
        world.get("Pod", "web").await.expect("web")["metadata"]["uid"],
        before["metadata"]["uid"]
    );
}

#[tokio::test]
async fn secrets_are_masked_and_their_changes_seen() {
    let world = World::new().await;
    let secret = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\nstringData:\n  password: {value}\n  user: admin\n"
        )
    };
    world.write("keys.yaml", &secret("hunter2-old"));
    world.sync().await;
    assert_eq!(world.dry_run().await.verdict(), Verdict::Same);
    world.write("keys.yaml", &secret("hunter2-new"));
    let plan = world.dry_run().await;
    insta::assert_snapshot!(diff_of(&plan, "secret/keys"), @r"
    @@ -1,6 +1,6 @@
     apiVersion: v1
     data:
    -  password: '*** (before)'
    +  password: '*** (after)'
       user: '***'
     kind: Secret
     metadata:
    ");
    let everything = serde_json::to_string(&plan).expect("JSON");
    assert!(
        !everything.contains("hunter2") && !everything.contains("aHVudGVyMi"),
        "{everything}"
    );
    world.sync().await;
    assert_eq!(world.dry_run().await.verdict(), Verdict::Same);
}

#[tokio::test]
async fn moving_an_object_between_files_changes_nothing() {
    let world = World::new().await;
    world.write(
        "a.yaml",
        &format!("{}---\n{}", config_map("one", "1"), config_map("two", "2")),
    );
    world.sync().await;
    let before = world.get("ConfigMap", "two").await.expect("two");
    world.write("a.yaml", &config_map("one", "1"));
    world.write("b.yaml", &config_map("two", "2"));
    assert_eq!(world.sync().await.counts.changes(), 0);
    assert_eq!(world.get("ConfigMap", "two").await.expect("two"), before);
    // The inventory knows the new file: breaking it keeps the object.
    world.write("b.yaml", "kind: [");
    world.write("a.yaml", &config_map("one", "1"));
    let outcome = world.sync().await;
    assert_eq!((outcome.counts.delete, outcome.counts.keep), (0, 1), "{outcome:?}");
}

#[tokio::test]
async fn a_namespace_leaves_only_with_all_that_lies_in_it() {
    let world = World::new().await;
    world.write("anchor.yaml", &config_map("anchor", "1"));
    world.write("ns.yaml", NAMESPACE);
    world.sync().await;
    let stranger =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "strangers", "namespace": "shop"}});
    let stranger: kube::api::DynamicObject = serde_json::from_value(stranger).expect("an object");
    let resource = kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "ConfigMap"));
    let api: kube::Api<kube::api::DynamicObject> = kube::Api::namespaced_with(world.client.clone(), "shop", &resource);
    api.create(&Default::default(), &stranger).await.expect("created");
    world.remove("ns.yaml");
    let plan = world.dry_run().await;
    assert_eq!(actions(&plan), ["keep namespace/shop"]);
    assert!(
        plan.entries[0].reasons[0].contains("ConfigMap shop/strangers"),
        "{plan:?}"
    );
    api.delete("strangers", &Default::default()).await.expect("deleted");
    assert_eq!(actions(&world.dry_run().await), ["delete namespace/shop"]);
}

#[tokio::test]
async fn dropped_fields_are_taken_back_and_fields_of_others_stay() {
    let world = World::new().await;
    world.write("a.yaml", &(config_map("a", "1") + "  second: two\n"));
    world.sync().await;
    world.merge("ConfigMap", "a", json!({"data": {"others": "x"}})).await;
    assert_eq!(
        world.dry_run().await.verdict(),
        Verdict::Same,
        "a field that we never named is not ours"
    );
    world.write("a.yaml", &config_map("a", "1"));
    insta::assert_snapshot!(diff_of(&world.dry_run().await, "configmap/a"), @r"
    @@ -1,7 +1,6 @@
     apiVersion: v1
     data:
       key: '1'
    -  second: two
     kind: ConfigMap
     metadata:
       name: a
    ");
    world.sync().await;
    assert_eq!(
        world.get("ConfigMap", "a").await.expect("a")["data"],
        json!({"key": "1", "others": "x"})
    );
}
