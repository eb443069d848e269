//! OpenPGP keys against real signatures by gpg, and keyrings that cannot work.

use reconcile::gitops;
use reconcile::gitops::report::Verdict;
use reconcile::gitops::trust::{Keyring, Mode};

use super::harness::{World, config_map};
use super::signatures::{refused, refused_at_first, with_policy};
use crate::support::git::Repository;
use crate::support::signing::Gpg;

#[tokio::test]
async fn openpgp_keys_sign_while_they_are_alive() {
    const PAST: [&str; 2] = ["--faked-system-time", "20200101T000000"];
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    let gpg = Gpg::new(&world.path("gpg"));
    let alice = gpg.key("alice", &[], ["ed25519", "sign", "never"]);
    gpg.key("rsa", &[], ["rsa3072", "sign,cert", "1y"]);
    let past = gpg.key("past", &PAST, ["ed25519", "sign", "30d"]);
    let revoked = gpg.key("revoked", &[], ["ed25519", "sign", "never"]);
    // Two with subkeys, one of which is over; the certificates themselves live on.
    let parent = gpg.key("parent", &PAST, ["ed25519", "cert", "never"]);
    gpg.run(&["--quick-add-key", &parent, "ed25519", "sign", "never"]);
    let old = gpg.key("old", &PAST, ["ed25519", "cert", "never"]);
    gpg.run(&[&PAST[..], &["--quick-add-key", &old, "ed25519", "sign", "30d"]].concat());
    let subkey = |name: &str| format!("{}!", gpg.fingerprints(name)[1]);
    let keys: String = ["alice", "rsa", "past", "parent", "old"]
        .map(|name| gpg.export(name))
        .concat();

    world.write("a.yaml", &config_map("a", "1"));
    let then = "--faked-system-time 20200102T000000";
    for (name, key, options, part) in [
        ("an expired key", past.clone(), then, "expired on 2020-01-31"),
        ("an expired subkey", subkey("old"), then, "expired on 2020-01-31"),
        ("an unknown key", revoked.clone(), "", "is not allowed"),
        (
            "a weak hash",
            alice.clone(),
            "--digest-algo SHA1",
            "its signature uses SHA1",
        ),
    ] {
        gpg.signer(&key, options).commit(&repository, name);
        let error = refused_at_first(&world, &with_policy(&world, Mode::Commit, &keys)).await;
        assert!(error.contains(part), "{name}: {error}");
    }
    gpg.signer(&revoked, "")
        .commit(&repository, "by a key that is revoked afterwards");
    let before = with_policy(&world, Mode::Commit, &gpg.export("revoked"));
    assert_eq!(
        world.dry_run_with(&before).await.verdict(),
        Verdict::Differs,
        "good while it lasts"
    );
    gpg.revoke(&revoked);
    let error = refused_at_first(&world, &with_policy(&world, Mode::Commit, &gpg.export("revoked"))).await;
    assert!(error.contains(&format!("its key {revoked} was revoked")), "{error}");

    let config = with_policy(&world, Mode::Commit, &keys);
    for (name, key) in [
        ("a key", alice.clone()),
        ("RSA", "rsa".into()),
        ("a subkey", subkey("parent")),
    ] {
        let commit = gpg.signer(&key, "").commit(&repository, name);
        let outcome = world.sync_with(&config).await;
        assert!(
            outcome.success() && outcome.revision.id() == commit,
            "{name}: {outcome:?}"
        );
    }
    let raw = repository
        .git(&["cat-file", "commit", "HEAD"])
        .replace("a subkey", "a turkey");
    std::fs::write(world.path("raw"), raw).expect("written");
    let id = repository.git(&[
        "hash-object",
        "-t",
        "commit",
        "-w",
        world.path("raw").to_str().expect("text"),
    ]);
    repository.git(&["update-ref", "refs/heads/main", id.trim()]);
    assert!(refused(&world, &config).await.contains("does not fit its content"));
    let mut tags = with_policy(&world, Mode::Tag, &keys);
    tags.reference = Some("v1".into());
    gpg.signer(&alice, "").tag(&repository, "v1");
    assert!(world.sync_with(&tags).await.success());
}

#[tokio::test]
async fn keys_and_sources_that_cannot_work_are_refused_at_once() {
    let world = World::new().await;
    let gpg = Gpg::new(&world.path("gpg"));
    gpg.key("alice", &[], ["ed25519", "sign", "never"]);
    let secret = gpg.run(&["--armor", "--export-secret-keys", "alice"]);
    let cut = gpg.export("alice").replace("-----END PGP PUBLIC KEY BLOCK-----", "");
    for (text, part) in [
        ("", "there is none"),
        ("# nobody\n", "there is none"),
        ("alice\n", "line 1: expected: principals"),
        (&*secret, "this is a private key"),
        (&*cut, "a block of keys has no end"),
    ] {
        std::fs::write(world.path("keys"), text).expect("written");
        let error = Keyring::read(&[world.path("keys")]).expect_err(part).to_string();
        assert!(error.contains(part) && error.contains("keys in "), "{error}");
    }
    let error = Keyring::read(&[world.path("missing")])
        .expect_err("missing")
        .to_string();
    assert!(error.contains("missing: No such file"), "{error}");

    let config = with_policy(&world, Mode::Commit, &gpg.export("alice"));
    let error = gitops::check(&config).expect_err("a directory").to_string();
    assert!(error.contains("only git holds signatures to verify"), "{error}");
}
