//! A pod is replaced once the kubelet that runs it has the images of the new one. The kubelet is played by the test.

use reconcile::object::prepull;
use serde_json::{Value, json};

use super::harness::{Following, World, eventually, pod, problems};
use super::state::let_go;

const OURS: &str = "v1.37.0+reconcile.0.1.0";

/// A world with a node of that kubelet, and a pod of the source that runs there.
async fn running(kubelet: &str) -> (World, Following) {
    let world = World::new().await;
    send(
        &world,
        "POST",
        "/api/v1/nodes",
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}),
    )
    .await;
    let status = json!({"status": {"nodeInfo": {"kubeletVersion": kubelet}}});
    send(&world, "PATCH", "/api/v1/nodes/node/status", status).await;
    world.write("p.yaml", &manifest("busybox:1.36", "one"));
    let following = world.follow();
    following.said("\"synced\"").await;
    world.bind("p").await;
    let container =
        json!({"name": "main", "image": "busybox:1.36", "imageID": "sha256:1", "ready": true, "restartCount": 0});
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let status = json!({"phase": "Running", "containerStatuses": [container], "conditions": ready});
    world.merge_status("p", status).await;
    (world, following)
}

async fn send(world: &World, method: &str, path: &str, body: Value) {
    let content_type = match method {
        "PATCH" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .body(body.to_string().into_bytes())
        .expect("a request");
    world.client.request::<Value>(request).await.expect("done");
}

fn manifest(image: &str, greeting: &str) -> String {
    pod("p", greeting).replace("busybox:1.36", image)
}

/// The list that is asked for, once it names this image.
async fn asked(world: &World, image: &str) -> String {
    eventually(format!("{image} is asked for"), || async {
        let pod = world.get("Pod", "p").await.ok_or("it is gone")?;
        assert!(!is_going(&pod), "{pod}");
        match pod["metadata"]["annotations"][prepull::ANNOTATION].as_str() {
            Some(text) if text.contains(image) => Ok(text.to_owned()),
            _ => Err(pod["metadata"].to_string()),
        }
    })
    .await
}

fn is_going(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

async fn answer(world: &World, text: &str, result: Result<(), String>) {
    let status = if result.is_ok() { "True" } else { "False" };
    let message = prepull::message(&prepull::mark(text), &result);
    let condition = json!({"type": prepull::CONDITION, "status": status, "message": message});
    world.merge_status("p", json!({"conditions": [condition]})).await;
}

async fn goes(world: &World) {
    eventually("the old pod is told to go", || async {
        let pod = world.get("Pod", "p").await.ok_or("it is gone")?;
        is_going(&pod).then_some(()).ok_or(pod["metadata"].to_string())
    })
    .await;
}

#[tokio::test]
async fn the_old_pod_stays_until_its_kubelet_has_the_images_of_the_new_one() {
    let (world, following) = running(OURS).await;
    world.write("p.yaml", &manifest("busybox:9", "two"));
    let first = asked(&world, "busybox:9").await;
    following.said("it waits for images: busybox:9").await;

    // The request is no drift, and no difference to what is intended.
    let plan = world.dry_run().await;
    let text = serde_json::to_string(&plan).expect("JSON");
    assert!(!text.contains("prepull") && text.contains("busybox:9"), "{text}");

    answer(&world, &first, Err("image \"busybox:9\": no such image".into())).await;
    following.said("no such image").await;
    assert!(!is_going(&world.get("Pod", "p").await.expect("it stays")));

    // What another list was answered with says nothing of this one.
    world.write("p.yaml", &manifest("busybox:10", "two"));
    let second = asked(&world, "busybox:10").await;
    answer(&world, &first, Ok(())).await;
    following.said("it waits for images: busybox:10").await;
    assert!(!is_going(&world.get("Pod", "p").await.expect("it stays")));

    answer(&world, &second, Ok(())).await;
    goes(&world).await;
    while let_go(world.store.as_ref()).await {}
    eventually("the new pod is there", || async {
        let pod = world.get("Pod", "p").await.ok_or("not yet")?;
        let is_new = pod["spec"]["containers"][0]["image"] == "busybox:10";
        let asks = !pod["metadata"]["annotations"][prepull::ANNOTATION].is_null();
        (is_new && !asks).then_some(()).ok_or(pod.to_string())
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn what_is_not_wanted_any_more_is_not_asked_for() {
    let (world, following) = running(OURS).await;
    world.write("p.yaml", &manifest("busybox:9", "two"));
    asked(&world, "busybox:9").await;
    world.write("p.yaml", &manifest("busybox:1.36", "one"));
    eventually("the request is taken back", || async {
        let pod = world.get("Pod", "p").await.ok_or("it is gone")?;
        let asks = !pod["metadata"]["annotations"][prepull::ANNOTATION].is_null();
        (!asks).then_some(()).ok_or(pod["metadata"].to_string())
    })
    .await;
    following.stop().await;
    let revision = world.revision().await;
    assert_eq!(world.sync().await.counts.changes(), 0);
    assert!(!is_going(&world.get("Pod", "p").await.expect("it stays")), "{revision}");
}

#[tokio::test]
async fn a_sync_that_ends_says_what_it_waited_for() {
    let (world, following) = running(OURS).await;
    following.stop().await;
    world.write("p.yaml", &manifest("busybox:9", "two"));
    let outcome = world.sync().await;
    let [problem] = problems(&outcome.problems).try_into().expect("one problem");
    assert!(
        problem.contains("the old one stays: not present in time: busybox:9"),
        "{problem}"
    );
    assert!(!is_going(&world.get("Pod", "p").await.expect("it stays")));
}

#[tokio::test]
async fn nobody_is_asked_for_what_runs_already_or_who_would_not_answer() {
    for (kubelet, image) in [(OURS, "busybox:1.36"), ("v1.33.1", "busybox:9")] {
        let (world, following) = running(kubelet).await;
        world.write("p.yaml", &manifest(image, "two"));
        goes(&world).await;
        let pod = world.get("Pod", "p").await.expect("it is going");
        assert!(pod["metadata"]["annotations"][prepull::ANNOTATION].is_null(), "{pod}");
        following.stop().await;
    }
}
