//! Where a watch starts, from its parameters. Never reads the store.

use crate::apiserver::error::ApiError;
use crate::apiserver::registry::list::version_parameter;
use crate::apiserver::request::Query;
use crate::store::Revision;

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is there now (at least as new as that), then live.
    Now {
        /// The oldest state to begin with.
        at_least: Revision,
        /// Whether a bookmark marks the end of the initial events.
        marked: bool,
    },
    /// With the events after a revision.
    After(Revision),
}

impl Start {
    /// Reads `resourceVersion`, `resourceVersionMatch` and `sendInitialEvents`.
    ///
    /// # Errors
    /// 400 where they contradict each other.
    pub fn read(query: &Query) -> Result<Self, ApiError> {
        let version = version_parameter(query)?.unwrap_or(0);
        let rule = query.get("resourceVersionMatch");
        let bad = |reason: &str| Err(ApiError::BadRequest(reason.to_owned()));
        match query.get("sendInitialEvents") {
            None if rule.is_some() => bad(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
            None if version == 0 => Ok(Self::Now {
                at_least: 0,
                marked: false,
            }),
            None => Ok(Self::After(version)),
            Some(_) if rule != Some("NotOlderThan") => bad(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ),
            Some(_) if query.flag("sendInitialEvents") => Ok(Self::Now {
                at_least: version,
                marked: true,
            }),
            Some(_) => Ok(Self::After(version)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(query: &str) -> Result<Start, ApiError> {
        Start::read(&Query::parse(&format!("/x?{query}").parse().expect("a uri"))?)
    }

    #[test]
    fn where_a_watch_starts() {
        let now = |at_least, marked| Start::Now { at_least, marked };
        let cases = [
            ("", now(0, false)),
            ("resourceVersion=0", now(0, false)),
            ("resourceVersion=5", Start::After(5)),
            ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", now(0, true)),
            (
                "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=9",
                now(9, true),
            ),
            (
                "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=9",
                Start::After(9),
            ),
        ];
        for (query, expected) in cases {
            assert_eq!(start(query).expect(query), expected, "{query}");
        }
        for query in [
            "resourceVersion=x",
            "resourceVersionMatch=NotOlderThan",
            "sendInitialEvents=true",
        ] {
            assert!(start(query).is_err(), "{query}");
        }
    }
}
