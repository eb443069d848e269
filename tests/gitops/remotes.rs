//! What the tests of remotes share: a repository to serve, credentials, and wires that are cut.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reconcile::gitops::{Access, Config};

use super::harness::{World, config_map, eventually};
use crate::support::git::Repository;
use crate::support::process::{self, Ended};
use crate::support::tools;
use crate::support::web::{PASSWORD, TOKEN};
use crate::support::wire::Wire;

pub fn access(pairs: &[(&str, &str)]) -> Access {
    let data: BTreeMap<String, Vec<u8>> = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
        .collect();
    Access::from_data(&data).expect("usable credentials")
}

/// A bare repository and a work tree that is pushed to it.
pub struct Upstream {
    pub bare: Repository,
    pub work: Repository,
}

impl Upstream {
    pub fn new(root: &Path) -> Upstream {
        std::fs::create_dir(root.join("repositories")).expect("made");
        let bare = Repository::init_bare(&root.join("repositories/apps.git"));
        let work = Repository::init(&root.join("work"));
        work.git(&["remote", "add", "origin", bare.path.to_str().expect("text")]);
        let upstream = Upstream { bare, work };
        upstream.write("a.yaml", config_map("a", "1").as_bytes());
        upstream.push("first");
        upstream
    }

    pub fn write(&self, name: &str, contents: &[u8]) {
        std::fs::write(self.work.path.join(name), contents).expect("written");
    }

    pub fn push(&self, message: &str) -> String {
        let commit = self.work.commit(message);
        self.work.git(&["push", "-q", "--force", "origin", "main"]);
        commit
    }

    /// A file that no pack makes smaller, so that fetching it takes more than one answer.
    pub fn write_bulk(&self) {
        let mut state = 88_172_645_463_325_252_u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()
        })
        .take(64 << 10)
        .flatten()
        .collect();
        self.write("bulk.bin", &bytes);
    }
}

pub async fn refused(world: &World, config: &Config) -> String {
    let error = world.try_sync(config).await.expect_err("refused").to_string();
    for secret in [PASSWORD, TOKEN, "wr0ng", "PRIVATE KEY"] {
        assert!(!error.contains(secret), "{error}");
    }
    error
}

/// A dry run of the binary, for somebody whose home that is. Nothing it writes holds a secret.
pub fn dry_run(home: &Path, source: &str, more: &[&str]) -> Ended {
    dry_run_with_agent(home, source, None, more)
}

pub fn dry_run_with_agent(home: &Path, source: &str, agent: Option<&Path>, more: &[&str]) -> Ended {
    let mut command = tools::reconcile();
    command
        .args([source, "--dry-run", "-vv", "--data-dir"])
        .arg(home.join("data"))
        .args(more)
        .env("HOME", home)
        .env_remove("SSH_AUTH_SOCK");
    if let Some(agent) = agent {
        command.env("SSH_AUTH_SOCK", agent);
    }
    let ended = process::run(&mut command, Duration::from_secs(60));
    for secret in [PASSWORD, TOKEN, "wr0ng", "PRIVATE KEY"] {
        assert!(!ended.all().contains(secret), "{ended}");
    }
    ended
}

/// Follows a remote through a wire that is cut in the middle of a fetch and mended later.
pub async fn cut_and_mended(world: &World, upstream: &Upstream, wire: &Wire, mut config: Config) {
    config.interval = Duration::from_millis(200);
    let following = world.follow_with(config);
    following.said("synced").await;
    wire.cut_after(100_000);
    upstream.write_bulk();
    upstream.write("b.yaml", config_map("b", "1").as_bytes());
    upstream.push("second");
    following.said("retrying").await;
    assert!(wire.cuts() > 0, "{}", following.text());
    world.delete("ConfigMap", "a").await;
    eventually("a is back", async || {
        world.get("ConfigMap", "a").await.ok_or_else(|| following.text())
    })
    .await;
    assert_eq!(world.names("ConfigMap").await, ["a"], "kept up as last fetched");
    wire.mend();
    eventually("b is there", async || {
        world.get("ConfigMap", "b").await.ok_or_else(|| following.text())
    })
    .await;

    // History that is rewritten, in a clone without history.
    upstream.write("c.yaml", config_map("c", "1").as_bytes());
    upstream.work.git(&["rm", "-q", "--cached", "b.yaml"]);
    std::fs::remove_file(upstream.work.path.join("b.yaml")).expect("removed");
    upstream.work.git(&["add", "-A"]);
    upstream.work.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
    upstream.work.git(&["push", "-q", "--force", "origin", "main"]);
    eventually("c instead of b", async || match world.names("ConfigMap").await {
        names if names == ["a", "c"] => Ok(()),
        names => Err(format!("{names:?}\n{}", following.text())),
    })
    .await;
    following.stop().await;
}
