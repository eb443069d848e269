//! Reads a directory's manifests at one moment: what changes while it is read is read again. Follows links only inside.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::ignored::{Ignored, LIST, MAX_LIST_BYTES, list_in};
use super::limits::{Budget, MAX_DEPTH, MAX_FILE_BYTES, problem, too_large};
use super::{File, Snapshot, is_manifest, plain};
use crate::gitops::error::Error;
use crate::gitops::report::{Problem, Revision};

/// How often a directory that changes under the reader is read again before it is said to be changing.
const MAX_ATTEMPTS: usize = 20;

/// Between attempts: writers need a moment to finish.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(25);

/// Whether git leaves an entry out, by its path below the folder and whether it is a folder itself.
pub(super) type ByGit<'a> = &'a dyn Fn(&str, bool) -> bool;

/// Reads all manifests of a folder below `root` that are not ignored.
pub(super) fn read(root: &Path, folder: &Path, ignored: &Ignored) -> Result<Snapshot, Error> {
    let (files, problems) = read_files(root, folder, ignored, &|_, _| false)?;
    let revision = Revision::Directory { hash: hash(&files) };
    Ok(Snapshot {
        files,
        problems,
        ..Snapshot::of(revision)
    })
}

/// Reads all manifests of a folder below `root` that are not ignored, with what could not be read.
pub(super) fn read_files(
    root: &Path,
    folder: &Path,
    ignored: &Ignored,
    by_git: ByGit<'_>,
) -> Result<(Vec<File>, Vec<Problem>), Error> {
    let start = root.join(folder);
    for attempt in 0..MAX_ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(ATTEMPT_PAUSE);
        }
        let ignored = lists_above(root, folder, ignored.clone())?;
        let before = scan(&start, &ignored, by_git)?;
        let mut problems = before.problems.clone();
        let mut files = Vec::with_capacity(before.found.len());
        for (path, found) in &before.found {
            match read_file(&found.real, MAX_FILE_BYTES) {
                Ok(contents) => files.push(File {
                    path: path.clone(),
                    contents,
                }),
                Err(error) => problems.push(problem(path, plain(&error))),
            }
        }
        // A second look decides: had anything changed meanwhile, the files would not belong together.
        let after = scan(&start, &ignored, by_git)?;
        if before == after {
            return Ok((files, problems));
        }
    }
    Err(Error::Source(format!(
        "{} kept changing while it was read; trying again",
        start.display()
    )))
}

/// The lists of the folders from `root` to the one above the source's.
fn lists_above(root: &Path, folder: &Path, mut ignored: Ignored) -> Result<Ignored, Error> {
    for above in folder.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        let place = root.join(above);
        let way = folder.strip_prefix(above).unwrap_or(folder).to_string_lossy();
        let failed = |reason: String| Error::Source(format!("{}: {reason}", place.join(LIST).display()));
        if let Some(list) = read_list(&place).map_err(failed)? {
            ignored = ignored.with_list_above(&way, &list).map_err(failed)?;
        }
    }
    Ok(ignored)
}

/// The list of a folder, if it has one.
fn read_list(folder: &Path) -> Result<Option<Vec<u8>>, String> {
    let path = folder.join(LIST);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(plain(&error)),
        Ok(metadata) if !metadata.is_file() => Err("not a regular file".into()),
        Ok(_) => read_file(&path, MAX_LIST_BYTES)
            .map(Some)
            .map_err(|error| plain(&error)),
    }
}

fn read_file(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    // One byte more than allowed shows that the file grew after it was looked at.
    fs::File::open(path)?.take(most + 1).read_to_end(&mut contents)?;
    Ok(contents)
}

/// A name-independent mark of the content, for people and for comparison.
pub(super) fn hash(files: &[File]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        for part in [file.path.as_bytes(), &file.contents] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    hex::encode(hasher.finalize())
}

/// What a walk found.
#[derive(PartialEq, Default)]
struct Scan {
    found: BTreeMap<String, Found>,
    /// What is left out, by folder.
    lists: BTreeMap<String, Vec<u8>>,
    problems: Vec<Problem>,
}

/// A manifest file and what tells whether it changed.
#[derive(PartialEq)]
struct Found {
    real: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

struct Walk<'a> {
    root: PathBuf,
    by_git: ByGit<'a>,
    budget: Budget,
    scan: Scan,
}

fn scan(root: &Path, ignored: &Ignored, by_git: ByGit<'_>) -> Result<Scan, Error> {
    let gone = |error: std::io::Error| Error::Source(format!("source {}: {}", root.display(), plain(&error)));
    let real = fs::canonicalize(root).map_err(gone)?;
    let mut walk = Walk {
        root: real.clone(),
        by_git,
        budget: Budget::default(),
        scan: Scan::default(),
    };
    // The root itself must be readable; everything below it is a problem of its own.
    fs::read_dir(&real).map_err(gone)?;
    walk.folder(&real, "", ignored, &mut Vec::new())
        .map_err(|reason| Error::Source(format!("source {}: {reason}", root.display())))?;
    walk.scan.problems.sort();
    Ok(walk.scan)
}

impl Walk<'_> {
    fn folder(&mut self, real: &Path, below: &str, ignored: &Ignored, above: &mut Vec<PathBuf>) -> Result<(), String> {
        if above.len() >= MAX_DEPTH || above.iter().any(|folder| folder == real) {
            self.scan
                .problems
                .push(problem(below, "folders or links that contain themselves"));
            return Ok(());
        }
        let Some(ignored) = self.with_list(real, below, ignored) else {
            return Ok(());
        };
        let entries = match fs::read_dir(real) {
            Ok(entries) => entries,
            Err(error) => {
                self.scan.problems.push(problem(below, plain(&error)));
                return Ok(());
            }
        };
        above.push(real.to_owned());
        for entry in entries {
            match entry {
                Ok(entry) => self.entry(&entry, below, &ignored, above)?,
                Err(error) => self.scan.problems.push(problem(below, plain(&error))),
            }
        }
        above.pop();
        Ok(())
    }

    /// What is left out in a folder; None where that cannot be known.
    fn with_list(&mut self, real: &Path, below: &str, ignored: &Ignored) -> Option<Ignored> {
        let list = read_list(real).and_then(|list| match list {
            None => Ok(ignored.clone()),
            Some(list) => {
                let with = ignored.with_list(below, &list)?;
                self.scan.lists.insert(below.to_owned(), list);
                Ok(with)
            }
        });
        match list {
            Ok(ignored) => Some(ignored),
            Err(reason) => {
                self.scan.problems.push(problem(&list_in(below), reason));
                None
            }
        }
    }

    fn entry(
        &mut self,
        entry: &fs::DirEntry,
        below: &str,
        ignored: &Ignored,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), String> {
        self.budget.entry()?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            return Ok(());
        }
        let path = match below {
            "" => name.to_string(),
            below => format!("{below}/{name}"),
        };
        let found = self.follow(entry);
        let is_folder = matches!(&found, Ok(Some((_, metadata))) if metadata.is_dir());
        if ignored.matches(&path, is_folder) || (self.by_git)(&path, is_folder) {
            return Ok(());
        }
        let (real, metadata) = match found {
            Ok(Some(found)) => found,
            // Gone between listing and looking: the second look will see whether it came back.
            Ok(None) => return Ok(()),
            Err(reason) if is_manifest(&name) || !name.contains('.') => {
                self.scan.problems.push(problem(&path, reason));
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        if metadata.is_dir() {
            return self.folder(&real, &path, ignored, above);
        }
        if is_manifest(&name) {
            self.file(path, real, &metadata)?;
        }
        Ok(())
    }

    /// Where an entry leads. Links may lead anywhere below the root, as in a mounted ConfigMap, and nowhere else.
    fn follow(&self, entry: &fs::DirEntry) -> Result<Option<(PathBuf, Metadata)>, String> {
        let path = entry.path();
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(plain(&error)),
        };
        if !metadata.is_symlink() {
            return Ok(Some((path, metadata)));
        }
        let real = fs::canonicalize(&path).map_err(|error| format!("a link that leads nowhere: {}", plain(&error)))?;
        if !real.starts_with(&self.root) {
            return Err("a link that leads out of the source".into());
        }
        let metadata = fs::metadata(&real).map_err(|error| plain(&error))?;
        Ok(Some((real, metadata)))
    }

    fn file(&mut self, path: String, real: PathBuf, metadata: &Metadata) -> Result<(), String> {
        if !metadata.is_file() {
            self.scan.problems.push(problem(&path, "not a regular file"));
            return Ok(());
        }
        if !self.budget.file(metadata.len())? {
            self.scan.problems.push(too_large(&path, metadata.len()));
            return Ok(());
        }
        let found = Found {
            real,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        self.scan.found.insert(path, found);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(root: &Path) -> (Vec<String>, Vec<String>) {
        names_in(root, "", &[])
    }

    fn names_in(root: &Path, folder: &str, given: &[String]) -> (Vec<String>, Vec<String>) {
        let ignored = Ignored::given(given).expect("patterns");
        let snapshot = read(root, Path::new(folder), &ignored).expect("readable");
        (
            snapshot.files.into_iter().map(|file| file.path).collect(),
            snapshot.problems.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn manifests_are_found_and_nothing_else() {
        let root = tempfile::tempdir().expect("a directory");
        for path in [
            "b.yaml",
            "a.yml",
            "sub/deep/c.json",
            ".hidden.yaml",
            ".git/x.yaml",
            "README.md",
            "d.yaml~",
            "e.yaml.swp",
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, "x").expect("written");
        }
        assert_eq!(names(root.path()).0, ["a.yml", "b.yaml", "sub/deep/c.json"]);
    }

    #[test]
    fn what_is_ignored_is_as_if_absent() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        for path in [
            "a.yaml",
            "b.yaml",
            "sub/a.yaml",
            "sub/b.yaml",
            "sub/deep/c.yaml",
            "drafts/d.yaml",
        ] {
            write(path, "x");
        }
        symlink("/etc/passwd", root.path().join("out.yaml")).expect("linked");
        write(LIST, "drafts/\n/b.yaml\nout.yaml\nc.yaml\n");
        write("sub/.reconcileignore", "!deep/c.yaml\n");
        let (files, problems) = names(root.path());
        assert_eq!(files, ["a.yaml", "sub/a.yaml", "sub/b.yaml", "sub/deep/c.yaml"]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(
            names_in(root.path(), "", &["a.yaml".into()]).0,
            ["sub/b.yaml", "sub/deep/c.yaml"]
        );
        assert_eq!(names_in(root.path(), "sub/deep", &[]).0, ["c.yaml"], "lists above hold");
        write("sub/.reconcileignore", "a[\n");
        let (files, problems) = names(root.path());
        assert_eq!(files, ["a.yaml"], "a folder whose list is wrong is not read");
        assert!(
            problems[0].starts_with("sub/.reconcileignore: \"a[\" is no pattern"),
            "{problems:?}"
        );
    }

    #[test]
    fn links_are_followed_inside_only() {
        let root = tempfile::tempdir().expect("a directory");
        let other = tempfile::tempdir().expect("a directory");
        fs::write(other.path().join("x.yaml"), "x").expect("written");
        // As kubelet mounts a ConfigMap.
        fs::create_dir(root.path().join("..2024")).expect("made");
        fs::write(root.path().join("..2024/web.yaml"), "x").expect("written");
        symlink("..2024", root.path().join("..data")).expect("linked");
        symlink("..data/web.yaml", root.path().join("web.yaml")).expect("linked");
        symlink(other.path().join("x.yaml"), root.path().join("out.yaml")).expect("linked");
        symlink("nowhere", root.path().join("gone.yaml")).expect("linked");
        fs::create_dir(root.path().join("loop")).expect("made");
        symlink("..", root.path().join("loop/again")).expect("linked");
        let (files, problems) = names(root.path());
        assert_eq!(files, ["web.yaml"]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(
            problems[0].starts_with("gone.yaml: a link that leads nowhere"),
            "{problems:?}"
        );
        assert!(problems[1].starts_with("loop/again: folders or links"), "{problems:?}");
        assert!(
            problems[2].starts_with("out.yaml: a link that leads out"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_huge_file_is_a_problem_and_the_rest_is_read() {
        let root = tempfile::tempdir().expect("a directory");
        fs::write(root.path().join("a.yaml"), "x").expect("written");
        let huge = fs::File::create(root.path().join("huge.yaml")).expect("made");
        huge.set_len(100 << 20).expect("grown");
        let (files, problems) = names(root.path());
        assert_eq!(files, ["a.yaml"]);
        assert_eq!(
            problems,
            ["huge.yaml: the file has 104857600 bytes and is not read; a manifest may have 10485760 at most"]
        );
    }

    #[test]
    fn a_missing_folder_is_an_error_and_not_empty() {
        let root = tempfile::tempdir().expect("a directory");
        let error = read(root.path(), Path::new("gone"), &Ignored::given(&[]).expect("none")).expect_err("missing");
        assert!(error.to_string().contains("no such file or directory"), "{error}");
    }

    #[test]
    fn the_hash_tells_names_and_contents_apart() {
        let hashes = [
            hash(&[File::new("a", b"bc")]),
            hash(&[File::new("ab", b"c")]),
            hash(&[File::new("a", b"b"), File::new("c", b"")]),
        ];
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
    }
}
