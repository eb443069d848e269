//! What people see of sources and ask of them while a reconciler follows: suspend, sync, approve, status, history.

use std::time::Duration;

use reconcile::gitops::manage::{Sources, Status};
use reconcile::gitops::{Action, Budget, Error, FollowedBy};

use super::harness::{World, actions, config_map, eventually, pod};

const PATIENCE: Duration = Duration::from_secs(20);

async fn status(world: &World) -> Status {
    let mut all = Sources::new(world.client.clone())
        .statuses(None)
        .await
        .expect("statuses");
    assert_eq!(all.len(), 1, "one source");
    all.remove(0)
}

#[tokio::test]
async fn a_suspended_source_is_left_alone_until_it_is_resumed() {
    let world = World::new().await;
    let sources = Sources::new(world.client.clone());
    assert!(sources.suspend(None, true).await.is_err(), "nothing to suspend yet");
    world.write("a.yaml", &config_map("a", "1"));
    let following = world.follow();
    following.said("synced").await;
    let asked = sources.suspend(Some("source"), true).await.expect("suspended");
    assert_eq!(asked.name, "source");
    assert!(matches!(asked.followed_by, FollowedBy::Process(_)), "{asked:?}");
    following.said("suspended").await;
    world.write("a.yaml", &config_map("a", "2"));
    world.write("b.yaml", &config_map("b", "1"));
    world.delete("ConfigMap", "a").await;
    let refused = sources.sync(None, PATIENCE).await.expect_err("it is suspended");
    assert!(matches!(refused, Error::Suspended(_)), "{refused}");
    assert!(status(&world).await.suspended);
    let refused = world.try_sync(&world.config()).await.expect_err("it is suspended");
    assert!(refused.to_string().contains("reconcile resume source"), "{refused}");
    assert_eq!(world.names("ConfigMap").await, Vec::<String>::new());
    sources.suspend(None, false).await.expect("resumed");
    eventually("what was missed is there", async || {
        match world.names("ConfigMap").await {
            names if names == ["a", "b"] => Ok(()),
            names => Err(format!("{names:?}\n{}", following.text())),
        }
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn a_request_is_answered_by_a_sync_even_between_schedules() {
    let world = World::new().await;
    let sources = Sources::new(world.client.clone());
    world.write("a.yaml", &config_map("a", "1"));
    let mut config = world.config();
    config.schedules = vec!["0 0 0 1 1 * 2099".into()];
    let following = world.follow_with(config);
    following.said("synced").await;
    world.write("b.yaml", &config_map("b", "1"));
    let status = sources.sync(None, PATIENCE).await.expect("synced");
    assert_eq!((status.is_in_sync(), status.objects, status.healthy), (true, 2, 2));
    assert_eq!(world.names("ConfigMap").await, ["a", "b"]);
    world.write("bad.yaml", "\tkind: x\n");
    let status = sources.sync(None, PATIENCE).await.expect("answered");
    assert!(!status.is_in_sync(), "{status:?}");
    assert_eq!(
        status.record.problems[0].place.as_ref().expect("a place").path,
        "bad.yaml"
    );
    assert_eq!(status.record.history.len(), 3, "{:?}", status.record.history);
    following.stop().await;
}

#[tokio::test]
async fn a_request_that_nobody_takes_up_says_so() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    world.sync().await;
    let sources = Sources::new(world.client.clone());
    let failed = sources.sync(None, PATIENCE).await.expect_err("nobody");
    assert!(matches!(failed, Error::NotFollowed(_)), "{failed}");
    let failed = sources.rollback("HEAD~1", None, PATIENCE).await.expect_err("nobody");
    assert!(matches!(failed, Error::NotFollowed(_)), "{failed}");
    let asked = sources.suspend(None, true).await.expect("written down");
    assert_eq!(asked.followed_by, FollowedBy::Nobody);
    let unknown = sources.sync(Some("nope"), PATIENCE).await.expect_err("no such source");
    assert_eq!(unknown.to_string(), "there is no source nope; there is: source");
}

#[tokio::test]
async fn a_source_that_fails_says_so_and_recovers() {
    let world = World::new().await;
    world.write("a.yaml", &config_map("a", "1"));
    let following = world.follow();
    following.said("synced").await;
    let aside = world.path("aside");
    std::fs::rename(world.source(), &aside).expect("moved");
    eventually("it says so", async || match status(&world).await.record.failure {
        Some(reason) if reason.contains("no such file") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    std::fs::rename(&aside, world.source()).expect("moved back");
    eventually("it recovers", async || match status(&world).await.record.failure {
        None => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(world.names("ConfigMap").await, ["a"]);
    following.stop().await;
}

#[tokio::test]
async fn what_a_commit_creates_does_not_pay_for_what_it_deletes() {
    for follows in [false, true] {
        let mut world = World::new().await;
        world.budget = Budget::default();
        for number in 0..6 {
            world.write(&format!("{number}.yaml"), &config_map(&format!("old-{number}"), "1"));
        }
        assert!(world.sync().await.success());
        for number in 0..9 {
            world.write(&format!("{number}.yaml"), &config_map(&format!("new-{number}"), "1"));
        }
        let sources = Sources::new(world.client.clone());
        let waits = || async {
            let approval = status(&world).await.record.approval;
            let approval = approval.map(|approval| (approval.deletes, approval.owned));
            let maps = world.names("ConfigMap").await;
            let old = maps.iter().filter(|name| name.starts_with("old")).count();
            assert_eq!(old, 6, "nothing is deleted: {maps:?}");
            let waits = approval == Some((6, 6)) && maps.len() == 15;
            waits.then_some(()).ok_or(format!("{approval:?} {maps:?}"))
        };
        if follows {
            let following = world.follow();
            eventually("it waits", &waits).await;
            // Asked for again and again, it goes on waiting.
            for _ in 0..3 {
                sources.sync(None, PATIENCE).await.expect("answered");
                waits().await.expect("it still waits");
            }
            following.stop().await;
        } else {
            for _ in 0..3 {
                assert!(!world.sync().await.success());
                waits().await.expect("it waits");
            }
        }
        sources.approve(None).await.expect("approved");
        assert!(world.sync().await.success());
        assert_eq!(world.names("ConfigMap").await.len(), 9);
    }
}

#[tokio::test]
async fn many_deletions_wait_for_approval() {
    let mut world = World::new().await;
    world.budget = Budget::default();
    let sources = Sources::new(world.client.clone());
    for number in 0..8 {
        world.write(&format!("{number}.yaml"), &config_map(&format!("m{number}"), "1"));
    }
    let following = world.follow();
    following.said("synced").await;
    assert!(sources.approve(None).await.is_err(), "nothing waits");
    for number in 0..6 {
        world.remove(&format!("{number}.yaml"));
    }
    world.write("new.yaml", &pod("new", "hello"));
    eventually("it waits", async || match status(&world).await.record.approval {
        Some(approval) if (approval.deletes, approval.owned) == (6, 8) => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
    assert_eq!(world.names("ConfigMap").await.len(), 8, "nothing is deleted");
    assert!(world.get("Pod", "new").await.is_some(), "all else is done");
    let plan = world.dry_run().await;
    assert!(
        actions(&plan).iter().all(|action| action.starts_with("blocked")),
        "{:?}",
        actions(&plan)
    );
    assert_eq!(plan.counts.blocked, 6);
    // Another one leaves as well: what was agreed to before would not cover it.
    let (asked, approval) = sources.approve(None).await.expect("approved");
    assert_eq!((asked.name.as_str(), approval.deletes), ("source", 6));
    eventually("they go", async || match world.names("ConfigMap").await.len() {
        2 => Ok(()),
        other => Err(format!("{other}\n{}", following.text())),
    })
    .await;
    eventually("nothing waits", async || match status(&world).await.record.approval {
        None => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn approval_is_for_what_waited_then() {
    let mut world = World::new().await;
    world.budget = Budget::default();
    for number in 0..8 {
        world.write(&format!("{number}.yaml"), &config_map(&format!("m{number}"), "1"));
    }
    assert!(world.sync().await.success());
    for number in 0..6 {
        world.remove(&format!("{number}.yaml"));
    }
    let outcome = world.sync().await;
    assert!(!outcome.success(), "deletions that wait are no success");
    Sources::new(world.client.clone())
        .approve(None)
        .await
        .expect("approved");
    world.remove("6.yaml");
    let plan = world.dry_run().await;
    assert_eq!(
        (plan.counts.blocked, plan.counts.delete),
        (7, 0),
        "{:?}",
        actions(&plan)
    );
    assert!(plan.entries.iter().all(|entry| entry.action == Action::Blocked));
    world.write("6.yaml", &config_map("m6", "1"));
    assert!(world.sync().await.success());
    assert_eq!(world.names("ConfigMap").await, ["m6", "m7"]);
}
