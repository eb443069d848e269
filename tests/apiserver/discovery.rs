//! Discovery and OpenAPI, as clients of each age ask for them.

use serde_json::{Value, json};

use super::world::{Backend, World};

fn named<'l>(list: &'l Value, key: &str, name: &str) -> &'l Value {
    list.as_array()
        .expect("a list")
        .iter()
        .find(|item| item[key] == name)
        .unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[test]
fn the_older_lists() {
    let world = World::start(Backend::Embedded);
    assert_eq!(world.get("/api").of(200)["versions"], json!(["v1"]));
    let core = world.get("/api/v1").of(200);
    assert_eq!(
        (&core["kind"], &core["groupVersion"]),
        (&json!("APIResourceList"), &json!("v1"))
    );
    let pods = named(&core["resources"], "name", "pods");
    assert_eq!(pods["shortNames"], json!(["po"]));
    assert_eq!(pods["categories"], json!(["all"]));
    assert_eq!(
        (&pods["singularName"], &pods["namespaced"], &pods["kind"]),
        (&json!("pod"), &json!(true), &json!("Pod"))
    );
    assert_eq!(
        pods["verbs"],
        json!([
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch"
        ])
    );
    let eviction = named(&core["resources"], "name", "pods/eviction");
    assert_eq!(
        (&eviction["kind"], &eviction["group"], &eviction["version"]),
        (&json!("Eviction"), &json!("policy"), &json!("v1"))
    );
    for name in [
        "pods/log",
        "pods/binding",
        "pods/status",
        "nodes/status",
        "namespaces/status",
        "namespaces/finalize",
    ] {
        named(&core["resources"], "name", name);
    }
    let groups = world.get("/apis").of(200);
    let group = named(&groups["groups"], "name", "coordination.k8s.io");
    assert_eq!(group["preferredVersion"]["groupVersion"], "coordination.k8s.io/v1");
    assert_eq!(world.get("/apis/coordination.k8s.io").of(200)["kind"], "APIGroup");
    let leases = world.get("/apis/coordination.k8s.io/v1").of(200);
    assert_eq!(named(&leases["resources"], "name", "leases")["kind"], "Lease");
    world.get("/apis/nope").refused(404, "NotFound");
    world.get("/apis/nope/v1").refused(404, "NotFound");
}

#[test]
fn the_aggregated_list() {
    let world = World::start(Backend::Embedded);
    for version in ["v2", "v2beta1"] {
        let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        let answer = world.get_as("/api", &format!("{media},application/json"));
        assert_eq!(answer.content_type, media);
        let list = answer.of(200);
        assert_eq!(list["apiVersion"], format!("apidiscovery.k8s.io/{version}"));
        let resources = &list["items"][0]["versions"][0]["resources"];
        let pods = named(resources, "resource", "pods");
        assert_eq!(
            (&pods["scope"], &pods["responseKind"]["kind"]),
            (&json!("Namespaced"), &json!("Pod"))
        );
        named(&pods["subresources"], "subresource", "status");
        let groups = world.get_as("/apis", &media).of(200);
        assert!(
            groups["items"]
                .as_array()
                .expect("groups")
                .iter()
                .any(|group| group["metadata"]["name"] == "scheduling.k8s.io")
        );
    }
    let unknown = "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList";
    assert_eq!(
        world.get_as("/api", &format!("{unknown},application/json")).of(200)["kind"],
        "APIVersions"
    );
    world.get_as("/api", unknown).refused(406, "NotAcceptable");
}

#[test]
fn openapi_documents_and_their_tags() {
    let world = World::start(Backend::Embedded);
    let index = world.get("/openapi/v3").of(200);
    let url = index["paths"]["api/v1"]["serverRelativeURL"]
        .as_str()
        .expect("a URL")
        .to_owned();
    assert!(url.starts_with("/openapi/v3/api/v1?hash="), "{url}");
    let document = world.get(&url).of(200);
    assert!(document["components"]["schemas"]["io.k8s.api.core.v1.Pod"].is_object());
    assert!(index["paths"]["apis/coordination.k8s.io/v1"].is_object());
    world.get("/openapi/v3/apis/nope/v1").refused(404, "NotFound");
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let answer = world.runtime.block_on(async {
        let request = world
            .client()
            .get(format!("{}/openapi/v2", world.url))
            .header("accept", protobuf);
        request.send().await.expect("an answer")
    });
    assert_eq!(answer.headers()["content-type"], protobuf.replace('@', "."));
    let tag = answer.headers()["etag"].clone();
    let bytes = world.runtime.block_on(async { answer.bytes().await.expect("a body") });
    assert!(
        bytes.len() > 10_000 && bytes[0] == 0x0a,
        "a message that begins with the version"
    );
    let again = world
        .client()
        .get(format!("{}/openapi/v2", world.url))
        .header("accept", protobuf)
        .header("if-none-match", tag);
    assert_eq!(world.send(again).code, 304);
    let json = world.get_as("/openapi/v2", "application/json").of(200);
    assert!(json["definitions"]["io.k8s.api.core.v1.Pod"].is_object());
}
