//! The four kinds of source that can be followed, each written to and published as a person would.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::cluster::text;
use crate::support::git::Repository;

/// Which kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A git work tree: a change counts when it is committed.
    WorkTree,
    /// A plain directory: a change counts when it is saved.
    Directory,
    /// A bare repository and a branch that is not its HEAD: a change counts when it is pushed.
    Bare,
    /// The same as a URL that is polled.
    Remote,
}

/// A source, the place where its files are edited, and how it is named on the command line.
pub struct Source {
    kind: Kind,
    files: PathBuf,
    repository: Option<Repository>,
    arguments: Vec<String>,
}

/// The branch that bare and remote sources follow.
const BRANCH: &str = "deploy";

impl Source {
    /// An empty source below `directory`.
    pub fn new(kind: Kind, directory: &Path) -> Source {
        let files = directory.join("files");
        let bare = directory.join("bare.git");
        let mut arguments = vec![text(&files).to_owned()];
        let repository = match kind {
            Kind::Directory => {
                fs::create_dir_all(&files).expect("a directory");
                None
            }
            Kind::WorkTree => {
                fs::create_dir_all(directory).expect("a directory");
                Some(Repository::init(&files))
            }
            Kind::Bare | Kind::Remote => {
                fs::create_dir_all(directory).expect("a directory");
                Repository::init_bare(&bare);
                let clone = Repository::init(&files);
                clone.git(&["remote", "add", "origin", text(&bare)]);
                clone.git(&["checkout", "-q", "-b", BRANCH]);
                arguments = match kind {
                    Kind::Bare => vec![text(&bare).to_owned()],
                    _ => vec![format!("file://{}", bare.display()), "--interval".into(), "1s".into()],
                };
                arguments.extend(["--ref".to_owned(), BRANCH.to_owned()]);
                Some(clone)
            }
        };
        Source {
            kind,
            files,
            repository,
            arguments,
        }
    }

    /// SOURCE and the flags that go with it.
    pub fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    /// Where its files are edited.
    pub fn files(&self) -> &Path {
        &self.files
    }

    /// Writes a file the way careful editors do: beside it, then renamed over it.
    pub fn write(&self, name: &str, content: &str) {
        let draft = self.files.join(format!(".{name}.draft"));
        fs::write(&draft, content).expect("a file is written");
        fs::rename(draft, self.files.join(name)).expect("a file is renamed");
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.files.join(name)).expect("a file is removed");
    }

    /// Makes what was written count.
    pub fn publish(&self, message: &str) {
        let Some(repository) = &self.repository else { return };
        repository.commit(message);
        if matches!(self.kind, Kind::Bare | Kind::Remote) {
            repository.git(&["push", "-q", "origin", BRANCH]);
        }
    }

    /// Whether a dry run shows what is written but not published yet.
    pub fn previews(&self) -> bool {
        self.kind == Kind::WorkTree
    }
}
