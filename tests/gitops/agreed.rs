//! Plans that were written down: carried out exactly, or not at all.

use std::sync::Arc;
use std::time::Duration;

use reconcile::gitops::{self, Agreed, Outcome, PlanReport, Report};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::harness::{World, config_map};
use crate::support::git::Repository;

/// As it would be read from a file.
fn written(plan: &PlanReport) -> Agreed {
    Agreed::parse(&serde_json::to_string(plan).expect("JSON")).expect("a plan")
}

async fn apply(world: &World, plan: &Agreed) -> Result<Outcome, String> {
    let (timeout, stop) = (Duration::from_millis(1), CancellationToken::new());
    let reporter = Arc::new(|_: Report| {});
    let applied = gitops::apply_plan(world.client.clone(), &world.config(), plan, reporter, timeout, stop).await;
    applied.map_err(|error| error.to_string())
}

/// A repository whose only commit is applied, and a second commit that is not.
async fn planned(world: &World) -> (Repository, Agreed) {
    let repository = Repository::init(&world.source());
    for name in ["a", "b", "c"] {
        world.write(&format!("{name}.yaml"), &config_map(name, "1"));
    }
    world.write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: one}\n",
    );
    repository.commit("first");
    assert!(world.sync().await.success());
    world.write("a.yaml", &config_map("a", "2"));
    world.write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: two}\n",
    );
    world.write("d.yaml", &config_map("d", "1"));
    world.remove("b.yaml");
    repository.commit("second");
    let plan = world.dry_run().await;
    let text = serde_json::to_string(&plan).expect("JSON");
    assert!(
        !text.contains("b25l") && !text.contains("dHdv"),
        "no secret is written: {text}"
    );
    (repository, written(&plan))
}

#[tokio::test]
async fn a_plan_that_still_holds_is_carried_out_once() {
    let world = World::new().await;
    let (_, plan) = planned(&world).await;
    let counts = apply(&world, &plan).await.expect("applied").counts;
    assert_eq!((counts.create, counts.update, counts.delete), (1, 2, 1));
    assert_eq!(world.names("ConfigMap").await, ["a", "c", "d"]);
    let again = apply(&world, &plan).await.expect_err("it is done");
    assert!(again.contains("changed since the plan was made: "), "{again}");
}

#[tokio::test]
async fn a_plan_is_refused_as_a_whole_where_anything_moved() {
    let world = World::new().await;
    let (repository, plan) = planned(&world).await;
    let refused = async |part: &str| {
        let before = world.revision().await;
        let error = apply(&world, &plan).await.expect_err(part);
        assert!(error.contains(part), "{error}");
        assert_eq!(world.revision().await, before, "nothing was written: {part}");
    };
    // What it changes, what it deletes, a secret, and what it leaves alone.
    world.merge("ConfigMap", "a", json!({"data": {"key": "other"}})).await;
    refused("changed since the plan was made: ConfigMap default/a").await;
    world.merge("ConfigMap", "a", json!({"data": {"key": "1"}})).await;
    world.merge("ConfigMap", "c", json!({"data": {"key": "other"}})).await;
    refused("ConfigMap default/c").await;
    world.merge("ConfigMap", "c", json!({"data": {"key": "1"}})).await;
    world.delete("ConfigMap", "b").await;
    refused("ConfigMap default/b").await;
    world
        .merge("Secret", "s", json!({"data": {"password": "b3RoZXI="}}))
        .await;
    refused("Secret default/s").await;
    world.write("e.yaml", &config_map("e", "1"));
    let newer = repository.commit("third");
    refused(&format!("the source is at {}, and the plan is of", &newer[..7])).await;
}

#[tokio::test]
async fn a_plan_of_what_is_not_committed_or_of_something_else_is_refused() {
    let world = World::new().await;
    let (_, plan) = planned(&world).await;
    world.write("f.yaml", &config_map("f", "1"));
    let uncommitted = written(&world.dry_run().await);
    let error = apply(&world, &uncommitted).await.expect_err("not committed");
    assert!(error.contains("were not committed (1 in all)"), "{error}");
    let other = World::new().await;
    Repository::init(&other.source()).commit("empty");
    let error = apply(&other, &plan).await.expect_err("another source");
    assert!(error.contains("the plan is of the "), "{error}");
    for text in ["", "[]", "verdict: same", "{"] {
        let error = Agreed::parse(text).expect_err(text).to_string();
        assert!(error.contains("this is no plan"), "{error}");
    }
}
