//! Where the clone of a remote lies. Sources share one where they log in alike, and only there: none may read what another
//! was let in to read. No credentials are written, nor what they could be guessed from: a random key of the data directory
//! goes into the names.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ring::hmac;

use super::git::Url;
use crate::gitops::access::Access;
use crate::gitops::error::Error;

/// How much of a mark is in a name; enough to never meet twice.
const MARK_LENGTH: usize = 16;

/// The file with the key, in the data directory.
const KEY_FILE: &str = "clones.key";

const KEY_BYTES: usize = 32;

/// The directory of the clone of that remote, for whoever logs in like that.
pub(super) fn of(data_dir: &Path, url: &Url, access: &Access) -> Result<PathBuf, Error> {
    let mut name = url.directory_name();
    let logins: Vec<String> = access
        .login()
        .into_iter()
        .chain(url.secrets().map(str::to_owned))
        .collect();
    if !logins.is_empty() {
        let path = data_dir.join(KEY_FILE);
        let key = key(&path).map_err(|error| Error::Source(format!("the key {}: {error}", path.display())))?;
        let mark = hex::encode(hmac::sign(&key, logins.join("\0").as_bytes()));
        name = format!("{name}-{}", &mark[..MARK_LENGTH]);
    }
    Ok(data_dir.join("sources").join(name))
}

/// The key of the data directory, made where there is none.
fn key(path: &Path) -> std::io::Result<hmac::Key> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("{:016x}", rand::random::<u64>()));
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(&rand::random::<[u8; KEY_BYTES]>())?;
    file.sync_all()?;
    // Whoever is first decides; what is no key is replaced.
    let placed = match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => match read(path)? {
            Some(_) => Ok(()),
            None => fs::rename(&beside, path),
        },
        other => other,
    };
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => placed?,
    }
    read(path)?.ok_or_else(|| std::io::Error::other("it was replaced by something that is no key"))
}

fn read(path: &Path) -> std::io::Result<Option<hmac::Key>> {
    match fs::read(path) {
        Ok(bytes) if bytes.len() == KEY_BYTES => Ok(Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), value.as_bytes().to_vec());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn those_who_log_in_alike_share_a_clone_and_no_others() {
        let scratch = tempfile::tempdir().expect("a directory");
        let place = |url: &str, access: &Access| {
            let url = Url::parse(url).expect("a URL");
            of(scratch.path(), &url, access).expect("a place")
        };
        let given = |pairs: &[(&str, &str)]| Access::from_data(&data(pairs)).expect("usable");
        let secret = |name: &str, password: &str| {
            Access::from_secret("default", name, &data(&[("password", password)])).expect("usable")
        };
        const URL: &str = "https://h/a.git";
        let nobody = place(URL, &Access::default());
        let ann = place(URL, &given(&[("username", "ann"), ("password", "one")]));
        assert_eq!(ann, place(URL, &given(&[("username", "ann"), ("password", "one")])));
        assert_eq!(
            nobody,
            place(URL, &given(&[("proxy", "http://proxy")])),
            "that lets nobody in"
        );
        // What a Secret says may change, and it is the same source's all the same.
        let one = place(URL, &secret("one", "old"));
        assert_eq!(one, place(URL, &secret("one", "new")));
        let others = [
            nobody,
            ann,
            one,
            place(URL, &given(&[("username", "ann"), ("password", "two")])),
            place(URL, &given(&[("bearerToken", "one")])),
            place(URL, &secret("two", "old")),
            place("https://ann:one@h/a.git", &Access::default()),
            place("https://ann:two@h/a.git", &Access::default()),
            place("https://h/b.git", &Access::default()),
        ];
        for (index, place) in others.iter().enumerate() {
            assert!(!others[..index].contains(place), "{index}");
        }
        let key = scratch.path().join(KEY_FILE);
        let mode = fs::metadata(&key).expect("a key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = fs::read_dir(scratch.path()).expect("listed").count();
        assert_eq!(files, 1, "only the key");
        // Another key, other names; one that is torn is replaced.
        fs::write(&key, "torn").expect("written");
        let torn = place(URL, &secret("one", "old"));
        assert_ne!(torn, others[2]);
        assert_eq!(torn, place(URL, &secret("one", "old")));
    }
}
