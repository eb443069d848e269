//! Remotes over SSH: a real sshd, keys that it takes and refuses, and hosts that are and are not who they should be.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use super::harness::{World, config_map};
use super::remotes::{Upstream, access, cut_and_mended, dry_run, dry_run_with_agent, refused};
use crate::support::process::{self, Process};
use crate::support::sshd::Sshd;
use crate::support::wire::Wire;
use crate::support::{self, tools};

#[test]
fn ssh_as_git_does_it_where_nothing_is_given() {
    let root = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::new(root.path());
    let sshd = Sshd::start();
    let source = Sshd::url(sshd.port, &upstream.bare.path);
    let home = root.path().join("home");
    let ssh = home.join(".ssh");
    std::fs::create_dir_all(&ssh).expect("made");

    let ended = dry_run(&home, &source, &[]);
    let place = "127.0.0.1 is not in ~/.ssh/known_hosts";
    assert!(ended.code == Some(2) && ended.stderr.contains(place), "{ended}");
    std::fs::write(
        ssh.join("known_hosts"),
        sshd.known_host(&format!("[127.0.0.1]:{}", sshd.port)),
    )
    .expect("written");
    let ended = dry_run(&home, &source, &[]);
    let advice = "give one as identity in --credentials";
    assert!(ended.code == Some(2) && ended.stderr.contains(advice), "{ended}");

    let socket = root.path().join("agent");
    let mut agent = Command::new(tools::installed("ssh-agent", "openssh-client"));
    let _agent = Process::start(agent.arg("-D").arg("-a").arg(&socket));
    support::eventually("the agent listens", Duration::from_secs(10), || {
        socket.exists().then_some(()).ok_or_else(|| "no socket".to_owned())
    });
    let key = root.path().join("key");
    std::fs::write(&key, sshd.client_key()).expect("written");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("private");
    let mut add = Command::new(tools::installed("ssh-add", "openssh-client"));
    process::run(add.arg(&key).env("SSH_AUTH_SOCK", &socket), Duration::from_secs(10)).ok();
    let ended = dry_run_with_agent(&home, &source, Some(&socket), &[]);
    assert_eq!(ended.code, Some(1), "{ended}");

    std::fs::write(ssh.join("id_ed25519"), sshd.client_key()).expect("written");
    std::fs::remove_dir_all(home.join("data")).expect("removed");
    let ended = dry_run(&home, &source, &[]);
    assert_eq!(ended.code, Some(1), "{ended}");
}

#[tokio::test]
async fn ssh_with_a_key() {
    let world = World::new().await;
    let upstream = Upstream::new(&world.path(""));
    let mut sshd = Sshd::start();
    let mut config = world.config();
    config.source = Sshd::url(sshd.port, &upstream.bare.path);
    let known = sshd.known_host(&format!("[127.0.0.1]:{}", sshd.port));
    let with = |identity: &str, more: &[(&str, &str)]| {
        access(&[&[("identity", identity), ("known_hosts", known.as_str())], more].concat())
    };
    let key = sshd.client_key();
    config.access = with(&key, &[]);
    world.sync_with(&config).await;
    assert_eq!(world.names("ConfigMap").await, ["a"]);

    // A key with a passphrase, a host under a hashed name.
    let locked = sshd.keygen("locked", "wr0ng? no, right");
    config.access = with(&locked, &[("identity.password", "wr0ng? no, right")]);
    let error = refused(&world, &config).await;
    assert!(
        error.contains("127.0.0.1 refuses the key in identity for user"),
        "not let in yet: {error}"
    );
    sshd.allow("locked");
    config.access = access(&[
        ("identity", &locked),
        ("identity.password", "wr0ng? no, right\n"),
        ("known_hosts", &sshd.hashed(&known)),
    ]);
    upstream.write("b.yaml", config_map("b", "1").as_bytes());
    upstream.push("second");
    world.sync_with(&config).await;
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
    config.access = with(&locked, &[("identity.password", "wr0ng")]);
    let error = refused(&world, &config).await;
    assert!(error.contains("identity.password is wrong or missing"), "{error}");
    config.access = with(&sshd.keygen("stranger", ""), &[]);
    let error = refused(&world, &config).await;
    assert!(
        error.contains("is its public key allowed to read the repository?"),
        "{error}"
    );

    // Hosts: unknown, and known by another key.
    let port = sshd.port.to_string();
    config.access = access(&[("identity", &key), ("known_hosts", &sshd.known_host("git.example.com"))]);
    let error = refused(&world, &config).await;
    for part in [
        "127.0.0.1 is not in known_hosts",
        &sshd.fingerprint(),
        "ssh-keyscan",
        &port,
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let before = sshd.fingerprint();
    sshd.change_host_key();
    config.access = with(&key, &[]);
    let error = refused(&world, &config).await;
    for part in ["the host key of 127.0.0.1 has changed", &before, &sshd.fingerprint()] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(world.names("ConfigMap").await, ["a", "b"], "what was applied stays");
}

#[tokio::test]
async fn ssh_is_cut_in_the_middle_of_a_fetch() {
    let world = World::new().await;
    let upstream = Upstream::new(&world.path(""));
    let sshd = Sshd::start();
    let wire = Wire::to(sshd.port);
    let mut config = world.config();
    config.source = Sshd::url(wire.port, &upstream.bare.path);
    config.access = access(&[
        ("identity", &sshd.client_key()),
        ("known_hosts", &sshd.known_host("127.0.0.1")),
    ]);
    cut_and_mended(&world, &upstream, &wire, config).await;
}
