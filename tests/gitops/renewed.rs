//! What a source's Secrets and files say may change without its spec: it is read again.

use std::time::Duration;

use reconcile::gitops::telling::Telling;
use reconcile::gitops::trust::{Keyring, Mode, Verify};
use reconcile::gitops::{Held, Inputs};
use serde_json::json;

use super::harness::{World, config_map, eventually};
use super::sources::{manage_with, source, told};
use super::sources_signed::{secret, verify};
use crate::support::git::Repository;
use crate::support::signing::Signer;

#[tokio::test]
async fn a_secret_that_changes_is_read_again_and_one_that_goes_is_missed() {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    let (alice, public) = Signer::ssh(&world.path(""), "alice", "ed25519");
    let (bob, of_bob) = Signer::ssh(&world.path(""), "bob", "ed25519");
    world
        .create(secret("signers", &[("alice", &format!("alice {public}\n"))]))
        .await;
    world.write("a.yaml", &config_map("a", "1"));
    alice.commit(&repository, "first");
    let _manager = manage_with(&world, &[], &Telling::default());
    let mut spec = verify("Commits", "signers");
    spec["interval"] = json!("1s");
    world.create(source("apps", &world.source(), spec)).await;
    told(&world, "apps", "Synced").await;
    world.write("b.yaml", &config_map("b", "1"));
    bob.commit(&repository, "second");
    told(&world, "apps", "Errors").await;
    world
        .merge(
            "Secret",
            "signers",
            json!({"stringData": {"bob": format!("bob {of_bob}\n")}}),
        )
        .await;
    told(&world, "apps", "Synced").await;
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);

    world.delete("Secret", "signers").await;
    let missed = told(&world, "apps", "Failed").await;
    let message = missed["status"]["conditions"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(message.contains("Secret default/signers cannot be read"), "{message}");
    assert_eq!(world.names("ConfigMap").await, ["a", "b"], "what runs stays");
    world.create(secret("signers", &[("bob", "nonsense\n")])).await;
    told(&world, "apps", "InvalidSpec").await;
    assert_eq!(world.names("ConfigMap").await, ["a", "b"], "what runs stays");
    world
        .merge(
            "Secret",
            "signers",
            json!({"stringData": {"bob": format!("bob {of_bob}\n")}}),
        )
        .await;
    told(&world, "apps", "Synced").await;
}

#[tokio::test]
async fn files_that_change_are_read_again() {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    let (alice, public) = Signer::ssh(&world.path(""), "alice", "ed25519");
    let (bob, of_bob) = Signer::ssh(&world.path(""), "bob", "ed25519");
    let keys = world.path("keys");
    let write = |text: &str| {
        std::fs::write(keys.with_extension("new"), text).expect("written");
        std::fs::rename(keys.with_extension("new"), &keys).expect("renamed");
    };
    write(&format!("alice {public}\n"));
    world.write("a.yaml", &config_map("a", "1"));
    alice.commit(&repository, "first");
    let mut config = world.config();
    config.interval = Duration::from_secs(1);
    let read = keys.clone();
    let config = config.with_files(move |inputs: &mut Inputs| {
        inputs.file(&read);
        let keyring = Keyring::read(std::slice::from_ref(&read))?;
        let verify = Some(Verify {
            keyring,
            mode: Mode::Commit,
        });
        Ok(Held {
            verify,
            ..Held::default()
        })
    });
    let following = world.follow_with(config.expect("keys"));
    let names = |expected: &'static [&'static str]| {
        let world = &world;
        eventually(format!("{expected:?}"), move || async move {
            let names = world.names("ConfigMap").await;
            (names == expected).then_some(()).ok_or(format!("{names:?}"))
        })
    };
    names(&["a"]).await;
    world.write("b.yaml", &config_map("b", "1"));
    bob.commit(&repository, "second");
    following.said("is not allowed").await;
    write("nonsense\n");
    following.said("keys, line 1").await;
    assert_eq!(world.names("ConfigMap").await, ["a"], "what runs stays");
    write(&format!("bob {of_bob}\n"));
    names(&["a", "b"]).await;
    following.stop().await;
}
