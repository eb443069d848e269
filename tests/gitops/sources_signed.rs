//! `Source` objects that ask for signatures: who may sign lies in a Secret.

use reconcile::gitops::telling::Telling;
use serde_json::{Value, json};

use super::harness::{World, config_map, eventually};
use super::sources::{manage_with, source, told};
use crate::support::git::Repository;
use crate::support::signing::{Gpg, Signer};

/// A Secret of `default` with this data.
pub fn secret(name: &str, data: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<String, Value> = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

/// What a Source says of signatures.
pub fn verify(mode: &str, secret: &str) -> Value {
    json!({"verify": {"mode": mode, "secretRef": {"name": secret, "namespace": "default"}}})
}

fn message(source: &Value) -> &str {
    source["status"]["conditions"][0]["message"]
        .as_str()
        .expect("a message")
}

#[tokio::test]
async fn only_what_a_key_of_the_secret_signed_is_applied() {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    let (alice, public) = Signer::ssh(&world.path(""), "alice", "ed25519");
    let gpg = Gpg::new(&world.path("gpg"));
    let bob = gpg.key("bob", &[], ["ed25519", "sign", "never"]);
    let bob = gpg.signer(&bob, "");
    let keys = [
        ("team", format!("alice@example.com {public}\n")),
        ("release.asc", gpg.export("bob")),
    ];
    let keys: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
    world.create(secret("signers", &keys)).await;
    world.write("a.yaml", &config_map("a", "1"));
    repository.commit("unsigned");
    let _manager = manage_with(&world, &[], &Telling::default());
    world
        .create(source("apps", &world.source(), verify("Commits", "signers")))
        .await;
    let refused = told(&world, "apps", "Failed").await;
    assert!(message(&refused).contains("it has no signature"), "{refused}");
    assert!(message(&refused).contains("nothing is applied or deleted"), "{refused}");
    assert!(world.names("ConfigMap").await.is_empty());

    let first = alice.commit(&repository, "first");
    let synced = told(&world, "apps", "Synced").await;
    assert_eq!(synced["status"]["revision"], first.as_str());
    world.remove("a.yaml");
    world.write("b.yaml", &config_map("b", "1"));
    repository.commit("unsigned");
    let refused = told(&world, "apps", "Errors").await;
    let stays = format!("The last verified revision stays: {}", &first[..7]);
    assert!(message(&refused).contains(&stays), "{refused}");
    assert_eq!(refused["status"]["revision"], first.as_str());
    assert_eq!(world.names("ConfigMap").await, ["a"]);

    let second = bob.commit(&repository, "second");
    let synced = told(&world, "apps", "Synced").await;
    assert_eq!(synced["status"]["revision"], second.as_str());
    assert_eq!(world.names("ConfigMap").await, ["b"]);
}

#[tokio::test]
async fn sources_of_one_repository_trust_whom_they_say() {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    let (alice, of_alice) = Signer::ssh(&world.path(""), "alice", "ed25519");
    let (bob, of_bob) = Signer::ssh(&world.path(""), "bob", "ed25519");
    for (name, public) in [("alice", of_alice), ("bob", of_bob)] {
        world
            .create(secret(name, &[("signers", &format!("{name} {public}\n"))]))
            .await;
    }
    world.write("a.yaml", &config_map("a", "1"));
    let first = alice.commit(&repository, "first");
    let manager = manage_with(&world, &[], &Telling::default());
    for name in ["alice", "bob"] {
        world
            .create(source(name, &world.source(), verify("Commits", name)))
            .await;
    }
    told(&world, "alice", "Synced").await;
    let refused = told(&world, "bob", "Failed").await;
    assert!(message(&refused).contains("is not allowed"), "{refused}");
    let second = bob.commit(&repository, "second");
    told(&world, "alice", "Errors").await;
    eventually("bob's commit", async || {
        match world.get_in("Source", None, "bob").await.expect("there")["status"].clone() {
            status if status["revision"] == second.as_str() => Ok(()),
            status => Err(status.to_string()),
        }
    })
    .await;
    // After a restart each still knows what it verified last.
    drop(manager);
    repository.commit("of nobody");
    let _manager = manage_with(&world, &[], &Telling::default());
    for (name, commit) in [("alice", &first), ("bob", &second)] {
        eventually(format!("what {name} verified stays"), async || {
            let found = world.get_in("Source", None, name).await.expect("there");
            let stays = format!("has no signature. The last verified revision stays: {}", &commit[..7]);
            message(&found)
                .contains(&stays)
                .then_some(())
                .ok_or(found["status"].to_string())
        })
        .await;
    }
}

#[tokio::test]
async fn signed_tags_of_a_range() {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    let (alice, public) = Signer::ssh(&world.path(""), "alice", "ed25519");
    world
        .create(secret("signers", &[("team", &format!("alice {public}\n"))]))
        .await;
    world.write("a.yaml", &config_map("a", "1"));
    let first = repository.commit("first");
    alice.tag(&repository, "v1.0.0");
    let _manager = manage_with(&world, &[], &Telling::default());
    let mut spec = verify("Tags", "signers");
    spec["semver"] = json!("1.x");
    world.create(source("apps", &world.source(), spec)).await;
    told(&world, "apps", "Synced").await;
    world.write("b.yaml", &config_map("b", "1"));
    repository.commit("second");
    repository.git(&["tag", "-m", "unsigned", "v1.1.0"]);
    let refused = told(&world, "apps", "Errors").await;
    assert!(message(&refused).contains("(v1.1.0)"), "{refused}");
    assert_eq!(refused["status"]["revision"], first.as_str());
    alice.tag(&repository, "v1.2.0");
    told(&world, "apps", "Synced").await;
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
}

#[tokio::test]
async fn a_policy_that_cannot_be_says_why() {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    world.write("a.yaml", &config_map("a", "1"));
    repository.commit("first");
    world.create(secret("broken", &[("team", "alice\n")])).await;
    let _manager = manage_with(&world, &[], &Telling::default());
    for (name, spec, reason, part) in [
        (
            "gone",
            verify("Commits", "gone"),
            "Failed",
            "Secret default/gone cannot be read",
        ),
        (
            "broken",
            verify("Commits", "broken"),
            "InvalidSpec",
            "spec.verify.secretRef, key team, line 1",
        ),
    ] {
        world.create(source(name, &world.source(), spec)).await;
        let refused = told(&world, name, reason).await;
        assert!(message(&refused).contains(part), "{refused}");
    }
    assert!(world.names("ConfigMap").await.is_empty());
}
