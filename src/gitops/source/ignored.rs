//! Which files of a source are left out: those that `.reconcileignore` in any of its folders names, in the syntax of
//! `.gitignore`, and those of `--ignore`. Pure.
//!
//! An ignored file is as if it were absent. So a file that becomes ignored has left the source, and what was made of it
//! is deleted like anything else that left. Where a list cannot be read, its folder is not read either: nothing is
//! deleted then, and nothing is created that should have been left out.

use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::Gitignore;

use crate::gitops::error::Error;
use crate::object::source::terms;

/// The name of the lists.
pub(super) const LIST: &str = ".reconcileignore";

/// One list. Far above what people write, and far below what matching every file against it would feel.
pub(super) const MAX_LIST_BYTES: u64 = 64 << 10;

/// What is left out in one folder of the source.
#[derive(Clone, Debug)]
pub(super) struct Ignored {
    /// Of the command line; they come before all lists.
    given: Arc<Gitignore>,
    /// From the source's top to this folder.
    lists: Vec<Arc<List>>,
}

#[derive(Debug)]
struct List {
    /// Where the list lies, if below the source's folder: with `/` behind it.
    folder: String,
    /// The way from the list to the source's folder, if it lies above it: with `/` behind it.
    above: String,
    patterns: Gitignore,
}

impl Ignored {
    /// What is given by `--ignore`, from the source's folder on.
    ///
    /// # Errors
    /// Where one of them is no pattern.
    pub fn given(patterns: &[String]) -> Result<Self, Error> {
        let lines = patterns.iter().map(String::as_str);
        let given = terms::patterns(lines).map_err(|error| Error::Config(format!("--ignore: {error}")))?;
        Ok(Self {
            given: Arc::new(given),
            lists: Vec::new(),
        })
    }

    /// With the list of a folder, which lies `below` the source's folder.
    ///
    /// # Errors
    /// What is wrong with the list.
    pub fn with_list(&self, below: &str, list: &[u8]) -> Result<Self, String> {
        self.with(slashed(below), String::new(), list)
    }

    /// With the list of a folder above the source's; `way` leads from there to the source's folder.
    ///
    /// # Errors
    /// What is wrong with the list.
    pub fn with_list_above(&self, way: &str, list: &[u8]) -> Result<Self, String> {
        self.with(String::new(), slashed(way), list)
    }

    fn with(&self, folder: String, above: String, list: &[u8]) -> Result<Self, String> {
        if list.len() as u64 > MAX_LIST_BYTES {
            return Err(format!("the list has more than {MAX_LIST_BYTES} bytes"));
        }
        let text = std::str::from_utf8(list).map_err(|_| "the list is not text".to_owned())?;
        let patterns = terms::patterns(text.lines())?;
        let mut with = self.clone();
        with.lists.push(Arc::new(List {
            folder,
            above,
            patterns,
        }));
        Ok(with)
    }

    /// Whether what lies there, `below` the source's folder, is left out. Whoever asks has not gone into a folder that
    /// is left out itself.
    pub fn matches(&self, below: &str, is_folder: bool) -> bool {
        let by_lists = self.lists.iter().rev().filter_map(|list| {
            let path = format!("{}{}", list.above, below.strip_prefix(&list.folder)?);
            Some(list.patterns.matched(path, is_folder).map(|_| ()))
        });
        let given = self.given.matched(below, is_folder).map(|_| ());
        std::iter::once(given)
            .chain(by_lists)
            .find(|found| !found.is_none())
            .is_some_and(|found| matches!(found, Match::Ignore(())))
    }
}

/// The path of a folder's list, for messages.
pub(super) fn list_in(below: &str) -> String {
    slashed(below) + LIST
}

fn slashed(folder: &str) -> String {
    match folder {
        "" => String::new(),
        folder => format!("{folder}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(given: &[&str], lists: &[(&str, &str)]) -> Ignored {
        let given: Vec<String> = given.iter().map(|pattern| (*pattern).to_owned()).collect();
        let start = Ignored::given(&given).expect("patterns");
        lists.iter().fold(start, |ignored, (folder, list)| {
            ignored.with_list(folder, list.as_bytes()).expect("a list")
        })
    }

    #[test]
    fn as_git_ignores() {
        for (name, list, path, is_folder, expected) in [
            ("a name anywhere", "x.yaml", "a/b/x.yaml", false, true),
            ("anchored", "/x.yaml", "a/x.yaml", false, false),
            ("with a folder", "a/x.yaml", "a/x.yaml", false, true),
            ("with a folder, elsewhere", "a/x.yaml", "b/a/x.yaml", false, false),
            ("only folders", "x/", "x", false, false),
            ("a folder", "x/", "a/x", true, true),
            ("any depth", "a/**/x.yaml", "a/b/c/x.yaml", false, true),
            ("taken back", "*.yaml\n!x.yaml", "x.yaml", false, false),
            ("a comment", "# x.yaml", "x.yaml", false, false),
        ] {
            assert_eq!(ignored(&[], &[("", list)]).matches(path, is_folder), expected, "{name}");
        }
    }

    #[test]
    fn the_nearest_list_decides_and_the_command_line_before_all() {
        let both = [("", "*.yaml"), ("a", "!x.yaml\n/y.json")];
        let lists = ignored(&[], &both);
        assert!(!lists.matches("a/x.yaml", false) && lists.matches("b/x.yaml", false));
        assert!(
            lists.matches("a/y.json", false) && !lists.matches("a/b/y.json", false) && !lists.matches("y.json", false)
        );
        let given = ignored(&["a/x.yaml", "!keep.yaml"], &both);
        assert!(given.matches("a/x.yaml", false) && !given.matches("keep.yaml", false));
    }

    #[test]
    fn lists_above_the_folder_hold_as_well() {
        let start = Ignored::given(&[]).expect("none");
        let ignored = start
            .with_list_above("apps/web", b"/apps/web/x.yaml\n*.json")
            .expect("a list");
        assert!(ignored.matches("x.yaml", false) && ignored.matches("b/y.json", false));
        assert!(!ignored.matches("b/x.yaml", false));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let start = Ignored::given(&[]).expect("none");
        assert!(
            start
                .with_list("", b"a[")
                .expect_err("a pattern")
                .contains("is no pattern")
        );
        assert!(start.with_list("", &[0xff]).is_err());
        assert!(start.with_list("", &[b'a'; 65 << 10]).is_err());
        let error = Ignored::given(&["a[".into()]).expect_err("a pattern").to_string();
        assert!(error.starts_with("--ignore: \"a[\""), "{error}");
    }
}
