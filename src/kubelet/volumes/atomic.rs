//! Writes a volume's files so that a reader sees the old ones or the new ones, never a mixture.
//!
//! The files lie in a directory of their own, `..data` links to it, and every visible name links through `..data`;
//! a change writes a new directory and turns the one link over.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path};

use super::ownership::{Group, give};

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

/// Files by their path in the volume.
pub type Files = BTreeMap<String, File>;

const DATA: &str = "..data";
const DATA_NEXT: &str = "..data_tmp";

/// Makes the directory hold exactly these files. Writes nothing where it does already.
pub fn write(directory: &Path, files: &Files, group: Group) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    let data = directory.join(DATA);
    if let Some(path) = files.keys().find(|path| !is_inside(path)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{path:?} leaves the volume"),
        ));
    }
    let current = fs::read_link(&data).ok();
    if current.is_none() || !holds(&data, files)? {
        let name = format!("..{}", uuid::Uuid::new_v4().simple());
        write_all(&directory.join(&name), files, group)?;
        let next = directory.join(DATA_NEXT);
        remove_if_there(&next)?;
        symlink(&name, &next)?;
        fs::rename(&next, &data)?;
    }
    link_names(directory, files)?;
    // Only after the turn: a reader may still be in the old directory, which stays whole while it is open.
    let current = fs::read_link(&data)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let stale = entry.file_type()?.is_dir() && entry.file_name() != current.as_os_str();
        if stale && entry.file_name().as_encoded_bytes().starts_with(b"..") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a path stays below the directory it is joined to.
fn is_inside(path: &str) -> bool {
    let normal = |component: Component<'_>| matches!(component, Component::Normal(name) if !name.as_encoded_bytes().starts_with(b".."));
    !path.is_empty() && Path::new(path).components().all(normal)
}

fn write_all(directory: &Path, files: &Files, group: Group) -> io::Result<()> {
    fs::create_dir(directory)?;
    fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    for (path, file) in files {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.content)?;
        // Members of the fsGroup may read whatever the owner may.
        let mode = if group.is_some() {
            file.mode | (file.mode & 0o400) >> 3
        } else {
            file.mode
        };
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        give(&path, group)?;
    }
    Ok(())
}

/// Whether the directory holds these files and no others.
fn holds(data: &Path, files: &Files) -> io::Result<bool> {
    for (path, file) in files {
        match fs::read(data.join(path)) {
            Ok(content) if content == file.content => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(count(data)? == files.len())
}

fn count(directory: &Path) -> io::Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        found += if entry.file_type()?.is_dir() {
            count(&entry.path())?
        } else {
            1
        };
    }
    Ok(found)
}

/// Keeps one link a top-level name, and none for names that are gone.
fn link_names(directory: &Path, files: &Files) -> io::Result<()> {
    let top = |path: &String| path.split('/').next().unwrap_or_default().to_owned();
    let names = files.keys().map(top).collect::<std::collections::BTreeSet<_>>();
    for name in &names {
        let link = directory.join(name);
        if fs::read_link(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_symlink() && name != DATA && !names.contains(&name) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> Files {
        let file = |content: &str| File {
            content: content.as_bytes().to_vec(),
            mode: 0o640,
        };
        entries
            .iter()
            .map(|(path, content)| ((*path).to_owned(), file(content)))
            .collect()
    }

    #[test]
    fn turns_all_files_over_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("volume");
        write(&root, &files(&[("a", "1"), ("dir/b", "2")]), None).expect("written");
        assert_eq!(fs::read_to_string(root.join("a")).expect("a"), "1");
        assert_eq!(fs::read_to_string(root.join("dir/b")).expect("b"), "2");
        assert_eq!(
            fs::metadata(root.join("a")).expect("a").permissions().mode() & 0o777,
            0o640
        );
        let first = fs::read_link(root.join(DATA)).expect("a link");

        write(&root, &files(&[("a", "1"), ("dir/b", "2")]), None).expect("written");
        assert_eq!(
            fs::read_link(root.join(DATA)).expect("a link"),
            first,
            "nothing changed, nothing is written"
        );

        write(&root, &files(&[("a", "3")]), None).expect("written");
        assert_ne!(fs::read_link(root.join(DATA)).expect("a link"), first);
        assert_eq!(fs::read_to_string(root.join("a")).expect("a"), "3");
        assert!(!root.join("dir").exists() && fs::symlink_metadata(root.join("dir")).is_err());
        assert!(!root.join(first).exists(), "the old files are gone");
    }

    #[test]
    fn refuses_to_leave_the_volume() {
        let directory = tempfile::tempdir().expect("a directory");
        for path in ["../x", "/etc/x", "a/../../x", "..data", ""] {
            let error = write(directory.path(), &files(&[(path, "1")]), None).expect_err(path);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }
}
