//! Repositories that are torn, emptied, rewritten, or point nowhere.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Case, write_all};
use crate::gitops::harness::{World, config_map, eventually};
use crate::support::git::Repository;
use crate::support::tools;

/// A synced work tree, followed at its HEAD.
async fn committed() -> (Case, Repository) {
    let world = World::new().await;
    let repository = Repository::init(&world.source());
    write_all(&world);
    repository.commit("first");
    let config = world.config();
    (Case::of(world, config).await, repository)
}

impl Case {
    /// Nothing can be read at all: the sync fails as a whole and says this, and nothing is harmed.
    async fn fails(&self, case: &str, expected: &str) {
        let error = self.world.try_sync(&self.config).await.expect_err(case).to_string();
        assert!(error.contains(expected), "{case}: {error}");
        self.unharmed(case).await;
    }
}

/// Where an object lies that is in no pack.
fn loose(repository: &Repository, what: &str) -> PathBuf {
    let id = repository.git(&["rev-parse", what]);
    let (folder, file) = id.trim().split_at(2);
    repository.path.join(".git/objects").join(folder).join(file)
}

fn overwrite(path: &Path, contents: &[u8]) {
    // Git's objects are read-only.
    std::fs::remove_file(path).expect("removed");
    std::fs::write(path, contents).expect("written");
}

#[tokio::test]
async fn objects_of_the_repository_that_are_missing_or_cut() {
    let (case, repository) = committed().await;
    for (name, what, whole) in [
        ("a file's object", "HEAD:one.yaml", false),
        ("a folder's object", "HEAD:sub", false),
        ("the tree", "HEAD^{tree}", true),
        ("the commit", "HEAD", true),
    ] {
        case.news();
        repository.commit("more");
        // The file that this is about must be this commit's own, and nothing else may tell that it is gone.
        let path = loose(&repository, what);
        let before = std::fs::read(&path).expect("read");
        for (how, contents) in [
            ("missing", None),
            ("empty", Some(&before[..0])),
            ("of zeros", Some([0_u8; 64].as_slice())),
            ("cut in its header", Some(&before[..8.min(before.len())])),
            ("cut in half", Some(&before[..before.len() / 2])),
        ] {
            let name = format!("{name} {how}");
            match contents {
                Some(contents) => overwrite(&path, contents),
                None => std::fs::remove_file(&path).expect("removed"),
            }
            match case.world.try_sync(&case.config).await {
                Err(error) => assert!(whole, "{name}: {error}"),
                Ok(outcome) => {
                    assert!(!whole && outcome.counts.delete == 0, "{name}: {outcome:?}");
                    let place = if what.ends_with("sub") { "sub:" } else { "one.yaml:" };
                    assert!(
                        outcome.problems[0].to_string().starts_with(place),
                        "{name}: {outcome:?}"
                    );
                }
            }
            case.unharmed(&name).await;
            if contents.is_none() {
                std::fs::write(&path, "").expect("written");
            }
            overwrite(&path, &before);
            case.recovers(&name).await;
        }
    }
}

#[tokio::test]
async fn heads_that_lead_nowhere() {
    let (mut case, repository) = committed().await;
    let head = case.world.source().join(".git/HEAD");
    let before = std::fs::read(&head).expect("read");
    for (name, contents, expected) in [
        (
            "a branch that is not there",
            "ref: refs/heads/nowhere\n".to_owned(),
            "has no commit yet",
        ),
        ("a commit that is not there", format!("{}\n", "1".repeat(40)), "HEAD"),
        ("nonsense", "nonsense\n".to_owned(), "HEAD"),
        ("nothing", String::new(), "HEAD"),
    ] {
        std::fs::write(&head, contents).expect("written");
        case.fails(name, expected).await;
        std::fs::write(&head, &before).expect("written");
        case.recovers(name).await;
    }
    std::fs::remove_file(&head).expect("removed");
    case.fails("no HEAD at all", "git repository").await;
    std::fs::write(&head, &before).expect("written");
    case.recovers("no HEAD at all").await;

    repository.git(&["branch", "deploy"]);
    case.config.reference = Some("deploy".into());
    case.recovers("a branch").await;
    repository.git(&["branch", "-D", "deploy"]);
    case.fails("a branch that was deleted", "no branch, tag or commit deploy")
        .await;
    repository.git(&["branch", "deploy"]);
    case.recovers("a branch that came back").await;
}

#[tokio::test]
async fn a_repository_made_anew() {
    let (case, repository) = committed().await;
    let away = case.world.path("away");
    std::fs::rename(repository.path.join(".git"), &away).expect("moved");
    repository.git(&["init", "-q", "-b", "main"]);
    case.fails("empty", "has no commit yet").await;
    repository.git(&["commit", "-q", "--allow-empty", "-m", "nothing in it"]);
    let outcome = case.world.sync().await;
    assert_eq!(
        (outcome.counts.delete, outcome.counts.keep),
        (0, super::OBJECTS),
        "a commit without a file: {outcome:?}"
    );
    case.unharmed("a commit without a file").await;
    // Another history with the same content, and news.
    let news = case.news();
    repository.commit("another root");
    case.recovers("another history").await;
    case.holds("another history", "news", &news).await;
}

#[tokio::test]
async fn a_remote_that_was_forced_emptied_or_moved_away() {
    let world = World::new().await;
    let bare = Repository::init_bare(&world.path("bare.git"));
    let work = Repository::init(&world.source());
    work.git(&["remote", "add", "origin", bare.path.to_str().expect("text")]);
    write_all(&world);
    work.commit("first");
    work.git(&["push", "-q", "origin", "main"]);
    let mut config = world.config();
    config.source = format!("file://{}", bare.path.display());
    let case = Case::of(world, config).await;

    let news = case.news();
    work.git(&["checkout", "-q", "--orphan", "other"]);
    work.commit("another root");
    work.git(&["push", "-q", "-f", "origin", "other:main"]);
    case.recovers("forced").await;
    case.holds("forced", "news", &news).await;

    bare.git(&["update-ref", "-d", "refs/heads/main"]);
    case.fails(
        "no branch any more",
        "no commit yet, or its HEAD names a branch that is missing",
    )
    .await;
    std::fs::rename(&bare.path, case.world.path("away.git")).expect("moved");
    case.fails("moved away", "No such file or directory").await;
    Repository::init_bare(&bare.path);
    case.fails("made anew", "no commit yet").await;
    // Our own copy is torn as well.
    let news = case.news();
    work.commit("more");
    work.git(&["push", "-q", "-f", "origin", "other:main"]);
    let clones = case.world.path("data").join("sources");
    for entry in std::fs::read_dir(&clones).expect("clones") {
        std::fs::write(entry.expect("one").path().join("HEAD"), "").expect("emptied");
    }
    case.recovers("with a copy that is torn").await;
    case.holds("with a copy that is torn", "news", &news).await;
}

#[tokio::test]
async fn a_hundred_commits_within_a_second() {
    let (case, repository) = committed().await;
    let following = case.world.follow();
    following.said("synced").await;
    let mut stream = String::new();
    for number in 1..=100 {
        let text = config_map("news", &format!("commit {number}"));
        let from = if number == 1 { "from refs/heads/main^0\n" } else { "" };
        // Half of the commits take a file away that the next one brings back.
        let one = match number % 2 {
            0 => format!(
                "M 100644 inline one.yaml\ndata {}\n{}\n",
                config_map("one", "1").len(),
                config_map("one", "1")
            ),
            _ => "D one.yaml\n".to_owned(),
        };
        stream += &format!(
            "commit refs/heads/main\ncommitter a <a@example.com> {number} +0000\ndata 1\nx\n{from}M 100644 inline news.yaml\ndata {}\n{text}\n{one}",
            text.len()
        );
        // Each is to be seen by whoever looks.
        stream += "checkpoint\n\n";
    }
    let started = std::time::Instant::now();
    let mut import = Command::new(tools::installed("git", "git"))
        .current_dir(&repository.path)
        .args(["fast-import", "--quiet", "--force"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("git");
    import
        .stdin
        .take()
        .expect("a pipe")
        .write_all(stream.as_bytes())
        .expect("written");
    assert!(import.wait().expect("ended").success());
    println!("a hundred commits within {:?}", started.elapsed());
    eventually("the last", async || match case.world.get("ConfigMap", "news").await {
        Some(object) if object["data"]["key"] == "commit 100" => Ok(()),
        other => Err(format!("{other:?}\n{}", following.text())),
    })
    .await;
    // Said when its round is over, the record of it included.
    let last = repository.git(&["rev-parse", "main"]);
    following
        .said(&format!(
            "\"revision\":{{\"type\":\"commit\",\"id\":\"{}\"",
            last.trim()
        ))
        .await;
    following.stop().await;
    // A commit without it may have been the newest for a moment, and then its object went with right.
    case.holds("storm", "one", "1").await;
    assert_eq!(case.world.dry_run_with(&reference(&case)).await.counts.changes(), 0);
}

/// The commit, not the files on disk.
fn reference(case: &Case) -> reconcile::gitops::Config {
    let mut config = case.world.config();
    config.reference = Some("main".into());
    config
}
