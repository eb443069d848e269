//! Submodules: where they come from, what is shown to whom for them, and the repositories that they are read from.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use git2::{ObjectType, Oid, Repository, Tree};

use super::gitmodules::{Declared, parse, resolve};
use super::url::Url;
use crate::gitops::access::Access;
use crate::gitops::source::limits::MAX_FILE_BYTES;
use crate::gitops::source::place;

/// Where a repository says what its submodules are.
const LIST: &str = ".gitmodules";

/// Where the submodules of a repository are looked for.
#[derive(Clone, Debug)]
pub(in super::super) enum Modules {
    /// Nowhere: nobody asked for them.
    Unwanted,
    /// In clones of ours, beside that of their repository.
    Cloned(Origin),
    /// Where git keeps those of a repository on disk.
    OnDisk,
}

/// A remote and who asks it.
#[derive(Clone, Debug)]
pub(in super::super) struct Origin {
    pub url: Arc<Url>,
    pub access: Arc<Access>,
    pub data_dir: PathBuf,
}

/// A submodule at the commit that its repository names.
#[derive(Clone, Debug)]
pub(in super::super) struct Module {
    /// Below the source's folder.
    pub path: String,
    pub url: Arc<Url>,
    pub access: Arc<Access>,
    pub clone: PathBuf,
    pub commit: String,
}

/// Why a submodule cannot be read.
pub(super) enum Closed {
    /// It was not fetched yet.
    Lacking(Module),
    /// Fetching would not help, or is not ours to do.
    Never(String),
}

impl Modules {
    pub(in super::super) fn are_wanted(&self) -> bool {
        !matches!(self, Self::Unwanted)
    }

    /// Opens the submodule that lies at `real` of a commit and at `below` the source's folder, with the way to those in it.
    pub(super) fn open(
        &self,
        repository: &Repository,
        top: &Tree<'_>,
        [real, below]: [&str; 2],
        id: Oid,
    ) -> Result<(Repository, Self), Closed> {
        let declared = declared(repository, top, real).map_err(Closed::Never)?;
        match self {
            Self::Unwanted => Err(Closed::Never("it is not asked for".into())),
            Self::OnDisk => {
                let own = repository.commondir().join("modules").join(&declared.name);
                let places = [Some(own), repository.workdir().map(|top| top.join(real))];
                let mut found = places
                    .into_iter()
                    .flatten()
                    .filter_map(|place| Repository::open(place).ok());
                let found = found.find(|found| has(found, id));
                let missing =
                    || Closed::Never("it is not checked out; run: git submodule update --init --recursive".into());
                found.map(|found| (found, Self::OnDisk)).ok_or_else(missing)
            }
            Self::Cloned(origin) => {
                let module = origin.module(&declared, below, id).map_err(Closed::Never)?;
                match Repository::open_bare(&module.clone) {
                    Ok(clone) if has(&clone, id) => Ok((
                        clone,
                        Self::Cloned(Origin {
                            url: module.url,
                            access: module.access,
                            data_dir: origin.data_dir.clone(),
                        }),
                    )),
                    _ => Err(Closed::Lacking(module)),
                }
            }
        }
    }
}

impl Origin {
    /// Where a submodule is fetched from. Its host is given the login of this one only where it is the same.
    fn module(&self, declared: &Declared, below: &str, id: Oid) -> Result<Module, String> {
        let text = resolve(self.url.shown(), &declared.url)?;
        let text = match text.starts_with('/') {
            true => format!("file://{text}"),
            false => text,
        };
        let url = Url::parse(&text).ok_or_else(|| format!("its URL {text:?} is none that is understood"))?;
        if url.is_local() && !self.url.is_local() {
            return Err("its URL leads to this machine, which a repository elsewhere may not say".into());
        }
        let (url, access) = match url.is_beside(&self.url) {
            true => (url.with_login_of(&self.url), Arc::clone(&self.access)),
            false => (url, Arc::new(self.access.without_login())),
        };
        let clone = place::of(&self.data_dir, &url, &access).map_err(|error| error.to_string())?;
        Ok(Module {
            path: below.to_owned(),
            url: Arc::new(url),
            access,
            clone,
            commit: id.to_string(),
        })
    }
}

fn has(repository: &Repository, id: Oid) -> bool {
    repository.find_commit(id).is_ok_and(|commit| commit.tree().is_ok())
}

/// What the commit says of its submodule at that path.
fn declared(repository: &Repository, top: &Tree<'_>, path: &str) -> Result<Declared, String> {
    let unnamed = || format!("{LIST} does not say where it comes from");
    let entry = top.get_name(LIST).ok_or_else(unnamed)?;
    let failed = |error: git2::Error| format!("{LIST}: {}", error.message());
    let (size, kind) = repository
        .odb()
        .and_then(|database| database.read_header(entry.id()))
        .map_err(failed)?;
    if kind != ObjectType::Blob || size as u64 > MAX_FILE_BYTES {
        return Err(format!("{LIST} is no file, or too large"));
    }
    let blob = repository.find_blob(entry.id()).map_err(failed)?;
    let declared = parse(&String::from_utf8_lossy(blob.content()));
    let mut declared = declared
        .into_iter()
        .filter(|declared| declared.path == path && !declared.url.is_empty());
    let found = declared.next().ok_or_else(unnamed)?;
    let mut parts = Path::new(&found.name).components();
    match !found.name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_))) {
        true => Ok(found),
        false => Err(format!("{LIST} gives it the name {:?}, which is none", found.name)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn logins_stay_with_their_host() {
        let scratch = tempfile::tempdir().expect("a directory");
        let data = BTreeMap::from([("password".to_owned(), b"s3cret".to_vec())]);
        let access = Arc::new(Access::from_data(&data).expect("usable"));
        let module = |base: &str, url: &str| {
            let origin = Origin {
                url: Arc::new(Url::parse(base).expect("a URL")),
                access: Arc::clone(&access),
                data_dir: scratch.path().to_owned(),
            };
            let declared = Declared {
                url: url.into(),
                ..Declared::default()
            };
            origin.module(&declared, "lib", Oid::from_bytes(&[1; 20]).expect("an id"))
        };
        const BASE: &str = "https://tok3n@h/a.git";
        for (base, url, given) in [
            (BASE, "../b.git", true),
            (BASE, "https://H:443/b.git", true),
            (BASE, "https://h.other/b.git", false),
            (BASE, "https://h:444/b.git", false),
            (BASE, "http://h/b.git", false),
            (BASE, "ssh://h/b.git", false),
            ("git@h:a.git", "../b.git", true),
            ("git@h:a.git", "ssh://git@h:2222/b.git", false),
        ] {
            let module = module(base, url).expect(url);
            assert_eq!(module.access.secrets().count() > 0, given, "{base} {url}");
            let inherited = module.url.secrets().any(|secret| secret == "tok3n");
            assert_eq!(inherited, given && base == BASE, "{base} {url}");
            assert!(!module.url.shown().contains("tok3n"), "{}", module.url.shown());
        }
        for (base, url, part) in [
            (BASE, "file:///etc/x.git", "leads to this machine"),
            (BASE, "/etc/x.git", "leads to this machine"),
            (BASE, "../../../x.git", "leads out of the host"),
            (BASE, "ftp://h/x.git", "is none that is understood"),
        ] {
            let error = module(base, url).map(|module| module.clone).expect_err(url);
            assert!(error.contains(part), "{url}: {error}");
        }
        assert!(module("file:///srv/a.git", "/srv/b.git").is_ok());
    }
}
