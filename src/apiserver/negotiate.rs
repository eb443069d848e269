//! Which shape of an answer a client accepts. Never makes the answer.

use http::{HeaderMap, header};

use super::error::ApiError;

/// How an answer is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The object itself.
    Object,
    /// A `Table` of that version of `meta.k8s.io`.
    Table(&'static str),
    /// Only metadata, of that version of `meta.k8s.io`.
    Partial(&'static str),
}

/// How much of the object a table's rows carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads `includeObject`.
    pub fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        match text {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(ApiError::BadRequest(format!("invalid includeObject: {other:?}"))),
        }
    }
}

/// One media type of an Accept header.
pub struct Clause<'a> {
    /// e.g. `application/json`.
    pub media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Clause<'_> {
    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    /// Whether JSON satisfies it.
    pub fn takes_json(&self) -> bool {
        matches!(self.media, "application/json" | "application/*" | "*/*")
    }
}

/// The Accept header's media types, in order; without a header everything is accepted.
pub fn accepted(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|clause| !clause.trim().is_empty())
        .map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            Clause {
                media: parts.next().unwrap_or_default(),
                parameters: parts.filter_map(|part| part.split_once('=')).collect(),
            }
        })
        .collect();
    if clauses.is_empty() {
        clauses.push(Clause {
            media: "*/*",
            parameters: Vec::new(),
        });
    }
    clauses
}

/// The first shape that the client accepts and that can be made; `list` for lists and watches of them.
///
/// # Errors
/// 406 where there is none.
pub fn shape(headers: &HeaderMap) -> Result<Shape, ApiError> {
    accepted(headers)
        .iter()
        .filter(|clause| clause.takes_json())
        .find_map(clause_shape)
        .ok_or(ApiError::NotAcceptable)
}

fn clause_shape(clause: &Clause<'_>) -> Option<Shape> {
    let Some(wanted) = clause.parameter("as") else {
        return Some(Shape::Object);
    };
    if clause.parameter("g") != Some("meta.k8s.io") {
        return None;
    }
    let version = match clause.parameter("v") {
        Some("v1") => "v1",
        Some("v1beta1") => "v1beta1",
        _ => return None,
    };
    match wanted {
        "Table" => Some(Shape::Table(version)),
        "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Shape::Partial(version)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_possible_shape_wins() {
        let cases: [(&str, Option<Shape>); 8] = [
            ("application/json", Some(Shape::Object)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Some(Shape::Table("v1")),
            ),
            (
                "application/json;as=Table;v=v9;g=meta.k8s.io,application/json",
                Some(Shape::Object),
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Some(Shape::Partial("v1")),
            ),
            ("application/vnd.kubernetes.protobuf", None),
            (
                "application/vnd.kubernetes.protobuf, application/json",
                Some(Shape::Object),
            ),
            ("text/html, */*;q=0.8", Some(Shape::Object)),
            ("application/json;as=Nope;v=v1;g=meta.k8s.io", None),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            assert_eq!(shape(&headers).ok(), expected, "{accept}");
        }
        assert_eq!(shape(&HeaderMap::new()).ok(), Some(Shape::Object));
    }
}
