//! Lists at one revision: selectors, pages, continue tokens. Never knows HTTP bodies.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::super::select::Matcher;
use crate::apiserver::error::ApiError;
use crate::apiserver::record;
use crate::apiserver::request::Query;
use crate::apiserver::server::Server;
use crate::object::Kind;
use crate::store::{KeyValue, ListOptions, Page, Revision, StoreError};

/// How many keys are read at a time while a selector passes over them looking for matches.
const SCAN_PAGE: usize = 500;

/// What a client asks of a list.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The most items; 0 is all.
    pub limit: usize,
    start: Start,
}

/// Where and when a list begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Start {
    /// At the newest revision.
    #[default]
    Newest,
    /// At the newest, which must be this or later.
    NotOlderThan(Revision),
    /// At exactly this revision.
    Exactly(Revision),
    /// Behind a key, at a revision (`None` is the newest: an inconsistent continuation).
    Behind { after: String, at: Option<Revision> },
}

/// The items of a page, and what a client needs for the next.
#[derive(Debug)]
pub struct Listing {
    /// Those that match.
    pub items: Vec<KeyValue>,
    /// The revision of the list.
    pub revision: Revision,
    /// Opaque, for the next page.
    pub continue_token: Option<String>,
    /// How many items are left, where that is known.
    pub remaining: Option<u64>,
}

/// A resourceVersion parameter.
///
/// # Errors
/// 400 where it is no number.
pub fn version_parameter(query: &Query) -> Result<Option<Revision>, ApiError> {
    match query.get("resourceVersion") {
        None => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| ApiError::BadRequest(format!("resourceVersion: Invalid value: {text:?}: must be a number"))),
    }
}

impl Wanted {
    /// Reads `limit`, `continue`, `resourceVersion` and `resourceVersionMatch`.
    ///
    /// # Errors
    /// 400 where they contradict each other.
    pub fn read(query: &Query) -> Result<Self, ApiError> {
        let bad = |reason: &str| Err(ApiError::BadRequest(reason.to_owned()));
        let limit = query.number::<usize>("limit")?.unwrap_or(0);
        let version = version_parameter(query)?;
        let rule = query.get("resourceVersionMatch");
        if let Some(token) = query.get("continue") {
            if rule.is_some() {
                return bad(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
                );
            }
            if version.is_some_and(|version| version != 0) {
                return bad("specifying resource version is not allowed when using continue");
            }
            return Ok(Self {
                limit,
                start: read_token(token)?,
            });
        }
        let start = match (rule, version) {
            (Some(_), None) => {
                return bad(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
                );
            }
            (Some("Exact"), Some(0)) => {
                return bad(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                );
            }
            (Some("Exact"), Some(version)) => Start::Exactly(version),
            (None, Some(version)) if limit > 0 && version > 0 => Start::Exactly(version),
            (None | Some("NotOlderThan"), Some(0)) | (None, None) => Start::Newest,
            (None | Some("NotOlderThan"), Some(version)) => Start::NotOlderThan(version),
            (Some(_), Some(_)) => {
                return bad("resourceVersionMatch: Unsupported value: supported values: \"Exact\", \"NotOlderThan\"");
            }
        };
        Ok(Self { limit, start })
    }
}

/// A token for what lies behind `after` (relative to the list's prefix).
fn make_token(after: &str, at: Option<Revision>) -> String {
    URL_SAFE_NO_PAD.encode(json!({"v": 1, "rv": at.unwrap_or(0), "after": after}).to_string())
}

fn read_token(token: &str) -> Result<Start, ApiError> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let at = value.get("rv")?.as_u64()?;
        let after = value.get("after")?.as_str()?.to_owned();
        (value.get("v")? == 1).then_some(Start::Behind {
            after,
            at: (at > 0).then_some(at),
        })
    };
    read()
        .ok_or_else(|| ApiError::BadRequest("continue key is not valid: it does not come from this server".to_owned()))
}

/// Lists what matches.
///
/// # Errors
/// 410 where the revision asked for is gone, with a token to go on without it; 504 where it lies ahead.
pub async fn list(
    server: &Server,
    kind: &Kind,
    namespace: Option<&str>,
    matcher: &Matcher,
    wanted: &Wanted,
) -> Result<Listing, ApiError> {
    let prefix = record::prefix(kind, namespace);
    let at = check_revision(server, &wanted.start).await?;
    if let (Some(name), Start::Newest | Start::NotOlderThan(_), true) =
        (matcher.name(), &wanted.start, namespace.is_some() || !kind.namespaced)
    {
        return list_one(server, &record::key(kind, namespace, name), matcher).await;
    }
    let mut after = match &wanted.start {
        Start::Behind { after, .. } => Some(format!("{prefix}{after}")),
        _ => None,
    };
    let mut items: Vec<KeyValue> = Vec::new();
    let mut revision = at;
    loop {
        let room = if wanted.limit == 0 {
            0
        } else {
            wanted.limit - items.len()
        };
        let limit = if matcher.is_everything() || wanted.limit == 0 {
            room
        } else {
            SCAN_PAGE
        };
        let options = ListOptions {
            after: after.clone(),
            limit,
            at: revision,
        };
        let page = server
            .store
            .list(&prefix, options)
            .await
            .map_err(|error| expired(error, &prefix, after.as_deref()))?;
        revision = Some(page.revision);
        after = page.items.last().map(|pair| pair.key.clone());
        let full = take_matching(page, matcher, wanted.limit, &mut items)?;
        let (cut, left) = (full.cut, full.left);
        if cut || left == 0 {
            let last = items
                .last()
                .filter(|_| left > 0)
                .map(|pair| pair.key[prefix.len()..].to_owned());
            return Ok(Listing {
                continue_token: last.map(|last| make_token(&last, revision)),
                remaining: (left > 0 && matcher.is_everything()).then_some(left),
                items,
                revision: revision.unwrap_or_default(),
            });
        }
    }
}

struct Taken {
    /// The limit was reached.
    cut: bool,
    /// Keys behind the last item taken.
    left: u64,
}

/// Moves what matches into `items`, up to `limit`.
fn take_matching(page: Page, matcher: &Matcher, limit: usize, items: &mut Vec<KeyValue>) -> Result<Taken, ApiError> {
    let mut left = page.items.len() as u64 + page.remaining;
    for pair in page.items {
        left -= 1;
        if matcher.is_everything() || matcher.matches(&pair)? {
            items.push(pair);
            if limit > 0 && items.len() == limit {
                return Ok(Taken { cut: true, left });
            }
        }
    }
    Ok(Taken { cut: false, left })
}

/// A list of at most one object, which a field selector names: no need to pass over all.
async fn list_one(server: &Server, key: &str, matcher: &Matcher) -> Result<Listing, ApiError> {
    let (pair, revision) = server.store.get(key).await?;
    let mut items = Vec::new();
    if let Some(pair) = pair
        && matcher.matches(&pair)?
    {
        items.push(pair);
    }
    Ok(Listing {
        items,
        revision,
        continue_token: None,
        remaining: None,
    })
}

/// The revision to read at, once it is known to exist.
async fn check_revision(server: &Server, start: &Start) -> Result<Option<Revision>, ApiError> {
    match start {
        Start::Newest => Ok(None),
        Start::Exactly(revision) => Ok(Some(*revision)),
        Start::Behind { at, .. } => Ok(*at),
        Start::NotOlderThan(requested) => {
            let current = server.store.revision().await?;
            if *requested > current {
                Err(ApiError::FutureVersion {
                    requested: *requested,
                    current,
                })
            } else {
                Ok(None)
            }
        }
    }
}

/// 410 for a list whose revision is gone; where it was a continuation, with a token that goes on at the newest revision.
fn expired(error: StoreError, prefix: &str, after: Option<&str>) -> ApiError {
    match (error, after) {
        (StoreError::Compacted { .. }, Some(after)) => ApiError::Expired {
            message: "The continue token is too old: that version of the list is no longer kept. Start a new list without it, \
                      or go on with the token in this answer, which continues with the newest version and so is not consistent \
                      with the pages before."
                .to_owned(),
            continue_token: Some(make_token(after.strip_prefix(prefix).unwrap_or_default(), None)),
        },
        (StoreError::Compacted { .. }, None) => {
            ApiError::Expired { message: "The resourceVersion for the provided list is too old.".to_owned(), continue_token: None }
        }
        (error, _) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> Result<Wanted, ApiError> {
        Wanted::read(&Query::parse(&format!("/x?{query}").parse().expect("a uri"))?)
    }

    #[test]
    fn where_a_list_starts() {
        let cases = [
            ("", Start::Newest),
            ("resourceVersion=0", Start::Newest),
            ("resourceVersion=0&resourceVersionMatch=NotOlderThan", Start::Newest),
            ("resourceVersion=7", Start::NotOlderThan(7)),
            (
                "resourceVersion=7&resourceVersionMatch=NotOlderThan&limit=5",
                Start::NotOlderThan(7),
            ),
            ("resourceVersion=7&limit=5", Start::Exactly(7)),
            ("resourceVersion=7&resourceVersionMatch=Exact", Start::Exactly(7)),
            (
                &format!("continue={}", make_token("a/b", Some(9))),
                Start::Behind {
                    after: "a/b".into(),
                    at: Some(9),
                },
            ),
            (
                &format!("continue={}", make_token("a/b", None)),
                Start::Behind {
                    after: "a/b".into(),
                    at: None,
                },
            ),
        ];
        for (query, start) in cases {
            assert_eq!(wanted(query).expect(query).start, start, "{query}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let token = make_token("a", Some(9));
        for query in [
            "resourceVersion=x".to_owned(),
            "resourceVersionMatch=Exact".to_owned(),
            "resourceVersion=0&resourceVersionMatch=Exact".to_owned(),
            "resourceVersion=5&resourceVersionMatch=Nope".to_owned(),
            "continue=nonsense".to_owned(),
            format!("continue={token}&resourceVersion=5"),
            format!("continue={token}&resourceVersionMatch=NotOlderThan"),
            "limit=-1".to_owned(),
        ] {
            assert!(wanted(&query).is_err(), "{query}");
        }
    }
}
