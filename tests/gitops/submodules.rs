//! Git submodules: read at their places on request, and never taken for empty folders.

use std::path::Path;
use std::time::Duration;

use reconcile::gitops::{Budget, Config};

use super::harness::{World, config_map, eventually, problems};
use super::remotes::access;
use crate::support::git::Repository;
use crate::support::web::{Authority, PASSWORD, USER, Web};

/// A repository with one ConfigMap of that name; returns its commit.
fn with_map(root: &Path, name: &str) -> (Repository, String) {
    let path = root.join(format!("repositories/{name}.git"));
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    let repository = Repository::init(&path);
    std::fs::write(path.join("map.yaml"), config_map(name, "1")).expect("written");
    let commit = repository.commit("first");
    (repository, commit)
}

/// Names a submodule at that path, without checking it out.
fn add(repository: &Repository, path: &str, url: &str, commit: &str) {
    let list = repository.path.join(".gitmodules");
    let before = std::fs::read_to_string(&list).unwrap_or_default();
    let text = format!("{before}[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n");
    std::fs::write(list, text).expect("written");
    repository.git(&["add", ".gitmodules"]);
    let info = format!("160000,{commit},{path}");
    repository.git(&["update-index", "--add", "--cacheinfo", &info]);
    repository.git(&["commit", "-q", "-m", "a submodule"]);
}

/// `top` holds `lib`, which holds `inner`.
fn nested(root: &Path) -> (Repository, Repository, Repository) {
    let (inner, of_inner) = with_map(root, "inner");
    let (lib, _) = with_map(root, "lib");
    add(&lib, "deep/inner", "../inner.git", &of_inner);
    let of_lib = lib.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let (top, _) = with_map(root, "top");
    add(&top, "lib", "../lib.git", &of_lib);
    (top, lib, inner)
}

fn following(world: &World, repository: &Repository) -> Config {
    Config {
        source: format!("file://{}", repository.path.display()),
        submodules: true,
        ..world.config()
    }
}

#[tokio::test]
async fn submodules_are_read_at_their_places_those_in_them_too() {
    let world = World::new().await;
    let (top, lib, _) = nested(&world.path(""));
    let config = following(&world, &top);
    let outcome = world.sync_with(&config).await;
    assert!(
        outcome.problems.iter().all(|problem| problem.place.is_none()),
        "{outcome:?}"
    );
    assert_eq!(world.names("ConfigMap").await, ["inner", "lib", "top"]);
    // Another commit of it, and folders and patterns as everywhere else.
    std::fs::write(lib.path.join("map.yaml"), config_map("other", "1")).expect("written");
    lib.git(&["add", "map.yaml"]);
    lib.git(&["commit", "-q", "-m", "second"]);
    let of_lib = lib.git(&["rev-parse", "HEAD"]).trim().to_owned();
    top.git(&["update-index", "--cacheinfo", &format!("160000,{of_lib},lib")]);
    top.git(&["commit", "-q", "-m", "the next"]);
    let ignoring = Config {
        ignore: vec!["lib/deep/inner".into()],
        ..config.clone()
    };
    world.sync_with(&ignoring).await;
    assert_eq!(world.names("ConfigMap").await, ["other", "top"]);
    let inside = Config {
        name: Some("inside".into()),
        path: Some("lib/deep".into()),
        ..config.clone()
    };
    world.sync_with(&inside).await;
    assert_eq!(world.names("ConfigMap").await, ["inner", "other", "top"]);
}

#[tokio::test]
async fn what_came_from_a_folder_that_is_a_submodule_now_stays() {
    let world = World::new().await;
    let (_, of_lib) = with_map(&world.path(""), "lib");
    let (top, _) = with_map(&world.path(""), "top");
    std::fs::create_dir(top.path.join("lib")).expect("made");
    std::fs::write(top.path.join("lib/map.yaml"), config_map("lib", "1")).expect("written");
    std::fs::write(top.path.join("gone.yaml"), config_map("gone", "1")).expect("written");
    top.commit("a folder");
    let mut config = following(&world, &top);
    config.submodules = false;
    config.budget = Budget::Unlimited;
    world.sync_with(&config).await;
    assert_eq!(world.names("ConfigMap").await, ["gone", "lib", "top"]);
    top.git(&["rm", "-q", "-r", "lib", "gone.yaml"]);
    add(&top, "lib", "../lib.git", &of_lib);
    let plan = world.dry_run_with(&config).await;
    assert!(
        plan.notices
            .iter()
            .any(|notice| notice.contains("lib is a git submodule")),
        "{plan:?}"
    );
    world.sync_with(&config).await;
    assert_eq!(
        world.names("ConfigMap").await,
        ["lib", "top"],
        "what left otherwise is gone"
    );
}

#[tokio::test]
async fn a_submodule_that_cannot_be_fetched_holds_up_deletions_and_is_tried_again() {
    let world = World::new().await;
    let (top, _, inner) = nested(&world.path(""));
    let mut config = following(&world, &top);
    world.sync_with(&config).await;
    let away = world.path("away");
    std::fs::rename(&inner.path, &away).expect("moved");
    // A copy of ours that lacks it.
    config.data_dir = world.path("anew");
    let outcome = world.sync_with(&config).await;
    let told = problems(&outcome.problems);
    assert!(
        told.iter()
            .any(|told| told.starts_with("lib/deep/inner: the git submodule is not read: connecting to")),
        "{told:?}"
    );
    assert_eq!(world.names("ConfigMap").await, ["inner", "lib", "top"]);
    config.interval = Duration::from_secs(3600);
    let following = world.follow_with(config);
    following.said("the git submodule is not read").await;
    std::fs::rename(&away, &inner.path).expect("moved back");
    eventually("it is mended", async || match following.text() {
        text if text.contains(r#""problems":0"#) => Ok(()),
        text => Err(text),
    })
    .await;
    following.stop().await;
}

#[tokio::test]
async fn a_work_tree_has_its_submodules_on_disk() {
    let world = World::new().await;
    let (top, _, _) = nested(&world.path(""));
    let config = Config {
        source: top.path.display().to_string(),
        submodules: true,
        ..world.config()
    };
    let plan = world.dry_run_with(&config).await;
    let hint = "run: git submodule update --init --recursive";
    assert!(
        problems(&plan.problems).iter().any(|told| told.contains(hint)),
        "{plan:?}"
    );
    let outcome = world.sync_with(&config).await;
    assert!(
        problems(&outcome.problems).iter().any(|told| told.contains(hint)),
        "{outcome:?}"
    );
    assert_eq!(world.names("ConfigMap").await, ["top"]);
    top.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "update",
        "--init",
        "--recursive",
    ]);
    world.sync_with(&config).await;
    assert_eq!(world.names("ConfigMap").await, ["inner", "lib", "top"]);
}

#[tokio::test]
async fn a_login_is_for_its_host_only() {
    let world = World::new().await;
    let (top, _, _) = nested(&world.path(""));
    let authority = Authority::new("the test's authority");
    let web = Web::start(
        &world.path("repositories"),
        &authority.certificate("localhost", 2020..2200),
    );
    let stranger = Web::start(
        &world.path("repositories"),
        &authority.certificate("localhost", 2020..2200),
    );
    let (_, commit) = with_map(&world.path(""), "else");
    add(&top, "else", &stranger.url("git", "else.git"), &commit);
    let mut config = following(&world, &top);
    config.source = web.url("git", "top.git");
    config.access = access(&[("ca.crt", &authority.pem), ("username", USER), ("password", PASSWORD)]);
    let outcome = world.sync_with(&config).await;
    let told = problems(&outcome.problems);
    assert!(
        told.iter()
            .any(|told| told.starts_with("else: ") && told.contains("localhost asks for a login")),
        "{told:?}"
    );
    assert_eq!(world.names("ConfigMap").await, ["inner", "lib", "top"], "{told:?}");
}
