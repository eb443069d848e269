//! Reads manifests from a commit's tree. Links are followed inside the commit only.

use std::path::{Path, PathBuf};

use git2::{Blob, ObjectType, Oid, Repository, Tree, TreeEntry};

use super::modules::{Closed, Modules};
use super::{Extent, Snapshot, committed, failed, loose};
use crate::gitops::error::Error;
use crate::gitops::report::Commit;
use crate::gitops::source::ignored::{Ignored, LIST, MAX_LIST_BYTES, list_in};
use crate::gitops::source::limits::{Budget, MAX_DEPTH, problem, too_large};
use crate::gitops::source::{File, is_manifest, unread};

/// How many links may lead to links.
const MAX_LINKS: usize = 16;

/// Git's mode of a symbolic link.
const LINK: i32 = 0o120_000;

/// Where the walk is.
#[derive(Clone, Copy)]
struct Position<'a> {
    /// The way from the commit's top.
    real: &'a str,
    /// The way from the source's folder.
    below: &'a str,
    /// What is left out there.
    ignored: &'a Ignored,
    depth: usize,
}

/// What was read so far.
struct Found {
    budget: Budget,
    snapshot: Snapshot,
}

struct Walk<'a> {
    repository: &'a Repository,
    top: &'a Tree<'a>,
    modules: &'a Modules,
    found: &'a mut Found,
}

/// Reads every manifest of the extent.
pub(super) fn read(
    repository: &Repository,
    commit: &git2::Commit<'_>,
    about: Commit,
    extent: Extent<'_>,
) -> Result<Snapshot, Error> {
    let shown = format!("commit {}", about.short());
    let top = loose::check(repository, commit.tree_id())
        .and_then(|()| commit.tree())
        .map_err(|error| failed(&shown, &error))?;
    let mut found = Found {
        budget: Budget::default(),
        snapshot: Snapshot::of(committed(about)),
    };
    let walk = Walk {
        repository,
        top: &top,
        modules: extent.modules,
        found: &mut found,
    };
    walk.begin(extent.folder, extent.folder, extent.ignored.clone())
        .map_err(|reason| match reason {
            Missing::Folder(hint) => Error::Source(format!("{shown} has no folder {}{hint}", extent.folder.display())),
            Missing::Other(reason) => Error::Source(format!("{shown}: {reason}")),
        })?;
    let mut snapshot = found.snapshot;
    snapshot.files.sort_by(|a, b| a.path.cmp(&b.path));
    snapshot.problems.sort();
    Ok(snapshot)
}

/// Why nothing at all can be read.
enum Missing {
    /// There is no such folder, with what to do about it.
    Folder(String),
    Other(String),
}

/// Where the way to a folder leads in one repository.
enum Way<'a> {
    There(Tree<'a>),
    /// To a submodule, at that path.
    Into(PathBuf, Oid),
    Nowhere,
}

fn way<'a>(repository: &'a Repository, top: &Tree<'a>, folder: &Path) -> Way<'a> {
    let mut at = PathBuf::new();
    let mut tree = top.clone();
    for part in folder.components() {
        at.push(part);
        let Some(entry) = tree
            .get_name_bytes(part.as_os_str().as_encoded_bytes())
            .map(|entry| entry.to_owned())
        else {
            return Way::Nowhere;
        };
        if entry.kind() == Some(ObjectType::Commit) {
            return Way::Into(at, entry.id());
        }
        let below = loose::check(repository, entry.id())
            .and_then(|()| entry.to_object(repository))
            .and_then(|object| object.peel_to_tree());
        match below {
            Ok(below) => tree = below,
            Err(_) => return Way::Nowhere,
        }
    }
    Way::There(tree)
}

/// The lists of the folders from the commit's top to the one above `place`, on the way to the source's folder.
fn lists_above(
    repository: &Repository,
    top: &Tree<'_>,
    [place, folder]: [&Path; 2],
    mut ignored: Ignored,
) -> Result<Ignored, String> {
    for above in place.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        let way = folder.strip_prefix(above).unwrap_or(folder).to_string_lossy();
        let tree = match above.as_os_str().is_empty() {
            true => Ok(top.clone()),
            false => top
                .get_path(above)
                .and_then(|entry| entry.to_object(repository))
                .and_then(|object| object.peel_to_tree()),
        };
        let failed = |reason: String| format!("{}: {reason}", above.join(LIST).display());
        let tree = tree.map_err(|error| failed(error.message().to_owned()))?;
        if let Some(list) = read_list(repository, &tree).map_err(failed)? {
            ignored = ignored.with_list_above(&way, &list).map_err(failed)?;
        }
    }
    Ok(ignored)
}

/// The list of a folder, if it has one.
fn read_list(repository: &Repository, tree: &Tree<'_>) -> Result<Option<Vec<u8>>, String> {
    let Some(entry) = tree.get_name(LIST) else {
        return Ok(None);
    };
    if entry.kind() != Some(ObjectType::Blob) || entry.filemode() == LINK {
        return Err("not a regular file".into());
    }
    let failed = |error: git2::Error| error.message().to_owned();
    let database = repository.odb().map_err(failed)?;
    let (size, _) = database.read_header(entry.id()).map_err(failed)?;
    if size as u64 > MAX_LIST_BYTES {
        return Err(format!("the list has more than {MAX_LIST_BYTES} bytes"));
    }
    let blob = blob(repository, entry.id()).map_err(failed)?;
    Ok(Some(blob.content().to_vec()))
}

fn blob(repository: &Repository, id: Oid) -> Result<Blob<'_>, git2::Error> {
    loose::check(repository, id).and_then(|()| repository.find_blob(id))
}

fn tree_of(repository: &Repository, id: Oid) -> Result<Tree<'_>, String> {
    let tree = loose::check(repository, id)
        .and_then(|()| repository.find_commit(id))
        .and_then(|commit| loose::check(repository, commit.tree_id()).and_then(|()| commit.tree()));
    tree.map_err(|error| error.message().to_owned())
}

fn join(above: &str, name: &str) -> String {
    match above {
        "" => name.to_owned(),
        above => format!("{above}/{name}"),
    }
}

impl Walk<'_> {
    /// Reads the folder, of which `whole` is the way from the source's top.
    fn begin(mut self, folder: &Path, whole: &Path, ignored: Ignored) -> Result<(), Missing> {
        let (repository, top) = (self.repository, self.top);
        match way(repository, top, folder) {
            Way::Nowhere => Err(Missing::Folder(String::new())),
            Way::There(tree) => lists_above(repository, top, [folder, folder], ignored)
                .and_then(|ignored| self.folder(&tree, &folder.to_string_lossy(), "", &ignored, 0))
                .map_err(Missing::Other),
            Way::Into(place, _) if !self.modules.are_wanted() => Err(Missing::Folder(format!(
                "; {} is a git submodule, which --submodules reads",
                place.display()
            ))),
            Way::Into(place, id) => {
                let rest = folder.strip_prefix(&place).unwrap_or(folder);
                let ignored = lists_above(repository, top, [&place, folder], ignored).map_err(Missing::Other)?;
                let real = place.to_string_lossy();
                match self
                    .modules
                    .open(repository, top, [&real, &whole.to_string_lossy()], id)
                {
                    Err(Closed::Lacking(module)) => self.found.snapshot.lacking.push(module),
                    Err(Closed::Never(reason)) => return Err(Missing::Other(format!("{real}: {reason}"))),
                    Ok((repository, modules)) => {
                        let tree = tree_of(&repository, id).map_err(Missing::Other)?;
                        let walk = Walk {
                            repository: &repository,
                            top: &tree,
                            modules: &modules,
                            found: self.found,
                        };
                        return walk.begin(rest, whole, ignored);
                    }
                }
                Ok(())
            }
        }
    }

    /// What lies in a submodule, at its place.
    fn module(&mut self, id: Oid, at: Position<'_>) -> Result<(), String> {
        let Position { real, below, .. } = at;
        if !self.modules.are_wanted() {
            let text = format!("{below} is a git submodule; what is in it is not read (--submodules reads it)");
            self.found.snapshot.notices.push(text);
            self.found.snapshot.skipped.push(below.to_owned());
            return Ok(());
        }
        match self.modules.open(self.repository, self.top, [real, below], id) {
            Err(Closed::Lacking(module)) => self.found.snapshot.lacking.push(module),
            Err(Closed::Never(reason)) => self.found.snapshot.problems.push(unread(below, &reason)),
            Ok((repository, modules)) => match tree_of(&repository, id) {
                Err(reason) => self.found.snapshot.problems.push(unread(below, &reason)),
                Ok(tree) => {
                    let mut walk = Walk {
                        repository: &repository,
                        top: &tree,
                        modules: &modules,
                        found: &mut *self.found,
                    };
                    return walk.folder(&tree, "", below, at.ignored, at.depth + 1);
                }
            },
        }
        Ok(())
    }

    /// `real` is the way from the commit's top, `below` the one from the source's folder.
    fn folder(
        &mut self,
        tree: &Tree<'_>,
        real: &str,
        below: &str,
        ignored: &Ignored,
        depth: usize,
    ) -> Result<(), String> {
        if depth >= MAX_DEPTH {
            self.found
                .snapshot
                .problems
                .push(problem(below, "folders or links that contain themselves"));
            return Ok(());
        }
        let list = read_list(self.repository, tree).and_then(|list| match list {
            None => Ok(ignored.clone()),
            Some(list) => ignored.with_list(below, &list),
        });
        let ignored = match list {
            Ok(ignored) => ignored,
            Err(reason) => {
                self.found.snapshot.problems.push(problem(&list_in(below), reason));
                return Ok(());
            }
        };
        for entry in tree {
            self.found.budget.entry()?;
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            if !name.starts_with('.') {
                let at = Position {
                    real: &join(real, &name),
                    below: &join(below, &name),
                    ignored: &ignored,
                    depth,
                };
                self.entry(&entry, at, 0)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &TreeEntry<'_>, at: Position<'_>, links: usize) -> Result<(), String> {
        let Position { real, below, .. } = at;
        let kind = entry.kind();
        let is_link = kind == Some(ObjectType::Blob) && entry.filemode() == LINK;
        // Whether a link is one to a folder is known only where it leads.
        if !is_link
            && at
                .ignored
                .matches(below, matches!(kind, Some(ObjectType::Tree | ObjectType::Commit)))
        {
            return Ok(());
        }
        match kind {
            Some(ObjectType::Tree) => {
                match loose::check(self.repository, entry.id()).and_then(|()| self.repository.find_tree(entry.id())) {
                    Ok(tree) => return self.folder(&tree, real, below, at.ignored, at.depth + 1),
                    Err(error) => self.found.snapshot.problems.push(problem(below, error.message())),
                }
            }
            Some(ObjectType::Blob) if is_link => self.link(entry, at, links)?,
            Some(ObjectType::Blob) if is_manifest(below.rsplit('/').next().unwrap_or(below)) => {
                self.file(entry, below)?
            }
            Some(ObjectType::Commit) => self.module(entry.id(), at)?,
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
            Err(error) => self.found.snapshot.problems.push(problem(below, error.message())),
            Ok(size) if !self.found.budget.file(size)? => self.found.snapshot.problems.push(too_large(below, size)),
            Ok(_) => match blob(self.repository, entry.id()) {
                Ok(blob) => self.found.snapshot.files.push(File::new(below, blob.content())),
                Err(error) => self.found.snapshot.problems.push(problem(below, error.message())),
            },
        }
        Ok(())
    }

    fn link(&mut self, entry: &TreeEntry<'_>, at: Position<'_>, links: usize) -> Result<(), String> {
        let Position { real, below, .. } = at;
        if at.ignored.matches(below, false) {
            return Ok(());
        }
        let name = below.rsplit('/').next().unwrap_or(below);
        let relevant = is_manifest(name) || !name.contains('.');
        let target = match blob(self.repository, entry.id()) {
            Ok(blob) => String::from_utf8_lossy(blob.content()).into_owned(),
            Err(error) => {
                self.found.snapshot.problems.push(problem(below, error.message()));
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
            Ok((found, path)) => {
                let at = Position {
                    real: &path,
                    depth: at.depth + 1,
                    ..at
                };
                self.entry(&found, at, links + 1)
            }
            Err(reason) => {
                if relevant {
                    self.found.snapshot.problems.push(problem(below, reason));
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
