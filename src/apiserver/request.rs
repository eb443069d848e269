//! Takes a request's path and query apart: which kind, namespace, name, subresource, and which verb. Never answers.

use axum::extract::Query as AxumQuery;
use http::{Method, Uri};

use super::error::ApiError;
use crate::object::Kind;

/// What a path names.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The kind's row.
    pub kind: &'static Kind,
    /// The namespace; `None` for cluster-wide kinds and for lists over all namespaces.
    pub namespace: Option<&'a str>,
    /// The object's name; `None` for the collection.
    pub name: Option<&'a str>,
    /// e.g. `status`, `log`.
    pub subresource: Option<&'a str>,
}

/// What is to be done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Follow changes.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change parts of one.
    Patch,
    /// Remove one.
    Delete,
    /// Remove all that match.
    DeleteCollection,
}

impl Verb {
    /// As discovery and authorization texts call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// What that method does to that target.
    ///
    /// # Errors
    /// 405 where it does nothing.
    pub fn of(method: &Method, target: &Target<'_>, query: &Query) -> Result<Self, ApiError> {
        let one = target.name.is_some();
        let verb = match *method {
            Method::GET | Method::HEAD if query.flag("watch") && target.subresource.is_none() => Self::Watch,
            Method::GET | Method::HEAD if one => Self::Get,
            Method::GET | Method::HEAD => Self::List,
            Method::POST => Self::Create,
            Method::PUT if one => Self::Update,
            Method::PATCH if one => Self::Patch,
            Method::DELETE if one => Self::Delete,
            Method::DELETE => Self::DeleteCollection,
            _ => return Err(ApiError::MethodNotAllowed),
        };
        Ok(verb)
    }
}

/// The path's segments behind the group and version, percent-decoded.
pub struct Path {
    group: String,
    version: String,
    segments: Vec<String>,
}

impl Path {
    /// Takes `/api/v1/…` or `/apis/GROUP/VERSION/…` apart; `None` for other paths.
    pub fn parse(path: &str) -> Option<Self> {
        let mut segments = path
            .trim_matches('/')
            .split('/')
            .map(decode_segment)
            .collect::<Option<Vec<_>>>()?
            .into_iter();
        let (group, version) = match segments.next()?.as_str() {
            "api" => (String::new(), segments.next()?),
            "apis" => (segments.next()?, segments.next()?),
            _ => return None,
        };
        Some(Self {
            group,
            version,
            segments: segments.collect(),
        })
    }

    /// Whether this is the collection of that resource, over no namespace.
    pub fn is_collection(&self, group: &str, version: &str, plural: &str) -> bool {
        self.group == group && self.version == version && self.segments == [plural]
    }

    /// What the segments name.
    ///
    /// # Errors
    /// 404 where nothing is served there.
    pub fn target(&self) -> Result<Target<'_>, ApiError> {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        let (namespace, rest) = match segments.as_slice() {
            // `finalize` and `status` are subresources of a namespace, everything else a resource inside it.
            ["namespaces", _, "finalize" | "status"] => (None, segments.as_slice()),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some(*name), None),
            [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
            _ => return Err(ApiError::NoSuchPath),
        };
        let kind = Kind::find(&self.group, &self.version, plural).ok_or(ApiError::NoSuchPath)?;
        let scoped_right = match (kind.namespaced, namespace) {
            (true, None) => name.is_none(),
            (false, Some(_)) => false,
            _ => true,
        };
        let named_right = [namespace, name]
            .into_iter()
            .flatten()
            .all(|text| !text.is_empty() && !text.contains('/'));
        if !scoped_right || !named_right {
            return Err(ApiError::NoSuchPath);
        }
        Ok(Target {
            kind,
            namespace,
            name,
            subresource,
        })
    }
}

/// Undoes percent-encoding; `None` where it is broken or not UTF-8.
fn decode_segment(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The query's parameters.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads them from a URI.
    ///
    /// # Errors
    /// 400 where they cannot be decoded.
    pub fn parse(uri: &Uri) -> Result<Self, ApiError> {
        AxumQuery::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|AxumQuery(pairs)| Self(pairs))
            .map_err(|error| ApiError::BadRequest(format!("the query cannot be read: {error}")))
    }

    /// The first value of a parameter; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Whether a boolean parameter is set.
    pub fn flag(&self, name: &str) -> bool {
        // Kubernetes reads `?watch` and `?watch=` as true as well.
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .is_some_and(|(_, value)| !matches!(value.as_str(), "false" | "0"))
    }

    /// A number.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.get(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| ApiError::BadRequest(format!("invalid value for {name}: {text:?} is not a number")))
            })
            .transpose()
    }

    /// Whether the request is only a rehearsal.
    ///
    /// # Errors
    /// 400 for anything but `All`.
    pub fn dry_run(&self) -> Result<bool, ApiError> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(ApiError::BadRequest(format!(
                "dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_percent_decoded_and_broken_ones_refused() {
        for (text, decoded) in [
            ("a%20b", Some("a b")),
            ("plain", Some("plain")),
            ("%zz", None),
            ("%4", None),
            ("%ff", None),
        ] {
            assert_eq!(decode_segment(text).as_deref(), decoded, "{text}");
        }
    }

    #[test]
    fn flags_and_numbers() {
        let uri: Uri = "/x?watch&limit=5&bad=x&allow=false&empty=".parse().expect("a uri");
        let query = Query::parse(&uri).expect("a query");
        assert!(query.flag("watch") && !query.flag("allow") && !query.flag("missing"));
        assert_eq!(query.number::<usize>("limit").expect("a number"), Some(5));
        assert!(query.number::<usize>("bad").is_err());
        assert_eq!(query.get("empty"), None);
    }
}
