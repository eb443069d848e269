//! Sync windows: nothing is written outside of them, and what was missed is done when one opens.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use reconcile::gitops::manage::Sources;
use reconcile::gitops::{Error, Window};

use super::harness::{World, config_map, eventually};

fn window(text: &str) -> Window {
    text.parse().expect("a window")
}

#[tokio::test]
async fn outside_a_window_nothing_is_written_and_everybody_is_told() {
    let world = World::new().await;
    let sources = Sources::new(world.client.clone());
    world.write("a.yaml", &config_map("a", "1"));
    let mut config = world.config();
    config.windows = vec![window("deny * * * * * * for 1h")];
    let following = world.follow_with(config.clone());
    following.said("not synced now: the window").await;
    eventually("it is recorded", async || {
        let all = sources.statuses(None).await.expect("statuses");
        all.first().map(drop).ok_or_else(|| following.text())
    })
    .await;
    let refused = sources
        .sync(None, Duration::from_secs(20))
        .await
        .expect_err("not allowed now");
    assert!(matches!(refused, Error::Closed { .. }), "{refused}");
    let refused = world.try_sync(&config).await.expect_err("not allowed now");
    assert!(
        refused
            .to_string()
            .contains("the source source is not synced now: the window \"deny"),
        "{refused}"
    );
    assert_eq!(world.dry_run_with(&config).await.counts.create, 1, "looking is allowed");
    assert_eq!(world.names("ConfigMap").await, Vec::<String>::new());
    let status = sources.statuses(None).await.expect("statuses").remove(0);
    let closed = status.record.closed.expect("recorded");
    assert!(closed.until.is_none() && closed.reason.contains("is open"), "{closed}");
    following.stop().await;
}

#[tokio::test]
async fn what_was_missed_is_done_when_a_window_opens() {
    let world = World::new().await;
    let sources = Sources::new(world.client.clone());
    world.write("a.yaml", &config_map("a", "1"));
    let opening = Utc::now() + TimeDelta::seconds(3);
    let mut config = world.config();
    config.windows = vec![window(&format!("allow {} for 1h", opening.format("%-S %-M %-H * * *")))];
    let following = world.follow_with(config);
    following.said("not synced now: the window").await;
    assert_eq!(world.names("ConfigMap").await, Vec::<String>::new());
    eventually("what was missed is there", async || {
        match world.names("ConfigMap").await {
            names if names == ["a"] => Ok(()),
            names => Err(format!("{names:?}\n{}", following.text())),
        }
    })
    .await;
    assert!(Utc::now() >= opening - TimeDelta::seconds(1), "not before it opened");
    following.said("a sync window allows syncs again").await;
    eventually("the record knows", async || {
        let status = sources.statuses(None).await.expect("statuses").remove(0);
        // The hour begins at the full second.
        let hour = opening.timestamp() + 3600;
        match (status.record.closed, status.record.closes) {
            (None, Some(closes)) if closes.as_second() == hour => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    following.stop().await;
}
