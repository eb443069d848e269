//! Webhooks over a real socket, against a running reconciler that would otherwise look for news in an hour.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use reconcile::gitops;
use reconcile::gitops::webhook::{self, Webhooks};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::harness::{World, config_map, eventually};
use super::metrics::Scraped;
use crate::support::git::Repository;
use crate::support::tools;

const SECRET: &str = "not-to-be-guessed";

/// A listener on loopback.
struct Listening {
    address: SocketAddr,
    _stop: DropGuard,
}

async fn listen(webhooks: &Webhooks) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    tokio::spawn(webhook::serve(listener, webhooks.clone(), stop.clone()));
    Listening {
        address,
        _stop: stop.drop_guard(),
    }
}

impl Listening {
    /// Sends these bytes; the status and the text of the answer.
    async fn send(&self, bytes: Vec<u8>) -> (u16, String) {
        let address = self.address;
        let asked = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).expect("connected");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
            // Whoever is refused early may find the connection closed while it still sends.
            if let Err(error) = stream.write_all(&bytes) {
                eprintln!("sending ended early: {error}");
            }
            let mut answer = Vec::new();
            if let Err(error) = stream.read_to_end(&mut answer) {
                eprintln!("the answer ended early: {error}");
            }
            String::from_utf8_lossy(&answer).into_owned()
        });
        let answer = asked.await.expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let text = answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
        (status.unwrap_or_else(|| panic!("no status in {answer:?}")), text)
    }

    async fn post(&self, source: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut request = format!(
            "POST /webhook/{source} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        self.send(format!("{request}\r\n{body}").into_bytes()).await
    }
}

/// The HMAC-SHA256 of a body, by openssl.
fn signature(body: &str) -> String {
    use std::process::Stdio;
    let mut openssl = Command::new(tools::installed("openssl", "openssl"))
        .args(["dgst", "-sha256", "-hmac", SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut stdin = openssl.stdin.take().expect("piped");
    stdin.write_all(body.as_bytes()).expect("written");
    drop(stdin);
    let output = openssl.wait_with_output().expect("openssl ends");
    let text = String::from_utf8(output.stdout).expect("text");
    text.trim().rsplit(' ').next().expect("a hash").to_owned()
}

fn push(reference: &str, number: usize) -> String {
    format!(r#"{{"ref":"refs/heads/{reference}","number":{number},"repository":{{"default_branch":"main"}}}}"#)
}

/// A bare repository with a commit, and a configuration that follows it from afar.
fn remote(world: &World) -> (Repository, gitops::Config) {
    let bare = Repository::init_bare(&world.path("bare.git"));
    let work = Repository::init(&world.path("work"));
    work.git(&["remote", "add", "origin", bare.path.to_str().expect("text")]);
    std::fs::write(world.path("secret"), format!("{SECRET}\n")).expect("written");
    let mut config = world.config();
    config.source = format!("file://{}", bare.path.display());
    config.webhook_secret = Some(world.path("secret"));
    commit(world, &work, "first");
    (work, config)
}

/// Commits a ConfigMap of that name and pushes it.
fn commit(world: &World, work: &Repository, name: &str) {
    let file = world.path("work").join(format!("{name}.yaml"));
    std::fs::write(file, config_map(name, "1")).expect("written");
    work.commit(name);
    work.git(&["push", "-q", "origin", "main"]);
}

#[tokio::test]
async fn a_push_is_applied_when_the_webhook_comes() {
    let world = World::new().await;
    let (work, config) = remote(&world);
    let listening = listen(&config.webhooks).await;
    let scraped = Scraped::of(&config.telling.metrics).await;
    let following = world.follow_with(config);
    following.said("synced").await;
    let there = async |name: &str| {
        eventually(name.to_owned(), async || {
            world.get("ConfigMap", name).await.ok_or_else(|| following.text())
        })
        .await;
    };

    commit(&world, &work, "github");
    let body = push("main", 1);
    let signed = format!("sha256={}", signature(&body));
    let headers = [
        ("X-Hub-Signature-256", &*signed),
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", "1"),
    ];
    let started = std::time::Instant::now();
    assert_eq!(
        listening.post("default", &headers, &body).await,
        (202, "looking for news\n".into())
    );
    there("github").await;
    println!("applied {:?} after the webhook", started.elapsed());
    let again = listening.post("default", &headers, &body).await;
    assert_eq!(again, (409, "this delivery was accepted before\n".into()));

    commit(&world, &work, "gitea");
    let body = push("main", 2);
    let headers = [("X-Gitea-Signature", &*signature(&body)), ("X-Gitea-Event", "push")];
    assert_eq!(listening.post("default", &headers, &body).await.0, 202);
    there("gitea").await;

    commit(&world, &work, "gitlab");
    let headers = [
        ("X-Gitlab-Token", SECRET),
        ("X-Gitlab-Event", "Push Hook"),
        ("X-Gitlab-Event-UUID", "3"),
    ];
    assert_eq!(listening.post("default", &headers, &push("main", 3)).await.0, 202);
    there("gitlab").await;

    // Nothing else makes it look: what was pushed meanwhile is not there before the next delivery.
    commit(&world, &work, "last");
    let (status, text) = listening
        .post("default", &[("X-Gitlab-Token", SECRET)], &push("other", 4))
        .await;
    assert_eq!(
        (status, &*text),
        (200, "refs/heads/other was pushed, and main is followed\n")
    );
    let ping = [("X-Gitlab-Token", SECRET), ("X-GitHub-Event", "ping")];
    assert_eq!(listening.post("default", &ping, "{}").await, (200, "ok\n".into()));
    for wrong in ["no", ""] {
        let wrong = [("X-Gitlab-Token", wrong)];
        assert_eq!(listening.post("default", &wrong, &push("main", 5)).await.0, 401);
    }
    assert!(world.get("ConfigMap", "last").await.is_none());
    assert_eq!(
        listening
            .post("default", &[("X-Gitlab-Token", SECRET)], &push("main", 6))
            .await
            .0,
        202
    );
    there("last").await;
    let samples = scraped.samples().await;
    for (outcome, count) in [
        ("accepted", 4.0),
        ("repeated", 1.0),
        ("ignored", 2.0),
        ("unauthorized", 2.0),
    ] {
        let series = format!("reconcile_webhook_deliveries_total{{source=\"bare\",outcome=\"{outcome}\"}}");
        assert_eq!(samples[&series], count, "{outcome}");
    }
    following.stop().await;
    let gone = listening
        .post("default", &[("X-Gitlab-Token", SECRET)], &push("main", 7))
        .await;
    assert_eq!(gone.0, 401, "nobody follows it any more");
}

#[tokio::test]
async fn strangers_learn_nothing_and_hold_nothing_up() {
    let world = World::new().await;
    let (_, config) = remote(&world);
    let listening = listen(&config.webhooks).await;
    let following = world.follow_with(config);
    following.said("synced").await;

    let unknown = listening
        .post("nothing", &[("X-Gitlab-Token", SECRET)], &push("main", 1))
        .await;
    let wrong = listening
        .post("default", &[("X-Gitlab-Token", "guess")], &push("main", 1))
        .await;
    assert_eq!(unknown, wrong, "a name cannot be told from a wrong token");
    assert_eq!(unknown.0, 401);

    // Announced as too large: refused without a byte of it.
    let head = "POST /webhook/default HTTP/1.1\r\nHost: test\r\nContent-Length: 1048577\r\n\r\n";
    assert_eq!(listening.send(head.into()).await.0, 413);
    // Not announced: refused once it is.
    let mut chunked = b"POST /webhook/default HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..17 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.resize(chunked.len() + 0x10000, b' ');
        chunked.extend_from_slice(b"\r\n");
    }
    assert_eq!(listening.send(chunked).await.0, 413);
    // Announced and never sent, by as many as are read at once: the next is told to come back, and they are given up.
    let slow = "POST /webhook/default HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n";
    let body = "{\"ref\":\"refs/heads/main\"}";
    let full = eventually("no room for more", async || {
        match listening.post("default", &[], body).await {
            (503, _) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let slow = futures::future::join_all((0..16).map(|_| listening.send(slow.into())));
    let (slow, ()) = tokio::join!(slow, full);
    assert!(slow.iter().all(|(status, _)| *status == 408), "{slow:?}");
    let good = listening.post("default", &[("X-Gitlab-Token", SECRET)], body).await;
    assert_eq!(good.0, 202, "there is room again");
    for (method, path, expected) in [("GET", "/webhook/default", 405), ("POST", "/", 404)] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(listening.send(request.into()).await.0, expected, "{method} {path}");
    }
    following.stop().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused() {
    let world = World::new().await;
    let (_, mut config) = remote(&world);
    gitops::check(&config).expect("fine");
    config.schedules = vec!["0 * * * * *".into()];
    let error = gitops::check(&config).expect_err("both").to_string();
    assert!(error.contains("--schedule"), "{error}");
    config.schedules.clear();
    std::fs::write(world.path("secret"), "\n").expect("written");
    let error = gitops::check(&config).expect_err("empty").to_string();
    assert!(error.contains("the file is empty"), "{error}");
    config.webhook_secret = Some(world.path("missing"));
    let error = gitops::check(&config).expect_err("missing").to_string();
    assert!(error.contains("missing: No such file"), "{error}");
}

#[tokio::test]
async fn a_pushed_tag_is_news_where_versions_are_followed() {
    let world = World::new().await;
    let (work, mut config) = remote(&world);
    config.semver = Some(">=1.0.0".into());
    work.git(&["tag", "v1.0.0"]);
    work.git(&["push", "-q", "origin", "v1.0.0"]);
    let listening = listen(&config.webhooks).await;
    let following = world.follow_with(config);
    following.said("synced").await;
    commit(&world, &work, "second");
    work.git(&["tag", "v1.1.0"]);
    work.git(&["push", "-q", "origin", "v1.1.0"]);
    let body = r#"{"ref":"refs/tags/v1.1.0","repository":{"default_branch":"main"}}"#;
    let signed = format!("sha256={}", signature(body));
    let (status, text) = listening
        .post(
            "default",
            &[("X-GitHub-Event", "push"), ("X-Hub-Signature-256", &signed)],
            body,
        )
        .await;
    assert_eq!(status, 202, "{text}");
    eventually("the new version", async || {
        world.get("ConfigMap", "second").await.ok_or_else(|| following.text())
    })
    .await;
    following.stop().await;
}
