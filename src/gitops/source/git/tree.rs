//! Reads manifests from a commit's tree. Links are followed inside the commit only.

use std::path::Path;

use git2::{ObjectType, Repository, Tree, TreeEntry};

use super::{Snapshot, committed, failed};
use crate::gitops::error::Error;
use crate::gitops::report::Commit;
use crate::gitops::source::limits::{Budget, MAX_DEPTH, problem, too_large};
use crate::gitops::source::{File, is_manifest};

/// How many links may lead to links.
const MAX_LINKS: usize = 16;

/// Git's mode of a symbolic link.
const LINK: i32 = 0o120_000;

struct Walk<'a> {
    repository: &'a Repository,
    top: &'a Tree<'a>,
    budget: Budget,
    snapshot: Snapshot,
}

/// Reads every manifest below `folder`.
pub(super) fn read(
    repository: &Repository,
    commit: &git2::Commit<'_>,
    about: Commit,
    folder: &Path,
) -> Result<Snapshot, Error> {
    let shown = format!("commit {}", about.short());
    let top = commit.tree().map_err(|error| failed(&shown, &error))?;
    let start = match folder.as_os_str().is_empty() {
        true => top.clone(),
        false => top
            .get_path(folder)
            .and_then(|entry| entry.to_object(repository))
            .and_then(|object| object.peel_to_tree())
            .map_err(|_| Error::Source(format!("{shown} has no folder {}", folder.display())))?,
    };
    let mut walk = Walk {
        repository,
        top: &top,
        budget: Budget::default(),
        snapshot: Snapshot {
            files: Vec::new(),
            revision: committed(about),
            problems: Vec::new(),
            notices: Vec::new(),
        },
    };
    let real = folder.to_string_lossy();
    walk.folder(&start, &real, "", 0)
        .map_err(|reason| Error::Source(format!("{shown}: {reason}")))?;
    let mut snapshot = walk.snapshot;
    snapshot.files.sort_by(|a, b| a.path.cmp(&b.path));
    snapshot.problems.sort();
    Ok(snapshot)
}

fn join(above: &str, name: &str) -> String {
    match above {
        "" => name.to_owned(),
        above => format!("{above}/{name}"),
    }
}

impl Walk<'_> {
    /// `real` is the way from the commit's top, `below` the one from the source's folder.
    fn folder(&mut self, tree: &Tree<'_>, real: &str, below: &str, depth: usize) -> Result<(), String> {
        if depth >= MAX_DEPTH {
            self.snapshot
                .problems
                .push(problem(below, "folders or links that contain themselves"));
            return Ok(());
        }
        for entry in tree {
            self.budget.entry()?;
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            if !name.starts_with('.') {
                self.entry(&entry, &join(real, &name), &join(below, &name), depth, 0)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &TreeEntry<'_>,
        real: &str,
        below: &str,
        depth: usize,
        links: usize,
    ) -> Result<(), String> {
        match entry.kind() {
            Some(ObjectType::Tree) => match self.repository.find_tree(entry.id()) {
                Ok(tree) => return self.folder(&tree, real, below, depth + 1),
                Err(error) => self.snapshot.problems.push(problem(below, error.message())),
            },
            Some(ObjectType::Blob) if entry.filemode() == LINK => self.link(entry, real, below, depth, links)?,
            Some(ObjectType::Blob) if is_manifest(below.rsplit('/').next().unwrap_or(below)) => {
                self.file(entry, below)?
            }
            Some(ObjectType::Commit) => self
                .snapshot
                .notices
                .push(format!("{below} is a git submodule; what is in it is not read")),
            _ => {}
        }
        Ok(())
    }

    fn file(&mut self, entry: &TreeEntry<'_>, below: &str) -> Result<(), String> {
        let contents = self
            .repository
            .odb()
            .and_then(|database| database.read_header(entry.id()))
            .map(|(size, _)| size as u64);
        match contents {
            Err(error) => self.snapshot.problems.push(problem(below, error.message())),
            Ok(size) if !self.budget.file(size)? => self.snapshot.problems.push(too_large(below, size)),
            Ok(_) => match self.repository.find_blob(entry.id()) {
                Ok(blob) => self.snapshot.files.push(File::new(below, blob.content())),
                Err(error) => self.snapshot.problems.push(problem(below, error.message())),
            },
        }
        Ok(())
    }

    fn link(
        &mut self,
        entry: &TreeEntry<'_>,
        real: &str,
        below: &str,
        depth: usize,
        links: usize,
    ) -> Result<(), String> {
        let name = below.rsplit('/').next().unwrap_or(below);
        let relevant = is_manifest(name) || !name.contains('.');
        let target = match self.repository.find_blob(entry.id()) {
            Ok(blob) => String::from_utf8_lossy(blob.content()).into_owned(),
            Err(error) => {
                self.snapshot.problems.push(problem(below, error.message()));
                return Ok(());
            }
        };
        let found = match (links < MAX_LINKS, inside(real, &target)) {
            (false, _) => Err("links that lead to one another"),
            (true, None) => Err("a link that leads out of the source"),
            (true, Some(path)) => match self.top.get_path(Path::new(&path)) {
                Ok(found) => Ok((found, path)),
                Err(_) => Err("a link that leads nowhere"),
            },
        };
        match found {
            Ok((found, path)) => self.entry(&found, &path, below, depth + 1, links + 1),
            Err(reason) => {
                if relevant {
                    self.snapshot.problems.push(problem(below, reason));
                }
                Ok(())
            }
        }
    }
}

/// Where a link at `real` leads inside the commit.
fn inside(real: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = real.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn links_stay_inside() {
        for (real, target, expected) in [
            ("a/b.yaml", "c.yaml", Some("a/c.yaml")),
            ("a/b.yaml", "../c.yaml", Some("c.yaml")),
            ("b.yaml", "../c.yaml", None),
            ("b.yaml", "/etc/passwd", None),
            ("a/b", "./x/../y", Some("a/y")),
            ("b", ".", None),
        ] {
            assert_eq!(inside(real, target).as_deref(), expected, "{real} -> {target}");
        }
    }
}
