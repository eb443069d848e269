//! Bodies: notations, limits, unknown and repeated fields, nonsense.

use super::world::{Backend, CONFIG_MAPS, PODS, World, config_map, config_map_path, pod};
use serde_json::json;

fn post(world: &World, path: &str, media: &str, body: impl Into<reqwest::Body>) -> super::world::Answer {
    world.send(
        world
            .client()
            .post(format!("{}{path}", world.url))
            .header("content-type", media)
            .body(body),
    )
}

#[test]
fn yaml_is_taken_as_json_is() {
    let world = World::start(Backend::Embedded);
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: \"1\"\n";
    let made = post(&world, CONFIG_MAPS, "application/yaml", yaml).of(201);
    assert_eq!(made["data"]["k"], "1");
    post(&world, CONFIG_MAPS, "application/cbor", "x").refused(415, "UnsupportedMediaType");
    post(&world, CONFIG_MAPS, "application/yaml", "a: [").refused(400, "BadRequest");
    post(&world, CONFIG_MAPS, "application/json", "{").refused(400, "BadRequest");
    post(&world, CONFIG_MAPS, "application/json", "").refused(400, "BadRequest");
    post(&world, CONFIG_MAPS, "application/json", "[]").refused(400, "BadRequest");
    post(&world, CONFIG_MAPS, "application/json", "null").refused(400, "BadRequest");
    post(&world, CONFIG_MAPS, "application/json", r#"{"metadata":"x"}"#).refused(400, "BadRequest");
}

#[test]
fn a_billion_laughs_and_huge_bodies_are_refused() {
    let world = World::start(Backend::Embedded);
    let mut yaml = String::from("apiVersion: v1\nkind: ConfigMap\na: &a [x, x, x, x, x, x, x, x, x, x]\n");
    for (name, before) in ('b'..='j').zip('a'..) {
        yaml.push_str(&format!(
            "{name}: &{name} [{}]\n",
            vec![format!("*{before}"); 10].join(", ")
        ));
    }
    post(&world, CONFIG_MAPS, "application/yaml", yaml).refused(400, "BadRequest");
    let mut big = config_map("big", &json!({}));
    big["data"]["k"] = json!("x".repeat(4 * 1024 * 1024));
    let message = world.post(CONFIG_MAPS, &big).refused(413, "RequestEntityTooLarge");
    assert!(message.contains("3145728 bytes"), "{message}");
    // Without an announced length too.
    let chunks = futures::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024])));
    post(
        &world,
        CONFIG_MAPS,
        "application/json",
        reqwest::Body::wrap_stream(chunks),
    )
    .refused(413, "RequestEntityTooLarge");
    let deep = format!("{{\"metadata\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    post(&world, CONFIG_MAPS, "application/json", deep).refused(400, "BadRequest");
}

#[test]
fn unknown_and_repeated_fields_are_dropped_told_or_refused() {
    let world = World::start(Backend::Embedded);
    let body = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"foo":1,"containers":[{"name":"c","image":"x","image":"y","imge":"z"}]}}"#;
    let send = |query: &str| {
        post(
            &world,
            &format!("{PODS}?dryRun=All{query}"),
            "application/json",
            body.to_owned(),
        )
    };
    let told = [
        "unknown field \"spec.containers[0].imge\"",
        "unknown field \"spec.foo\"",
        "duplicate field \"spec.containers[0].image\"",
    ];
    for query in ["", "&fieldValidation=Warn"] {
        let answer = send(query);
        let escaped: Vec<String> = told
            .iter()
            .map(|text| format!("299 - \"{}\"", text.replace('"', "\\\"")))
            .collect();
        let mut warnings = answer.warnings.clone();
        warnings.sort();
        let mut expected = escaped.clone();
        expected.sort();
        assert_eq!(warnings, expected);
        assert_eq!(
            answer.of(201)["spec"]["containers"][0]["image"],
            "y",
            "the last one counts"
        );
    }
    let ignored = send("&fieldValidation=Ignore");
    assert!(ignored.warnings.is_empty());
    ignored.of(201);
    let message = send("&fieldValidation=Strict").refused(400, "BadRequest");
    assert!(message.contains("strict decoding error: "), "{message}");
    for text in told {
        assert!(message.contains(text), "{message}");
    }
    send("&fieldValidation=Nope").refused(400, "BadRequest");
}

#[test]
fn a_body_for_something_else_is_refused() {
    let world = World::start(Backend::Embedded);
    let mut other = pod("p");
    other["kind"] = json!("Nope");
    world.post(PODS, &other).refused(400, "BadRequest");
    let mut other = config_map("a", &json!({}));
    other["metadata"]["namespace"] = json!("elsewhere");
    let message = world.post(CONFIG_MAPS, &other).refused(400, "BadRequest");
    assert_eq!(
        message,
        "the namespace of the provided object does not match the namespace sent on the request"
    );
    world.create_config_map("a", &json!({}));
    let message = world
        .put(&config_map_path("a"), &config_map("b", &json!({})))
        .refused(400, "BadRequest");
    assert_eq!(
        message,
        "the name of the object (b) does not match the name on the URL (a)"
    );
}

#[test]
fn every_error_is_a_status() {
    let world = World::start(Backend::Embedded);
    for path in [
        "/nope",
        "/api/v2",
        "/api/v1/nopes",
        "/apis/nope/v1/x",
        "/api/v1/namespaces/default/nopes/x",
        "/api/v1/pods/x",
        "/api/v1/namespaces/default/nodes/x",
        "/api/v1/namespaces/default/pods/a%2Fb",
    ] {
        world.get(path).refused(404, "NotFound");
    }
    world.post("/version", &json!({})).refused(405, "MethodNotAllowed");
    world.post("/api/v1/pods", &pod("p")).refused(405, "MethodNotAllowed");
    let request = world
        .client()
        .request(reqwest::Method::OPTIONS, format!("{}{PODS}", world.url));
    world.send(request).refused(405, "MethodNotAllowed");
    world.get(&format!("{PODS}?limit=x")).refused(400, "BadRequest");
}
