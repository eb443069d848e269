//! Takes a commit or an annotated tag, as git stores it, apart into what was signed and the signature. Never performs I/O.

use chrono::{DateTime, Utc};

use super::Refusal;

/// How the lines begin that open a signature.
const BEGINNINGS: [&[u8]; 2] = [b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN SSH SIGNATURE-----"];

/// One signature, as text. An RSA key of 4096 bits makes one of 1 kB; what is larger is not even looked at.
const MAX_SIGNATURE_BYTES: usize = 32 << 10;

/// The header of a commit that holds its signature.
const SIGNATURE: &[u8] = b"gpgsig ";

/// What was signed, and by what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// Exactly the bytes that git signed.
    pub payload: Vec<u8>,
    /// In ASCII armour.
    pub signature: String,
}

impl Signed {
    /// A commit: its signature is a header, and everything else was signed.
    pub fn commit(raw: &[u8]) -> Result<Self, Refusal> {
        let (headers, message) = raw.split_at(end_of_headers(raw));
        let mut payload = Vec::with_capacity(raw.len());
        let mut signature: Option<Vec<u8>> = None;
        let mut inside = false;
        for line in headers.split_inclusive(|byte| *byte == b'\n') {
            match (&mut signature, line.strip_prefix(SIGNATURE)) {
                (Some(_), Some(_)) => return Err(Refusal::unreadable("the commit carries several")),
                (None, Some(first)) => {
                    signature = Some(first.to_vec());
                    inside = true;
                }
                // A header goes on in lines that begin with a space.
                (Some(text), None) if inside && line.first() == Some(&b' ') => text.extend_from_slice(&line[1..]),
                (_, None) => {
                    payload.extend_from_slice(line);
                    inside = false;
                }
            }
        }
        payload.extend_from_slice(message);
        Self::new(payload, signature.ok_or(Refusal::Unsigned)?)
    }

    /// A tag: its signature stands at the end of its message, and everything before was signed.
    pub fn tag(raw: &[u8]) -> Result<Self, Refusal> {
        let mut start = None;
        let mut at = 0;
        for line in raw.split_inclusive(|byte| *byte == b'\n') {
            if BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) {
                start = Some(at);
            }
            at += line.len();
        }
        let (payload, signature) = raw.split_at(start.ok_or(Refusal::Unsigned)?);
        Self::new(payload.to_vec(), signature.to_vec())
    }

    fn new(payload: Vec<u8>, signature: Vec<u8>) -> Result<Self, Refusal> {
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Err(Refusal::unreadable("it is far larger than signatures are"));
        }
        let signature = String::from_utf8(signature).map_err(|_| Refusal::unreadable("it is no text"))?;
        Ok(Self { payload, signature })
    }

    /// What follows the name of a header, among what was signed.
    pub fn header(&self, name: &str) -> Option<String> {
        let headers = &self.payload[..end_of_headers(&self.payload)];
        headers
            .split(|byte| *byte == b'\n')
            .find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b" "))
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// When the commit or tag was made, as its maker says: `Name <email> SECONDS ZONE`.
    pub fn made(&self) -> Option<DateTime<Utc>> {
        let who = self.header("committer").or_else(|| self.header("tagger"))?;
        let seconds = who.rsplit(' ').nth(1)?.parse().ok()?;
        DateTime::from_timestamp(seconds, 0)
    }
}

/// Where the headers end: after the newline of the last one.
fn end_of_headers(raw: &[u8]) -> usize {
    raw.windows(2)
        .position(|pair| pair == b"\n\n")
        .map_or(raw.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "tree 11\nparent 22\nauthor A <a@x> 1700000000 +0100\ncommitter C <c@x> 1700000001 +0000\n";

    #[test]
    fn a_commits_signature_is_taken_out_and_nothing_else() {
        for (name, headers, message) in [
            ("last header", "gpgsig one\n two\n \n three\n", "\nsubject\n\nbody\n"),
            (
                "before another header",
                "gpgsig one\n two\n \n three\nencoding x\n y\n",
                "\nsubject\n",
            ),
            (
                "named in the message",
                "gpgsig one\n two\n \n three\n",
                "\ngpgsig four\n five\n",
            ),
        ] {
            let signed = Signed::commit(format!("{PLAIN}{headers}{message}").as_bytes()).expect(name);
            assert_eq!(signed.signature, "one\ntwo\n\nthree\n", "{name}");
            let rest = headers
                .strip_prefix("gpgsig one\n two\n \n three\n")
                .expect("a signature");
            let expected = format!("{PLAIN}{rest}{message}");
            assert_eq!(String::from_utf8_lossy(&signed.payload), expected, "{name}");
            assert_eq!(signed.header("tree").as_deref(), Some("11"));
            assert_eq!(signed.made().map(|made| made.timestamp()), Some(1_700_000_001));
        }
    }

    #[test]
    fn what_is_no_signature_header_is_none() {
        for (name, raw, expected) in [
            ("none", format!("{PLAIN}\nsubject\n"), Refusal::Unsigned),
            (
                "in the message only",
                format!("{PLAIN}\ngpgsig one\n two\n"),
                Refusal::Unsigned,
            ),
            (
                "a longer name",
                format!("{PLAIN}gpgsig-sha256 one\n\nsubject\n"),
                Refusal::Unsigned,
            ),
            (
                "endless",
                format!(
                    "{PLAIN}gpgsig one\n{}\nsubject\n",
                    " more\n".repeat(MAX_SIGNATURE_BYTES)
                ),
                Refusal::unreadable("it is far larger than signatures are"),
            ),
            (
                "two",
                format!("{PLAIN}gpgsig one\ngpgsig two\n\nsubject\n"),
                Refusal::unreadable("the commit carries several"),
            ),
        ] {
            assert_eq!(Signed::commit(raw.as_bytes()).expect_err(name), expected, "{name}");
        }
    }

    #[test]
    fn a_tags_signature_is_the_last_one_in_it() {
        let begin = "-----BEGIN SSH SIGNATURE-----";
        let text = format!("object 11\ntype commit\ntag v1\ntagger T <t@x> 1700000002 +0000\n\n{begin}\nquoted\n");
        let signed = Signed::tag(format!("{text}{begin}\nreal\n").as_bytes()).expect("signed");
        assert_eq!(String::from_utf8_lossy(&signed.payload), text);
        assert_eq!(signed.signature, format!("{begin}\nreal\n"));
        assert_eq!(signed.header("tag").as_deref(), Some("v1"));
        assert_eq!(signed.made().map(|made| made.timestamp()), Some(1_700_000_002));
        assert_eq!(
            Signed::tag(b"object 11\n\nhello\n").expect_err("unsigned"),
            Refusal::Unsigned
        );
    }
}
