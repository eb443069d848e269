//! Loose objects that are not whole. libgit2 reads one whose end is missing without end, so each is looked at before it is
//! read. Writes nothing.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::Path;

use flate2::read::ZlibDecoder;
use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Repository};

/// The longest header: a kind, a space, the size, and a zero.
const MAX_HEADER: u64 = 32;

/// How many tags may lead to tags.
const MAX_TAGS: usize = 16;

/// Fails where the object lies by itself on disk and is not whole. One in a pack is another matter.
pub(super) fn check(repository: &Repository, id: Oid) -> Result<(), git2::Error> {
    let hash = id.to_string();
    let (folder, name) = hash.split_at(2);
    let path = repository.commondir().join("objects").join(folder).join(name);
    is_whole(&path).map_err(|error| {
        let reason = format!("the object {hash} of the repository is damaged ({error}); git fsck tells more");
        git2::Error::new(ErrorCode::GenericError, ErrorClass::Odb, reason)
    })
}

/// The same of an object and, where it is a tag, of what it leads to.
pub(super) fn check_way(repository: &Repository, id: Oid) -> Result<(), git2::Error> {
    let mut id = id;
    for _ in 0..MAX_TAGS {
        check(repository, id)?;
        match repository.odb()?.read_header(id) {
            Ok((_, ObjectType::Tag)) => id = repository.find_tag(id)?.target_id(),
            // What is not there is told by whoever reads it.
            _ => break,
        }
    }
    Ok(())
}

fn is_whole(path: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let mut contents = BufReader::new(ZlibDecoder::new(BufReader::new(file)));
    let mut header = Vec::new();
    contents.by_ref().take(MAX_HEADER).read_until(0, &mut header)?;
    header.pop_if(|end| *end == 0);
    let size = std::str::from_utf8(&header)
        .ok()
        .and_then(|header| header.split_once(' '));
    let size: Option<u64> = size.and_then(|(_, size)| size.parse().ok());
    let size = size.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it has no header"))?;
    let found = io::copy(&mut contents.take(size.saturating_add(1)), &mut io::sink())?;
    match found == size {
        true => Ok(()),
        false => Err(io::Error::new(ErrorKind::UnexpectedEof, "its end is missing")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    #[test]
    fn every_cut_is_seen() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("object");
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        let text: String = (0..2000)
            .map(|number| format!("line {}\n", number * 7919 % 1000))
            .collect();
        write!(encoder, "blob {}\0{text}", text.len()).expect("written");
        let whole = encoder.finish().expect("compressed");
        std::fs::write(&path, &whole).expect("written");
        is_whole(&path).expect("it is whole");
        // The last bytes are a checksum: without them libgit2 ends by itself.
        for length in (0..whole.len() - 8).step_by(37) {
            std::fs::write(&path, &whole[..length]).expect("written");
            assert!(is_whole(&path).is_err(), "{length} of {}", whole.len());
        }
        is_whole(&scratch.path().join("gone")).expect("it is in a pack, or missing");
    }
}
