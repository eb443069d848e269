//! What is followed of a remote: branches wherever they go, tags as long as they stay, the newest tag of a range.

use std::time::Duration;

use reconcile::gitops::report::Revision;

use super::harness::{World, config_map, eventually};
use super::remotes::Upstream;

fn name(revision: &Revision) -> Option<&str> {
    match revision {
        Revision::Commit(commit) => commit.reference.as_deref(),
        other => panic!("{other:?} is no commit"),
    }
}

/// Writes a file that says which version this is, and pushes it under that tag.
fn release(upstream: &Upstream, tag: &str) {
    upstream.write("a.yaml", config_map("a", tag).as_bytes());
    upstream.push(tag);
    upstream.work.git(&["tag", "-m", tag, tag]);
    upstream.work.git(&["push", "-q", "origin", tag]);
}

async fn at(world: &World, wanted: &str) -> Result<(), String> {
    match world.get("ConfigMap", "a").await {
        Some(object) if object["data"]["key"] == wanted => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn the_newest_tag_of_a_range_is_followed_and_never_falls() {
    let world = World::new().await;
    let upstream = Upstream::new(&world.path(""));
    let mut config = world.config();
    config.source = format!("file://{}", upstream.bare.path.display());
    config.semver = Some("1.x".into());
    config.interval = Duration::from_millis(100);
    let error = world.try_sync(&config).await.expect_err("no tags").to_string();
    assert!(error.contains("the repository has no tags"), "{error}");
    for tag in ["v1.9.0", "v1.10.0", "v1.11.0-rc.1", "v2.0.0"] {
        release(&upstream, tag);
    }
    let outcome = world.sync_with(&config).await;
    assert_eq!(name(&outcome.revision), Some("v1.10.0"));
    at(&world, "v1.10.0").await.expect("applied");

    let following = world.follow_with(config.clone());
    following.said("synced").await;
    release(&upstream, "v1.11.0");
    eventually("the new one", || at(&world, "v1.11.0")).await;
    upstream.work.git(&["push", "-q", "--delete", "origin", "v1.11.0"]);
    following
        .said("tag v1.11.0 is gone; the newest in the range is v1.10.0 now")
        .await;
    following.said("stays applied").await;
    at(&world, "v1.11.0").await.expect("kept");
    release(&upstream, "v1.12.0");
    eventually("what comes after", || at(&world, "v1.12.0")).await;
    following.stop().await;

    config.semver = Some("^7".into());
    let error = world.try_sync(&config).await.expect_err("none").to_string();
    assert!(
        error.contains("no tag is in the range ^7 (tags: v2.0.0, v1.12.0, "),
        "{error}"
    );
    // The same of a repository on disk.
    config.source = upstream.bare.path.display().to_string();
    config.semver = Some("<2".into());
    assert_eq!(name(&world.sync_with(&config).await.revision), Some("v1.12.0"));
}

#[tokio::test]
async fn tags_that_move_are_followed_and_branches_that_go_are_told() {
    let world = World::new().await;
    let upstream = Upstream::new(&world.path(""));
    release(&upstream, "v1");
    let mut config = world.config();
    config.source = format!("file://{}", upstream.bare.path.display());
    config.interval = Duration::from_millis(100);
    config.reference = Some("v1".into());
    let following = world.follow_with(config.clone());
    following.said("synced").await;
    upstream.write("a.yaml", config_map("a", "moved").as_bytes());
    upstream.push("moved");
    upstream.work.git(&["tag", "-f", "-m", "again", "v1"]);
    upstream.work.git(&["push", "-q", "--force", "origin", "v1"]);
    eventually("the tag is followed", || at(&world, "moved")).await;
    following.stop().await;

    upstream.work.git(&["push", "-q", "origin", "main:live"]);
    config.reference = Some("live".into());
    let following = world.follow_with(config);
    following.said("synced").await;
    upstream.work.git(&["push", "-q", "--delete", "origin", "live"]);
    following.said("no branch or tag live (branches: main; tags: v1)").await;
    world.delete("ConfigMap", "a").await;
    eventually("kept up", || at(&world, "moved")).await;
    following.stop().await;
}
