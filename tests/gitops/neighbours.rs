//! What moves from one source to another is not deleted: it stays as it is and changes hands.

use reconcile::gitops::manage::{Sources, Status};
use reconcile::gitops::{Config, Neighbours, introduce};
use serde_json::Value;

use super::harness::{World, actions, config_map, eventually, pod, problems};
use crate::support::git::Repository;

/// Two sources of one repository, each of a folder with something of its own; a pod lies in the first.
struct Two {
    world: World,
    repository: Repository,
    configs: [Config; 2],
}

impl Two {
    async fn new() -> Two {
        let world = World::new().await;
        let repository = Repository::init(&world.path("both"));
        let neighbours = Neighbours::default();
        let configs = ["left", "right"].map(|name| {
            let folder = repository.path.join(name);
            std::fs::create_dir(&folder).expect("made");
            std::fs::write(folder.join("own.yaml"), config_map(name, "1")).expect("written");
            Config {
                name: Some(name.to_owned()),
                source: repository.path.to_str().expect("text").to_owned(),
                path: Some(name.into()),
                neighbours: neighbours.clone(),
                ..world.config()
            }
        });
        std::fs::write(repository.path.join("left/web.yaml"), pod("web", "hello")).expect("written");
        repository.commit("Begin");
        Two {
            world,
            repository,
            configs,
        }
    }

    /// Moves the pod's file.
    fn mv(&self, from: &str, to: &str) {
        self.repository
            .git(&["mv", &format!("{from}/web.yaml"), &format!("{to}/web.yaml")]);
    }

    async fn web(&self) -> Option<Value> {
        self.world.get("Pod", "web").await
    }

    /// How many objects each source owns by its books, and whether all of the last commit is applied.
    async fn books(&self) -> Vec<(usize, bool)> {
        let statuses = Sources::new(self.world.client.clone()).statuses(None).await;
        let statuses = statuses.expect("known");
        let head = self.repository.git(&["rev-parse", "HEAD"]);
        let is_at_head = |status: &Status| {
            let revision = status.record.revision.as_ref().map(|revision| revision.id().to_owned());
            revision.as_deref() == Some(head.trim())
        };
        let book = |status: &Status| (status.objects, status.is_in_sync() && is_at_head(status));
        statuses.iter().map(book).collect()
    }

    /// Waits until the books say this.
    async fn until(&self, what: &str, books: [(usize, bool); 2]) {
        eventually(what, async || match self.books().await {
            now if now == books => Ok(()),
            now => Err(format!("{now:?}")),
        })
        .await;
    }
}

#[tokio::test]
async fn what_moves_changes_hands_and_stays() {
    let two = Two::new().await;
    let [left, right] = two.configs.clone().map(|config| two.world.follow_with(config));
    two.until("begun", [(2, true), (1, true)]).await;
    let uid = two.web().await.expect("it is there")["metadata"]["uid"].clone();
    for round in 0..4 {
        two.mv("left", "right");
        two.repository.commit(&format!("there, round {round}"));
        two.until("it went over", [(1, true), (2, true)]).await;
        two.mv("right", "left");
        two.repository.commit(&format!("and back, round {round}"));
        two.until("it came back", [(2, true), (1, true)]).await;
        assert_eq!(two.web().await.expect("it is there")["metadata"]["uid"], uid);
    }
    // What leaves the one and goes nowhere is deleted as ever.
    two.repository.git(&["rm", "-q", "left/web.yaml"]);
    two.repository.commit("Away");
    two.until("it is gone", [(1, true), (1, true)]).await;
    assert!(
        two.web()
            .await
            .is_none_or(|web| !web["metadata"]["deletionTimestamp"].is_null())
    );
    left.stop().await;
    right.stop().await;
}

#[tokio::test]
async fn sources_of_different_processes_hand_over_what_both_name_for_a_while() {
    let mut two = Two::new().await;
    for config in &mut two.configs {
        config.neighbours = Neighbours::default();
    }
    let [left, right] = two.configs.clone().map(|config| two.world.follow_with(config));
    two.until("begun", [(2, true), (1, true)]).await;
    let uid = two.web().await.expect("it is there")["metadata"]["uid"].clone();
    std::fs::copy(
        two.repository.path.join("left/web.yaml"),
        two.repository.path.join("right/web.yaml"),
    )
    .expect("copied");
    two.repository.commit("In both");
    right.said("it belongs to another source").await;
    two.repository.git(&["rm", "-q", "left/web.yaml"]);
    two.repository.commit("Only there");
    two.until("it went over", [(1, true), (2, true)]).await;
    assert_eq!(two.web().await.expect("it is there")["metadata"]["uid"], uid);
    // Nothing of it is left in the books: what leaves later is deleted.
    two.repository.git(&["rm", "-q", "right/web.yaml"]);
    two.repository.commit("Away");
    two.until("it is gone", [(1, true), (1, true)]).await;
    left.stop().await;
    right.stop().await;
}

#[tokio::test]
async fn it_waits_for_a_source_that_is_suspended() {
    let two = Two::new().await;
    let [left, right] = two.configs.clone().map(|config| two.world.follow_with(config));
    two.until("begun", [(2, true), (1, true)]).await;
    let before = two.web().await.expect("it is there");
    let sources = Sources::new(two.world.client.clone());
    sources.suspend(Some("right"), true).await.expect("suspended");
    two.mv("left", "right");
    two.repository.commit("There");
    left.said("it goes over to the source right, which names it now").await;
    sources.suspend(Some("right"), false).await.expect("resumed");
    two.until("it went over", [(1, true), (2, true)]).await;
    right.said("it is taken over from the source left").await;
    let after = two.web().await.expect("it is there");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert_ne!(after["metadata"]["labels"], before["metadata"]["labels"]);
    left.stop().await;
    right.stop().await;
}

#[tokio::test]
async fn a_dry_run_and_single_rounds_foretell_and_do_the_same() {
    let two = Two::new().await;
    for config in &two.configs {
        assert_eq!(
            two.world.sync_with(config).await.counts.changes(),
            if config.name.as_deref() == Some("left") { 2 } else { 1 }
        );
    }
    let uid = two.web().await.expect("it is there")["metadata"]["uid"].clone();
    two.mv("left", "right");
    two.repository.commit("There");
    let known = introduce(&two.configs).await;
    for (config, action, reason) in [
        (
            &two.configs[0],
            "keep pod/web",
            "it goes over to the source right, which names it now",
        ),
        (
            &two.configs[1],
            "update pod/web",
            "it is taken over from the source left, which does not name it any more",
        ),
    ] {
        let plan = two.world.dry_run_with(config).await;
        assert_eq!(
            (actions(&plan), problems(&plan.problems)),
            (vec![action.to_owned()], vec![])
        );
        assert_eq!(plan.entries[0].reasons, [reason]);
        let outcome = two.world.sync_with(config).await;
        assert_eq!((outcome.counts.delete, outcome.counts.replace), (0, 0));
    }
    assert_eq!(two.web().await.expect("it is there")["metadata"]["uid"], uid);
    // Both name it: whose it is keeps it, and the other says so.
    std::fs::write(two.repository.path.join("left/web.yaml"), pod("web", "hello")).expect("written");
    two.repository.commit("In both");
    let [left, right] = [
        two.world.dry_run_with(&two.configs[0]).await,
        two.world.dry_run_with(&two.configs[1]).await,
    ];
    assert!(
        problems(&left.problems)[0].contains("belongs to another source"),
        "{:?}",
        left.problems
    );
    assert_eq!((actions(&right), problems(&right.problems)), (vec![], vec![]));
    drop(known);
}

#[tokio::test]
async fn one_that_another_may_name_is_not_deleted() {
    let two = Two::new().await;
    for config in &two.configs {
        two.world.sync_with(config).await;
    }
    two.repository.git(&["rm", "-q", "left/web.yaml"]);
    let broken = pod("web", "hello").replace("spec:", "spec: [");
    std::fs::write(two.repository.path.join("right/web.yaml"), broken).expect("written");
    two.repository.commit("There, with a slip");
    let _known = introduce(&two.configs).await;
    let plan = two.world.dry_run_with(&two.configs[0]).await;
    assert_eq!(actions(&plan), ["keep pod/web"]);
    assert_eq!(
        plan.entries[0].reasons,
        ["web.yaml cannot be read and may declare it, in the source right"]
    );
}
