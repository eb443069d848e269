//! Which commit of a repository is followed: its HEAD, a name, or the newest tag of a range of versions. Pure.

use semver::{Version, VersionReq};

use crate::gitops::config::Config;
use crate::gitops::error::Error;
use crate::object::source::terms;

/// How many branches or tags a message names.
const SHOWN: usize = 5;

/// What is followed.
#[derive(Clone, Debug)]
pub(super) enum Reference {
    /// What the repository itself says.
    Head,
    /// A branch, tag or commit.
    Named(String),
    /// The highest tag of a range of versions.
    Newest(Range),
}

impl Reference {
    /// As the flags say.
    pub fn of(config: &Config) -> Result<Self, Error> {
        match (&config.reference, &config.semver) {
            (None, None) => Ok(Self::Head),
            (Some(name), None) => Ok(Self::Named(name.clone())),
            (None, Some(range)) => Range::parse(range).map(Self::Newest),
            (Some(_), Some(_)) => Err(Error::Config("give --ref or --semver, not both".into())),
        }
    }

    pub fn is_head(&self) -> bool {
        matches!(self, Self::Head)
    }

    /// The flag that says so.
    pub fn flag(&self) -> Option<&'static str> {
        match self {
            Self::Head => None,
            Self::Named(_) => Some("--ref"),
            Self::Newest(_) => Some("--semver"),
        }
    }

    /// For a person; None where there is nothing to say.
    pub fn shown(&self) -> Option<String> {
        match self {
            Self::Head => None,
            Self::Named(name) => Some(name.clone()),
            Self::Newest(range) => Some(format!("the newest tag of {}", range.text)),
        }
    }

    /// What tells it from others of the same repository.
    pub fn key(&self) -> String {
        match self {
            Self::Head => "HEAD".into(),
            Self::Named(name) => name.clone(),
            // No reference's name has a space in it.
            Self::Newest(range) => format!("semver {}", range.text),
        }
    }
}

/// A range of versions, as `1.x`, `>=1.2, <2`, `~1.4` or `^1.2 || ^3`.
#[derive(Clone, Debug)]
pub(super) struct Range {
    text: String,
    /// One of them must match.
    alternatives: Vec<VersionReq>,
}

impl Range {
    /// Reads what is written with commas or spaces between conditions, and `||` between alternatives.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::Config(format!("--semver {text:?}: {reason}"));
        let alternatives = terms::versions(text).map_err(wrong)?;
        Ok(Self {
            text: text.trim().to_owned(),
            alternatives,
        })
    }

    /// The highest of these tags. A pre-release counts only where the range names one of the same version.
    ///
    /// # Errors
    /// Which tags there are, where none matches.
    pub fn newest<'a>(&self, tags: &[&'a str]) -> Result<&'a str, String> {
        let matching = tags.iter().filter_map(|tag| {
            let version = version(tag)?;
            let fits = self.alternatives.iter().any(|range| range.matches(&version));
            fits.then_some((version, *tag))
        });
        matching.max().map(|(_, tag)| tag).ok_or_else(|| {
            let range = &self.text;
            match tags.iter().any(|tag| version(tag).is_some()) {
                _ if tags.is_empty() => format!("no tag for {range}: the repository has no tags"),
                true => format!("no tag is in the range {range} (tags: {})", newest_first(tags)),
                false => format!("no tag for {range}: none is a version (tags: {})", newest_first(tags)),
            }
        })
    }
}

/// Some of the tags, versions first and the highest before others.
pub(super) fn newest_first(tags: &[&str]) -> String {
    let mut tags: Vec<(Option<Version>, &str)> = tags.iter().map(|tag| (version(tag), *tag)).collect();
    tags.sort_by(|a, b| b.cmp(a));
    let names: Vec<&str> = tags.iter().map(|(_, tag)| *tag).collect();
    some_of(&names)
}

/// The first few names, and how many others there are.
pub(super) fn some_of(names: &[&str]) -> String {
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        others => format!("{shown} and {others} others"),
    }
}

/// The version that a tag names: `v1.2.3`, `1.2.3-rc.1`, and `v1` or `1.2` for those with zeros behind.
pub(super) fn version(tag: &str) -> Option<Version> {
    let text = tag.strip_prefix('v').unwrap_or(tag);
    let short = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let full = match text.matches('.').count() {
        0 if short => format!("{text}.0.0"),
        1 if short => format!("{text}.0"),
        _ => text.to_owned(),
    };
    Version::parse(&full).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_tag_of_the_range() {
        let tags = [
            "v1.0.0",
            "v1.9.0",
            "v1.10.0",
            "1.2.3",
            "v2.0.0-rc.1",
            "v2.0.0-rc.2",
            "v2.1.0-beta",
            "v3",
            "nightly",
            "v1.x",
        ];
        for (range, expected) in [
            ("1.x", Ok("v1.10.0")),
            ("1.2", Ok("v1.10.0")),
            ("~1.2", Ok("1.2.3")),
            (">=1.0.0 <1.9.0", Ok("1.2.3")),
            (">= 1.0.0, < 1.10", Ok("v1.9.0")),
            ("v1.0.0 || ^1.9", Ok("v1.10.0")),
            ("=v1.9.0", Ok("v1.9.0")),
            ("*", Ok("v3")),
            (">=2.0.0-rc.1 <2.1.0", Ok("v2.0.0-rc.2")),
            (
                "^2",
                Err(
                    "no tag is in the range ^2 (tags: v3, v2.1.0-beta, v2.0.0-rc.2, v2.0.0-rc.1, v1.10.0 and 5 others)",
                ),
            ),
        ] {
            let found = Range::parse(range).expect(range).newest(&tags);
            assert_eq!(found, expected.map_err(str::to_owned), "{range}");
        }
        let range = Range::parse("1").expect("a range");
        assert_eq!(
            range.newest(&[]),
            Err("no tag for 1: the repository has no tags".into())
        );
        assert_eq!(
            range.newest(&["x"]),
            Err("no tag for 1: none is a version (tags: x)".into())
        );
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "latest", "1.2.3.4", ">=1 <", "1.x ||"] {
            let error = Range::parse(text).map(|range| format!("{range:?}")).expect_err(text);
            assert!(error.to_string().contains("--semver"), "{error}");
        }
    }
}
