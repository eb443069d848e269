//! Remotes over HTTPS: a real web server, logins and certificates that are good and bad, a proxy, a cut.

use reconcile::gitops::{Access, Config};

use super::harness::{World, config_map};
use super::remotes::{Upstream, access, cut_and_mended, dry_run, refused};
use crate::support::git::Repository;
use crate::support::web::{Authority, PASSWORD, TOKEN, USER, Web, self_signed};
use crate::support::wire::Wire;

/// Years in which certificates here are good.
const GOOD: std::ops::Range<i32> = 2020..2200;

#[test]
fn the_command_line_takes_credentials_and_shows_none() {
    let root = tempfile::tempdir().expect("a directory");
    let _upstream = Upstream::new(root.path());
    let authority = Authority::new("the test's authority");
    let web = Web::start(
        &root.path().join("repositories"),
        &authority.certificate("localhost", GOOD),
    );
    let home = root.path().join("home");
    let credentials = root.path().join("credentials");
    std::fs::create_dir_all(&credentials).expect("made");
    let write = |name: &str, text: &str| std::fs::write(credentials.join(name), text).expect("written");
    let place = credentials.to_str().expect("text");
    let (source, with) = (web.url("git", "apps.git"), ["--credentials", place]);

    let ended = dry_run(&home, &source, &["--credentials", "/nowhere/at/all"]);
    assert!(
        ended.code == Some(2) && ended.stderr.contains("/nowhere/at/all"),
        "{ended}"
    );
    write("ca.crt", &authority.pem);
    write("username", &format!("{USER}\n"));
    write("password", "wr0ng\n");
    let ended = dry_run(&home, &source, &with);
    assert!(
        ended.code == Some(2) && ended.stderr.contains("refuses the username and password"),
        "{ended}"
    );
    write("password", &format!("{PASSWORD}\n"));
    let ended = dry_run(&home, &source, &with);
    assert!(
        ended.code == Some(1) && ended.stdout.contains("create ConfigMap default/a"),
        "{ended}"
    );
}

#[tokio::test]
async fn https_with_a_login() {
    let world = World::new().await;
    let upstream = Upstream::new(&world.path(""));
    let authority = Authority::new("the test's authority");
    let web = Web::start(&world.path("repositories"), &authority.certificate("localhost", GOOD));
    let mut config = world.config();
    config.source = web.url("git", "apps.git");
    let ca = ("ca.crt", authority.pem.as_str());
    config.access = access(&[ca, ("username", USER), ("password", PASSWORD)]);
    world.sync_with(&config).await;
    assert_eq!(world.names("ConfigMap").await, ["a"]);

    for (name, given, part) in [
        (
            "wrong",
            &[ca, ("username", USER), ("password", "wr0ng")][..],
            "localhost refuses the username and password",
        ),
        ("none", &[ca], "localhost asks for a login"),
        (
            "a token",
            &[ca, ("bearerToken", "wr0ng")],
            "localhost refuses the bearerToken",
        ),
    ] {
        config.access = access(given);
        let error = refused(&world, &config).await;
        assert!(error.contains(part), "{name}: {error}");
    }
    // In the URL, where it is worse kept.
    config.access = access(&[ca]);
    let login = format!("https://{USER}:{}@", PASSWORD.replace('@', "%40").replace(':', "%3A"));
    config.source = web.url("git", "apps.git").replace("https://", &login);
    upstream.write("b.yaml", config_map("b", "1").as_bytes());
    upstream.push("second");
    world.sync_with(&config).await;
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
    config.source = web
        .url("git", "apps.git")
        .replace("https://", &format!("https://{USER}:wr0ng@"));
    let error = refused(&world, &config).await;
    assert!(error.contains("refuses the login in the URL"), "{error}");

    config.source = web.url("token", "apps.git");
    config.access = access(&[ca, ("bearerToken", TOKEN)]);
    world.sync_with(&config).await;
    config.access = access(&[ca, ("bearerToken", "wr0ng")]);
    assert!(refused(&world, &config).await.contains("forbids it (403)"));
    config.source = web.url("open", "gone.git");
    assert!(refused(&world, &config).await.contains("no such repository (404)"));
    config.source = web.url("moved", "apps.git");
    let error = refused(&world, &config).await;
    assert!(
        error.contains("cannot redirect from 'localhost' to '127.0.0.1'"),
        "{error}"
    );
    assert_eq!(world.names("ConfigMap").await, ["a", "b"], "what was applied stays");
}

#[tokio::test]
async fn what_one_login_may_read_no_other_sees() {
    let world = World::new().await;
    let _upstream = Upstream::new(&world.path(""));
    let authority = Authority::new("the test's authority");
    let web = Web::start(&world.path("repositories"), &authority.certificate("localhost", GOOD));
    let ca = ("ca.crt", authority.pem.as_str());
    let mut config = world.config();
    config.source = web.url("git", "apps.git");
    config.access = access(&[ca, ("username", USER), ("password", PASSWORD)]);
    world.sync_with(&config).await;
    let clones = || std::fs::read_dir(world.path("data/sources")).expect("clones").count();
    assert_eq!(clones(), 1);
    // Another cluster, so that there is nothing yet; what was fetched for the first is at hand.
    let other = World::new().await;
    for (name, access) in [
        (
            "a wrong password",
            access(&[ca, ("username", USER), ("password", "wr0ng")]),
        ),
        ("none", access(&[ca])),
    ] {
        let following = other.follow_with(Config {
            access,
            ..config.clone()
        });
        following.said("connecting to").await;
        assert!(other.names("ConfigMap").await.is_empty(), "{name}");
        following.stop().await;
    }
    assert_eq!(clones(), 3);
    other.sync_with(&config).await;
    assert_eq!(other.names("ConfigMap").await, ["a"]);
    assert_eq!(clones(), 3, "who logs in alike shares a clone");
}

#[tokio::test]
async fn https_certificates() {
    let world = World::new().await;
    let _upstream = Upstream::new(&world.path(""));
    let authority = Authority::new("the test's authority");
    let stranger = Authority::new("a stranger");
    let between = authority.below("in between");
    let chain = between.certificate("localhost", GOOD) + &between.pem;
    let stranger_between = stranger.below("in between");
    let strangers_chain = stranger_between.certificate("localhost", GOOD) + &stranger_between.pem;
    let (own, own_with_key) = self_signed("localhost");
    for (name, certificate, ca, expected) in [
        ("good", authority.certificate("localhost", GOOD), &authority.pem, None),
        ("through another", chain, &authority.pem, None),
        (
            "untrusted, through another",
            strangers_chain,
            &authority.pem,
            Some("the certificate of localhost is signed by CN=in between, which neither this machine nor ca.crt"),
        ),
        (
            "untrusted",
            stranger.certificate("localhost", GOOD),
            &authority.pem,
            Some("the certificate of localhost is signed by CN=a stranger, which neither this machine nor ca.crt"),
        ),
        (
            "expired",
            authority.certificate("localhost", 2001..2002),
            &authority.pem,
            Some("the certificate of localhost expired on Jan  1"),
        ),
        (
            "not yet",
            authority.certificate("localhost", 2150..2200),
            &authority.pem,
            Some("the certificate of localhost is valid only from Jan  1"),
        ),
        (
            "another host",
            authority.certificate("git.example.com", GOOD),
            &authority.pem,
            Some("the certificate of localhost is for git.example.com and not for localhost"),
        ),
        (
            "self-signed",
            own_with_key.clone(),
            &authority.pem,
            Some("the certificate of localhost is signed by itself"),
        ),
        ("self-signed and given", own_with_key, &own, None),
    ] {
        let web = Web::start(&world.path("repositories"), &certificate);
        let mut config = world.config();
        config.source = web.url("open", "apps.git");
        config.access = access(&[("ca.crt", ca)]);
        match expected {
            None => {
                world.sync_with(&config).await;
            }
            Some(part) => {
                let error = refused(&world, &config).await;
                assert!(error.contains(part), "{name}: {error}");
                // Without an authority of one's own the same is said, as far as it applies.
                config.access = Access::default();
                let error = refused(&world, &config).await;
                let part = part.split(", which neither").next().expect("a part");
                assert!(error.contains(part), "{name}, default: {error}");
            }
        }
    }
}

#[tokio::test]
async fn https_through_a_proxy() {
    let world = World::new().await;
    let _upstream = Upstream::new(&world.path(""));
    let authority = Authority::new("the test's authority");
    let web = Web::start(&world.path("repositories"), &authority.certificate("localhost", GOOD));
    let proxy = Wire::proxy();
    let mut config = world.config();
    config.source = web.url("git", "apps.git");
    let url = format!("http://127.0.0.1:{}", proxy.port);
    config.access = access(&[
        ("ca.crt", &authority.pem),
        ("username", USER),
        ("password", PASSWORD),
        ("proxy", &url),
    ]);
    world.sync_with(&config).await;
    assert!(proxy.connections() > 0);
    config.source = "ssh://git@127.0.0.1/apps.git".into();
    let error = refused(&world, &config).await;
    assert!(
        error.contains("the proxy of the credentials serves https and http only"),
        "{error}"
    );
}

#[tokio::test]
async fn one_commit_is_fetched_alone_where_the_server_gives_it() {
    let world = World::new().await;
    let upstream = Upstream::new(&world.path(""));
    let authority = Authority::new("the test's authority");
    let web = Web::start(&world.path("repositories"), &authority.certificate("localhost", GOOD));
    let first = upstream.work.git(&["rev-parse", "HEAD"]).trim().to_owned();
    upstream.write("a.yaml", config_map("a", "2").as_bytes());
    let second = upstream.push("second");
    upstream.write("a.yaml", config_map("a", "3").as_bytes());
    upstream.push("third");
    let mut config = world.config();
    config.source = web.url("open", "apps.git");
    config.access = access(&[("ca.crt", &authority.pem)]);
    for (name, allowed, commits) in [("by name", "true", 1), ("only as part of all", "false", 3)] {
        config.data_dir = world.path(name);
        config.reference = Some(second.clone());
        upstream
            .bare
            .git(&["config", "uploadpack.allowReachableSHA1InWant", allowed]);
        world.sync_with(&config).await;
        let object = world.get("ConfigMap", "a").await.expect("applied");
        assert_eq!(object["data"]["key"], "2", "{name}");
        let sources = std::fs::read_dir(config.data_dir.join("sources")).expect("clones");
        let clones: Vec<_> = sources.map(|clone| clone.expect("a clone").path()).collect();
        let clone = Repository {
            path: clones[0].clone(),
        };
        assert_eq!(
            clone.git(&["rev-list", "--all", "--count"]).trim(),
            commits.to_string(),
            "{name}"
        );
        config.reference = Some(first[..8].to_owned());
        world.sync_with(&config).await;
        let object = world.get("ConfigMap", "a").await.expect("applied");
        assert_eq!(object["data"]["key"], "1", "{name}, then an abbreviated one");
    }
}

#[tokio::test]
async fn https_is_cut_in_the_middle_of_a_fetch() {
    let world = World::new().await;
    let upstream = Upstream::new(&world.path(""));
    let authority = Authority::new("the test's authority");
    let web = Web::start(&world.path("repositories"), &authority.certificate("localhost", GOOD));
    let wire = Wire::to(web.port);
    let mut config = world.config();
    config.source = format!("https://localhost:{}/open/apps.git", wire.port);
    config.access = access(&[("ca.crt", &authority.pem)]);
    cut_and_mended(&world, &upstream, &wire, config).await;
}
