//! Signature policies against real signatures: what is not signed by a key of the ring is not applied, whatever is tried.

use std::time::Duration;

use reconcile::gitops::manage::Sources;
use reconcile::gitops::report::Verdict;
use reconcile::gitops::trust::{Keyring, Mode, Verify};
use reconcile::gitops::{self, Config};

use super::harness::{World, actions, config_map, eventually, problems};
use crate::support::git::Repository;
use crate::support::signing::Signer;

const PATIENCE: Duration = Duration::from_secs(20);

/// The configuration of a world, with a policy over a file of this text.
pub fn with_policy(world: &World, mode: Mode, keys: &str) -> Config {
    std::fs::write(world.path("keys"), keys).expect("written");
    let keyring = Keyring::read(&[world.path("keys")]).expect("keys");
    let mut config = world.config();
    config.verify = Some(Verify { keyring, mode });
    config
}

/// A world with a repository, an SSH key and a policy that asks for its signature on commits.
async fn ssh_world() -> (World, Repository, Signer, Config) {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    let (signer, public) = Signer::ssh(&world.path(""), "alice", "ed25519");
    let config = with_policy(&world, Mode::Commit, &format!("alice@example.com {public}\n"));
    (world, repository, signer, config)
}

/// The one problem of a sync that kept what was verified last.
pub async fn refused(world: &World, config: &Config) -> String {
    let outcome = world.sync_with(config).await;
    let [problem] = outcome.problems.as_slice() else {
        panic!("one problem expected: {outcome:?}")
    };
    problem.to_string()
}

/// Why a first sync applies nothing.
pub async fn refused_at_first(world: &World, config: &Config) -> String {
    let error = world.try_sync(config).await.expect_err("nothing verified").to_string();
    assert!(error.contains("so nothing is applied or deleted"), "{error}");
    assert!(world.names("ConfigMap").await.is_empty());
    error
}

#[tokio::test]
async fn every_kind_of_ssh_key_is_understood() {
    for kind in ["ed25519", "ecdsa:256", "ecdsa:384", "ecdsa:521", "rsa:3072"] {
        let world = World::new().await;
        let repository = Repository::init(&world.source());
        let (signer, public) = Signer::ssh(&world.path(""), "alice", kind);
        let config = with_policy(
            &world,
            Mode::Commit,
            &format!("# team\nalice namespaces=\"git\" {public}\n"),
        );
        world.write("a.yaml", &config_map("a", "1"));
        let commit = signer.commit(&repository, &format!("signed by {kind}\n\nwith more\n"));
        let outcome = world.sync_with(&config).await;
        assert!(
            outcome.success() && outcome.revision.id() == commit,
            "{kind}: {outcome:?}"
        );
        assert_eq!(world.names("ConfigMap").await, ["a"], "{kind}");
    }
}

#[tokio::test]
async fn the_last_verified_revision_stays_and_is_kept_up_until_a_signed_one_comes() {
    let (world, repository, signer, config) = ssh_world().await;
    world.write("a.yaml", &config_map("a", "1"));
    let first = signer.commit(&repository, "first");
    assert!(world.sync_with(&config).await.success());

    world.remove("a.yaml");
    world.write("b.yaml", &config_map("b", "1"));
    let unsigned = repository.commit("second");
    world.delete("ConfigMap", "a").await;
    // Each sync opens the source anew, as a restart does.
    let problem = refused(&world, &config).await;
    let expected = format!(
        "commit {} (main) by Test <test@example.com> is not applied: it has no signature. The last verified revision stays: {}",
        &unsigned[..7],
        &first[..7]
    );
    assert_eq!(problem, expected);
    assert_eq!(
        world.names("ConfigMap").await,
        ["a"],
        "drift is repaired, and nothing else done"
    );

    let plan = world.dry_run_with(&config).await;
    assert_eq!(plan.verdict(), Verdict::Error);
    assert!(problems(&plan.problems)[0].contains("it has no signature"), "{plan:?}");
    let mut bare = config.clone();
    bare.reference = Some("main".into());
    let other = gitops::dry_run(world.client.clone(), &bare)
        .await
        .expect_err("another reference, nothing verified");
    assert!(other.to_string().contains("it has no signature"), "{other}");

    signer.commit(&repository, "third");
    assert!(world.sync_with(&config).await.success());
    assert_eq!(world.names("ConfigMap").await, ["b"], "it goes on");
    assert_eq!(world.dry_run_with(&config).await.verdict(), Verdict::Same);
}

#[tokio::test]
async fn a_dry_run_shows_uncommitted_files_and_never_vouches_for_anything() {
    let (world, repository, signer, config) = ssh_world().await;
    world.write("a.yaml", &config_map("a", "1"));
    signer.commit(&repository, "first");
    world.write("b.yaml", &config_map("b", "1"));
    let mut named = config.clone();
    named.reference = Some("main".into());
    for (config, expected) in [
        (&config, vec!["create configmap/a", "create configmap/b"]),
        (&named, vec!["create configmap/a"]),
    ] {
        let plan = world.dry_run_with(config).await;
        assert_eq!(actions(&plan), expected);
        assert_eq!(plan.verdict(), Verdict::Differs);
    }
    repository.commit("second");
    // The dry runs saw a good commit, but nothing was applied of it: there is nothing to keep up.
    refused_at_first(&world, &config).await;
    refused_at_first(&world, &named).await;
}

#[tokio::test]
async fn what_others_sign_or_change_is_refused_with_the_reason() {
    let (world, repository, alice, config) = ssh_world().await;
    let (mallory, public) = Signer::ssh(&world.path(""), "mallory", "ed25519");
    world.write("a.yaml", &config_map("a", "1"));
    repository.commit("unsigned");
    let error = refused_at_first(&world, &config).await;
    assert!(
        error.contains("by Test <test@example.com> is not applied: it has no signature"),
        "{error}"
    );
    mallory.commit(&repository, "by another");
    let error = refused_at_first(&world, &config).await;
    assert!(
        error.contains("its key SHA256:") && error.contains("is not allowed"),
        "{error}"
    );
    for (options, part) in [
        ("valid-before=\"20200101Z\"", "expired on 2020-01-01 00:00 UTC"),
        (
            "valid-after=\"20990101Z\"",
            "is valid only from 2099-01-01 00:00 UTC on",
        ),
        (
            "namespaces=\"file\"",
            "may not sign: it is allowed for other namespaces",
        ),
    ] {
        let config = with_policy(&world, Mode::Commit, &format!("mallory {options} {public}\n"));
        let error = refused_at_first(&world, &config).await;
        assert!(error.contains(part), "{error}");
        let both = format!("mallory {options} {public}\nmallory {public}\n");
        assert!(
            world
                .dry_run_with(&with_policy(&world, Mode::Commit, &both))
                .await
                .problems
                .is_empty()
        );
    }

    // Bytes that were changed after signing: the message, and the whole tree under a good signature.
    world.write("b.yaml", &config_map("b", "1"));
    let good = alice.commit(&repository, "good");
    let evil = repository.git(&["rev-parse", "HEAD~1^{tree}"]);
    let tree = repository.git(&["rev-parse", "HEAD^{tree}"]);
    let raw = repository.git(&["cat-file", "commit", &good]);
    for (name, tampered) in [
        ("message", raw.replace("\ngood", "\nevil")),
        ("tree", raw.replace(tree.trim(), evil.trim())),
        ("author", raw.replace("author Test", "author Boss")),
    ] {
        assert_ne!(raw, tampered, "{name}");
        std::fs::write(world.path("raw"), tampered).expect("written");
        let path = world.path("raw").display().to_string();
        let id = repository.git(&["hash-object", "-t", "commit", "-w", &path]);
        repository.git(&["update-ref", "refs/heads/main", id.trim()]);
        let error = refused_at_first(&world, &config).await;
        assert!(
            error.contains("its signature does not fit its content"),
            "{name}: {error}"
        );
    }
    repository.git(&["update-ref", "refs/heads/main", &good]);
    assert!(world.sync_with(&config).await.success());
}

#[tokio::test]
async fn nothing_of_git_leads_around_the_check() {
    let (world, repository, alice, config) = ssh_world().await;
    world.write("a.yaml", &config_map("a", "good"));
    let good = alice.commit(&repository, "good");
    world.write("a.yaml", &config_map("a", "evil"));
    let evil = repository.commit("evil");
    // A good commit in the unsigned one's place, for those who look it up.
    repository.git(&["replace", &evil, &good]);
    std::fs::write(world.source().join(".git/info/grafts"), format!("{evil} {good}\n")).expect("written");
    refused_at_first(&world, &config).await;
    // And the other way round.
    repository.git(&["replace", "-d", &evil]);
    repository.git(&["reset", "-q", "--hard", &good]);
    repository.git(&["replace", &good, &evil]);
    assert!(world.sync_with(&config).await.success());
    let value = async || world.get("ConfigMap", "a").await.expect("a")["data"]["key"].clone();
    assert_eq!(value().await, "good");

    // Other bytes under the name of what was signed: the commit, its tree, its file.
    repository.git(&["replace", "-d", &good]);
    world.delete("ConfigMap", "a").await;
    for name in ["HEAD", "HEAD^{tree}", "HEAD:a.yaml"] {
        let file = |revision: &str| {
            let id = repository.git(&["rev-parse", revision]).trim().to_owned();
            world.source().join(format!(".git/objects/{}/{}", &id[..2], &id[2..]))
        };
        let (signed, other) = (file(name), file(&name.replace("HEAD", &evil)));
        let kept = std::fs::read(&signed).expect("an object");
        std::fs::remove_file(&signed).expect("removed");
        std::fs::copy(other, &signed).expect("swapped");
        match world.try_sync(&config).await {
            Ok(outcome) => assert!(!outcome.success(), "{name}: {outcome:?}"),
            Err(error) => println!("{name}: {error}"),
        }
        assert!(world.names("ConfigMap").await.is_empty(), "{name}");
        std::fs::remove_file(&signed).expect("removed");
        std::fs::write(&signed, kept).expect("restored");
    }
    assert!(world.sync_with(&config).await.success());
    assert_eq!(value().await, "good");

    // Another policy takes nothing over: its keys have vouched for nothing yet.
    repository.git(&["reset", "-q", "--hard", &evil]);
    assert!(refused(&world, &config).await.contains("it has no signature"));
    let (_, public) = Signer::ssh(&world.path(""), "bob", "ed25519");
    let other = with_policy(&world, Mode::Commit, &format!("bob {public}\n"));
    let error = world.try_sync(&other).await.expect_err("nothing verified").to_string();
    assert!(error.contains("No other revision was verified yet"), "{error}");
    assert_eq!(world.names("ConfigMap").await, ["a"], "and nothing is deleted");
}

#[tokio::test]
async fn who_signs_a_merge_vouches_for_what_is_merged() {
    let (world, repository, alice, config) = ssh_world().await;
    world.write("a.yaml", &config_map("a", "1"));
    alice.commit(&repository, "first");
    repository.git(&["checkout", "-q", "-b", "feature"]);
    world.write("b.yaml", &config_map("b", "1"));
    repository.commit("unsigned");
    repository.git(&["checkout", "-q", "main"]);
    world.sync_with(&config).await;
    repository.git(&["merge", "-q", "--no-ff", "-m", "unsigned merge", "feature"]);
    assert!(refused(&world, &config).await.contains("it has no signature"));
    repository.git(&["reset", "-q", "--hard", "HEAD~1"]);
    alice.git(
        &repository,
        &["merge", "-q", "--no-ff", "-S", "-m", "signed merge", "feature"],
    );
    assert!(world.sync_with(&config).await.success());
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
}

#[tokio::test]
async fn a_tag_counts_where_it_is_signed_under_its_name() {
    for remote in [false, true] {
        let world = World::new().await;
        let repository = Repository::init(&world.source());
        let (alice, public) = Signer::ssh(&world.path(""), "alice", "ed25519");
        let mut config = with_policy(&world, Mode::Tag, &format!("alice {public}\n"));
        let error = gitops::check(&config).expect_err("no tag named").to_string();
        assert!(error.contains("signed tags need --ref or --semver"), "{error}");
        if remote {
            config.source = format!("file://{}", world.source().display());
        }
        config.reference = Some("live".into());
        let value = async || world.get("ConfigMap", "a").await.expect("a")["data"]["key"].clone();
        world.write("a.yaml", &config_map("a", "1"));
        repository.commit("an unsigned commit is fine where its tag is signed");
        repository.git(&["tag", "live"]);
        assert!(refused_at_first(&world, &config).await.contains("no annotated tag"));
        repository.git(&["tag", "-f", "-m", "unsigned", "live"]);
        assert!(
            refused_at_first(&world, &config)
                .await
                .contains("(live) by Test <test@example.com> is not applied: it has no signature")
        );
        alice.tag(&repository, "live");
        assert!(world.sync_with(&config).await.success(), "remote: {remote}");

        // Moved by hand; and a good tag of another name in its place.
        world.write("a.yaml", &config_map("a", "2"));
        alice.commit(&repository, "even a signed commit");
        repository.git(&["tag", "-f", "live"]);
        assert!(refused(&world, &config).await.contains("no annotated tag"));
        alice.tag(&repository, "other");
        repository.git(&["update-ref", "refs/tags/live", "refs/tags/other"]);
        let problem = refused(&world, &config).await;
        assert!(
            problem.contains("the tag was signed under another name, other"),
            "{problem}"
        );
        let raw = repository
            .git(&["cat-file", "tag", "other"])
            .replace("\ntag other\n", "\ntag live\n");
        std::fs::write(world.path("raw"), raw).expect("written");
        let id = repository.git(&[
            "hash-object",
            "-t",
            "tag",
            "-w",
            world.path("raw").to_str().expect("text"),
        ]);
        repository.git(&["update-ref", "refs/tags/live", id.trim()]);
        assert!(refused(&world, &config).await.contains("does not fit its content"));
        assert_eq!(value().await, "1", "remote: {remote}");
        alice.tag(&repository, "live");
        assert!(world.sync_with(&config).await.success());
        assert_eq!(value().await, "2", "remote: {remote}");
    }
}

#[tokio::test]
async fn a_running_reconciler_waits_for_a_signed_commit_and_goes_on() {
    let (world, repository, alice, mut config) = ssh_world().await;
    config.source = format!("file://{}", world.source().display());
    config.interval = Duration::from_millis(100);
    world.write("a.yaml", &config_map("a", "1"));
    repository.commit("unsigned");
    let following = world.follow_with(config);
    following
        .said("No other revision was verified yet, so nothing is applied or deleted")
        .await;
    alice.commit(&repository, "signed");
    let there = async |name: &str| {
        eventually(name.to_owned(), async || {
            world.get("ConfigMap", name).await.ok_or_else(|| following.text())
        })
        .await;
    };
    there("a").await;
    world.write("b.yaml", &config_map("b", "1"));
    world.remove("a.yaml");
    repository.commit("unsigned again");
    following.said("The last verified revision stays").await;
    world.delete("ConfigMap", "a").await;
    there("a").await;
    assert!(world.get("ConfigMap", "b").await.is_none());
    let told = following.text().matches("The last verified revision stays").count();
    assert_eq!(told, 1, "a standing problem is told once: {}", following.text());
    alice.commit(&repository, "signed again");
    there("b").await;
    following.stop().await;
}

#[tokio::test]
async fn what_is_gone_back_to_is_verified_again() {
    let (world, repository, signer, config) = ssh_world().await;
    let sources = Sources::new(world.client.clone());
    let commit = |value: &str, is_signed: bool| {
        world.write("a.yaml", &config_map("a", value));
        match is_signed {
            true => signer.commit(&repository, value),
            false => repository.commit(value),
        }
    };
    let value = async || world.get("ConfigMap", "a").await.expect("a")["data"]["key"].clone();
    let (unsigned, signed) = (commit("1", false), commit("2", true));
    commit("3", true);
    let following = world.follow_with(config.clone());
    following.said("synced").await;
    let error = sources.rollback(&unsigned, None, PATIENCE).await.expect_err("unsigned");
    assert!(error.to_string().contains("it has no signature"), "{error}");
    assert_eq!(value().await, "3", "nothing changes");
    sources.rollback(&signed, None, PATIENCE).await.expect("signed");
    assert_eq!(value().await, "2");
    following.stop().await;

    // The same of tags: what counts is the one that leads there.
    for remote in [false, true] {
        let world = World::new().await;
        let sources = Sources::new(world.client.clone());
        let repository = Repository::init(&world.source());
        let (signer, public) = Signer::ssh(&world.path(""), "alice", "ed25519");
        let mut config = with_policy(&world, Mode::Tag, &format!("alice {public}\n"));
        if remote {
            config.source = format!("file://{}", world.source().display());
        }
        config.semver = Some("1.x".into());
        for tag in ["v1.0.0", "v1.1.0", "v1.2.0"] {
            world.write("a.yaml", &config_map("a", tag));
            repository.commit(tag);
            match tag {
                "v1.1.0" => drop(repository.git(&["tag", "-m", tag, tag])),
                _ => signer.tag(&repository, tag),
            }
        }
        let following = world.follow_with(config);
        following.said("synced").await;
        let error = sources.rollback("v1.1.0", None, PATIENCE).await.expect_err("unsigned");
        assert!(error.to_string().contains("it has no signature"), "{error}");
        sources.rollback("v1.0.0", None, PATIENCE).await.expect("signed");
        assert_eq!(world.get("ConfigMap", "a").await.expect("a")["data"]["key"], "v1.0.0");
        following.stop().await;
    }
}
