//! Signed commits and webhooks through the built binary: flags, what is printed, exit codes.

use std::io::{Read as _, Write as _};

use super::manifest::config_map;
use crate::support::cluster::{Backend, CHANGE, Cluster, text};
use crate::support::git::Repository;
use crate::support::signing::Signer;

#[test]
fn a_webhook_brings_signed_commits_and_no_others() {
    let mut cluster = Cluster::new("signed", Backend::Embedded);
    let (keys, secret) = (cluster.path("keys"), cluster.path("secret"));
    let (alice, public) = Signer::ssh(&cluster.path(""), "alice", "ed25519");
    std::fs::write(&keys, format!("alice@example.com {public}\n")).expect("written");
    std::fs::write(&secret, "not-to-be-guessed\n").expect("written");
    let repository = Repository::init(&cluster.path("source"));
    let save = |name: &str| {
        let file = repository.path.join(format!("{name}.yaml"));
        std::fs::write(file, config_map(name, "x")).expect("written");
    };
    let url = format!("file://{}", repository.path.display());
    let policy = [&*url, "--verify-commits", text(&keys)];

    save("first");
    repository.commit("unsigned");
    let dry = cluster.run(&[&policy[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, Some(2), "{dry}");
    assert!(dry.stderr.contains("is not applied: it has no signature"), "{dry}");
    alice.commit(&repository, "signed");
    let dry = cluster.run(&[&policy[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, Some(1), "{dry}");

    let hooks = [
        "--interval",
        "1h",
        "--webhook-listen",
        "127.0.0.1:0",
        "--webhook-secret",
        text(&secret),
    ];
    cluster.start(&[&policy[..], &hooks[..]].concat());
    let line = cluster.reconciler().line_with("webhooks ", CHANGE);
    let (address, path) = line
        .split_once("http://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .expect("an address and a path");
    cluster
        .reconciler()
        .line_with("created     ConfigMap default/first", CHANGE);
    save("second");
    repository.commit("unsigned again");
    assert_eq!(deliver(address, path), 202);
    let line = cluster.reconciler().line_with("is not applied", CHANGE);
    assert!(
        line.contains("by Test <test@example.com> is not applied: it has no signature"),
        "{line}"
    );
    alice.commit(&repository, "signed again");
    assert_eq!(deliver(address, path), 202);
    cluster
        .reconciler()
        .line_with("created     ConfigMap default/second", CHANGE);

    // Its port is taken while it runs, and the flags need each other.
    let taken = cluster.run(&[
        &url,
        "--kubeconfig",
        text(&cluster.kubeconfig()),
        "--webhook-listen",
        address,
        "--webhook-secret",
        text(&secret),
    ]);
    assert_eq!(taken.code, Some(2), "{taken}");
    assert!(taken.stderr.contains(&format!("cannot listen on {address}")), "{taken}");
    let alone = cluster.run(&[&url, "--webhook-listen", "127.0.0.1:0"]);
    assert!(
        alone.code == Some(2) && alone.stderr.contains("--webhook-secret"),
        "{alone}"
    );
    cluster.stop();
}

/// Delivers a push as GitLab does; the status of the answer.
fn deliver(address: &str, path: &str) -> u16 {
    let body = "{\"ref\":\"refs/heads/main\",\"project\":{\"default_branch\":\"main\"}}";
    let id = crate::support::unique("delivery");
    let mut stream = std::net::TcpStream::connect(address).expect("connected");
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nX-Gitlab-Token: not-to-be-guessed\r\nX-Gitlab-Event: Push Hook\r\n\
         X-Gitlab-Event-UUID: {id}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status")
}
