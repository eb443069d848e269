//! Files and folders that are missing, unreadable, half written, or not what their name says.

use std::os::unix::fs::symlink;
use std::process::Command;

use reconcile::gitops::Config;

use super::{Case, files};
use crate::gitops::harness::{config_map, eventually, problems};
use crate::support::tools;

#[tokio::test]
async fn what_cannot_be_read_holds_back_every_deletion() {
    let case = Case::new().await;
    let source = case.world.source();
    let fifo = |name: &str| {
        let made = Command::new(tools::installed("mkfifo", "coreutils"))
            .arg(source.join(name))
            .status();
        assert!(made.expect("mkfifo").success());
    };
    type Break<'a> = &'a dyn Fn();
    let rows: [(&str, Break<'_>, &str, &str); 8] = [
        (
            "a link that leads nowhere",
            &|| symlink("nowhere", source.join("x.yaml")).expect("linked"),
            "x.yaml",
            "x.yaml: a link that leads nowhere",
        ),
        (
            "a link out of the source",
            &|| symlink("/etc/hostname", source.join("x.yaml")).expect("linked"),
            "x.yaml",
            "x.yaml: a link that leads out",
        ),
        (
            "a folder's link out of the source",
            &|| symlink("/etc", source.join("x")).expect("linked"),
            "x",
            "x: a link that leads out",
        ),
        (
            "a link to itself",
            &|| symlink("x.yaml", source.join("x.yaml")).expect("linked"),
            "x.yaml",
            "x.yaml: a link that leads nowhere",
        ),
        (
            "a folder that contains itself",
            &|| symlink(".", source.join("x")).expect("linked"),
            "x",
            "x: folders or links that contain themselves",
        ),
        (
            "a pipe that nobody writes to",
            &|| fifo("x.yaml"),
            "x.yaml",
            "x.yaml: not a regular file",
        ),
        (
            "a device",
            &|| symlink("/dev/zero", source.join("x.yaml")).expect("linked"),
            "x.yaml",
            "x.yaml: a link that leads out",
        ),
        (
            "a file of a hundred megabytes",
            &|| {
                let file = std::fs::File::create(source.join("x.yaml")).expect("made");
                file.set_len(100 << 20).expect("grown");
            },
            "x.yaml",
            "x.yaml: the file has 104857600 bytes",
        ),
    ];
    for (name, break_it, made, expected) in rows {
        break_it();
        // What is in the folder that went is not known to be gone.
        case.world.remove("one.yaml");
        std::fs::rename(source.join("sub"), case.world.path("sub")).expect("moved");
        case.goes_wrong(name, &[expected]).await;
        std::fs::remove_file(source.join(made)).expect("removed");
        std::fs::rename(case.world.path("sub"), source.join("sub")).expect("moved");
        case.restore();
        case.recovers(name).await;
    }
}

#[tokio::test]
async fn texts_that_are_none() {
    let case = Case::new().await;
    for (name, bytes, expected) in [
        ("UTF-16", b"\xff\xfeo\0n\0e\0".as_slice(), "one.yaml: not UTF-8"),
        ("a bad byte", b"kind: \xc3\x28".as_slice(), "one.yaml: not UTF-8"),
        ("zeros only", [0_u8; 512].as_slice(), "one.yaml:"),
        (
            "compressed",
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00".as_slice(),
            "one.yaml: not UTF-8",
        ),
    ] {
        std::fs::write(case.world.source().join("one.yaml"), bytes).expect("written");
        case.goes_wrong(name, &[expected]).await;
        case.restore();
        case.recovers(name).await;
    }
    // Not a byte: half written, more likely than meant.
    case.world.write("two.yaml", "");
    case.goes_wrong("emptied", &[]).await;
    case.restore();
    case.recovers("emptied").await;
}

#[tokio::test]
async fn a_folder_that_is_empty_missing_or_a_file() {
    let case = Case::new().await;
    let (source, away) = (case.world.source(), case.world.path("away"));
    std::fs::rename(&source, &away).expect("moved");
    let fails = async |name: &str, config: &Config, expected: &str| {
        let error = case.world.try_sync(config).await.expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
        case.unharmed(name).await;
    };
    fails("missing", &case.config, "no such file or directory").await;
    std::fs::write(&source, "x").expect("written");
    fails("a file", &case.config, "is a file").await;
    std::fs::remove_file(&source).expect("removed");
    symlink("nowhere", &source).expect("linked");
    fails("a link that leads nowhere", &case.config, "no such file or directory").await;
    std::fs::remove_file(&source).expect("removed");
    for (name, file) in [
        ("empty", None),
        ("no manifest", Some("README.md")),
        ("a comment", Some("x.yaml")),
    ] {
        std::fs::create_dir(&source).expect("made");
        if let Some(file) = file {
            case.world.write(file, "# nothing yet\n");
        }
        let outcome = case.world.sync().await;
        assert_eq!(
            (outcome.counts.delete, outcome.counts.keep),
            (0, super::OBJECTS),
            "{name}: {outcome:?}"
        );
        case.unharmed(name).await;
        std::fs::remove_dir_all(&source).expect("removed");
    }
    std::fs::rename(&away, &source).expect("moved");
    let mut config = case.world.config();
    config.path = Some("nowhere".into());
    fails("a folder of it that is missing", &config, "no such file or directory").await;
    case.recovers("and back").await;
}

#[tokio::test]
async fn a_folder_with_the_name_of_a_manifest_is_a_folder() {
    let case = Case::new().await;
    case.world.write("dir.yaml/inside.yaml", &config_map("inside", "1"));
    case.goes_wrong("a folder named x.yaml", &[]).await;
    case.holds("a folder named x.yaml", "inside", "1").await;
}

/// A reconciler that runs sees every state in between, and acts on none that is not whole.
#[tokio::test]
async fn a_folder_written_in_pieces() {
    let case = Case::new().await;
    let following = case.world.follow();
    following.said("synced").await;
    let source = case.world.source();
    for round in 0..5 {
        for (name, text) in files() {
            // As an editor saves: emptied, then piece by piece.
            std::fs::write(source.join(name), "").expect("emptied");
            let pieces: Vec<usize> = (0..=4).map(|quarter| text.len() * quarter / 4).collect();
            for end in pieces {
                std::fs::write(source.join(name), &text[..end]).expect("written");
                tokio::task::yield_now().await;
            }
            case.unharmed(name).await;
        }
        // As a tool does: all away, and back under another inode.
        let next = case.world.path("next");
        let copied = Command::new("cp").arg("-r").arg(&source).arg(&next).status();
        assert!(copied.expect("cp").success());
        std::fs::remove_dir_all(&source).expect("removed");
        tokio::task::yield_now().await;
        std::fs::rename(&next, &source).expect("moved");
        case.unharmed("replaced").await;
        let news = format!("round {round}");
        case.world.write("news.yaml.tmp", &config_map("news", &news));
        std::fs::rename(source.join("news.yaml.tmp"), source.join("news.yaml")).expect("moved");
        eventually("the news", async || match case.world.get("ConfigMap", "news").await {
            Some(object) if object["data"]["key"] == news => Ok(()),
            other => Err(format!("{other:?}\n{}", following.text())),
        })
        .await;
    }
    following.stop().await;
    case.recovers("written in pieces").await;
    assert_eq!(problems(&case.world.dry_run().await.problems), [""; 0]);
}
