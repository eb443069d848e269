//! Field selectors: `metadata.name=a,spec.nodeName!=b`. Knows nothing of which fields a kind has.

use std::fmt;

use super::SelectorError;

/// A field selector: all `path=value` / `path!=value` terms must hold. Empty matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// Path, whether it must equal, value.
    pub terms: Vec<(String, bool, String)>,
}

impl FieldSelector {
    /// Reads `metadata.name=a,spec.nodeName!=b`; `=` and `==` are the same, a backslash escapes `,`, `=` and itself.
    ///
    /// # Errors
    /// Where the text is no selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            let (path, equal, value) = split_term(part)
                .ok_or_else(|| SelectorError(format!("invalid selector: '{text}'; can't understand '{part}'")))?;
            terms.push((path.to_owned(), equal, unescape(value)?));
        }
        Ok(Self { terms })
    }

    /// Whether these fields satisfy it; a path that is not among them satisfies nothing.
    pub fn matches(&self, fields: &[(&'static str, String)]) -> bool {
        self.terms.iter().all(|(path, equal, value)| {
            fields
                .iter()
                .any(|(name, actual)| name == path && (actual == value) == *equal)
        })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that `path` must have, where it selects a single one.
    pub fn exactly(&self, path: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|(name, equal, _)| *equal && name == path)
            .map(|(_, _, value)| value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (path, equal, value)) in self.terms.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let operator = if *equal { "=" } else { "!=" };
            write!(formatter, "{comma}{path}{operator}{}", escape(value))?;
        }
        Ok(())
    }
}

/// At the commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// At the first operator.
fn split_term(part: &str) -> Option<(&str, bool, &str)> {
    part.char_indices().find_map(|(index, _)| {
        let rest = &part[index..];
        [("!=", false), ("==", true), ("=", true)]
            .into_iter()
            .find_map(|(operator, equal)| rest.strip_prefix(operator).map(|value| (&part[..index], equal, value)))
    })
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => text.push(escaped),
                other => {
                    let sequence: String = ['\\'].into_iter().chain(other).collect();
                    return Err(SelectorError(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    )));
                }
            },
            ',' | '=' => {
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {character}"
                )));
            }
            other => text.push(other),
        }
    }
    Ok(text)
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for (text, terms, printed) in [
            ("", vec![], ""),
            ("a=b", vec![("a", true, "b")], "a=b"),
            ("a==b,c!=d", vec![("a", true, "b"), ("c", false, "d")], "a=b,c!=d"),
            ("a=", vec![("a", true, "")], "a="),
            (
                "a=x\\,y\\=z\\\\,b=1",
                vec![("a", true, "x,y=z\\"), ("b", true, "1")],
                "a=x\\,y\\=z\\\\,b=1",
            ),
            (",a=b,", vec![("a", true, "b")], "a=b"),
        ] {
            let selector = FieldSelector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let wanted: Vec<_> = terms
                .into_iter()
                .map(|(path, equal, value)| (path.to_owned(), equal, value.to_owned()))
                .collect();
            assert_eq!(selector.terms, wanted, "{text}");
            assert_eq!(selector.to_string(), printed, "{text}");
        }
        for (text, wanted) in [
            ("a", "can't understand 'a'"),
            ("a=b,c", "can't understand 'c'"),
            ("a=b=c", "unescaped character"),
            ("a=\\x", "invalid escape sequence: \\x"),
            ("a=\\", "invalid escape sequence"),
        ] {
            let error = FieldSelector::parse(text).expect_err(text).0;
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn matches_known_fields_only() {
        let fields = [("metadata.name", "web".to_owned()), ("spec.nodeName", String::new())];
        for (text, wanted) in [
            ("", true),
            ("metadata.name=web", true),
            ("metadata.name=db", false),
            ("metadata.name!=db,spec.nodeName=", true),
            ("spec.nodeName!=", false),
            ("spec.other!=x", false),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap().matches(&fields), wanted, "{text}");
        }
    }
}
