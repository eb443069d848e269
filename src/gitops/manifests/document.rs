//! A file's text into its documents, each with the line it starts at, so that one broken document hides no other.

use std::ops::Range;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

use super::value::Format;
use crate::gitops::report::Place;

/// A document's place in its file.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub path: Arc<str>,
    pub file: Arc<str>,
    pub range: Range<usize>,
    pub format: Format,
}

impl Document {
    /// The document's own text.
    pub fn text(&self) -> &str {
        &self.file[self.range.clone()]
    }

    /// The place of a byte of the document.
    pub fn place(&self, offset: usize) -> Place {
        let offset = floor_boundary(&self.file, self.range.start + offset);
        let before = &self.file[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            path: self.path.to_string(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The place of the first line that says something.
    pub fn start(&self) -> Place {
        let mut offset = 0;
        for line in self.text().split_inclusive('\n') {
            let content = line.strip_prefix("---").unwrap_or(line).trim_start();
            if !content.is_empty() && !content.starts_with(['#', '%']) {
                return self.place(offset + line.len() - content.len());
            }
            offset += line.len();
        }
        self.place(0)
    }

    /// The place of the field at the end of `path`, or of the last part of the path that stands in the text.
    pub fn locate(&self, path: &[Segment]) -> Place {
        let found = Cell::new(None);
        let seed = Locate {
            text: self.text(),
            path,
            found: &found,
        };
        // The text was read before; what matters here is only how far the path was followed.
        let followed = match self.format {
            Format::Yaml => seed
                .deserialize(serde_yaml::Deserializer::from_str(self.text()))
                .is_ok(),
            Format::Json => seed
                .deserialize(&mut serde_json::Deserializer::from_str(self.text()))
                .is_ok(),
        };
        tracing::trace!(followed, path = ?path, "looked a field up in its file");
        found.get().map_or_else(|| self.start(), |offset| self.place(offset))
    }
}

fn floor_boundary(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// Splits a YAML file at its document markers. Markers are markers even inside scalars, by YAML's own rule.
pub(super) fn split(path: &Arc<str>, file: &Arc<str>) -> Vec<Document> {
    let mut documents = Vec::new();
    let (mut start, mut offset) = (0, 0);
    let mut only_directives = true;
    for line in file.split_inclusive('\n') {
        let marker = line.trim_end_matches(['\r', '\n']);
        let is = |text: &str| {
            marker
                .strip_prefix(text)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        if is("---") && !only_directives {
            documents.push(start..offset);
            start = offset;
        }
        if is("...") {
            documents.push(start..offset + line.len());
            start = offset + line.len();
            only_directives = true;
        } else {
            let content = marker.trim_start();
            only_directives &= content.is_empty() || content.starts_with(['#', '%']);
        }
        offset += line.len();
    }
    documents.push(start..offset);
    documents
        .into_iter()
        .filter(|range| !range.is_empty())
        .map(|range| Document {
            path: Arc::clone(path),
            file: Arc::clone(file),
            range,
            format: Format::Yaml,
        })
        .collect()
}

/// A step of a path through a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

/// Follows a path and remembers where the last key it found stands.
struct Locate<'a, 'de> {
    text: &'de str,
    path: &'a [Segment],
    found: &'a Cell<Option<usize>>,
}

impl Locate<'_, '_> {
    fn note(&self, part: &str) {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        if offset <= self.text.len() {
            let quotes = usize::from(self.text[..offset].ends_with(['"', '\'']));
            self.found.set(Some(offset - quotes));
        }
    }
}

impl<'de> DeserializeSeed<'de> for Locate<'_, 'de> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path.first() {
            None => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ()),
            Some(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Locate<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the rest of the path")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let wanted = match self.path.first() {
            Some(Segment::Index(index)) => *index,
            _ => usize::MAX,
        };
        let mut index = 0;
        loop {
            let more = if index == wanted {
                access
                    .next_element_seed(Item {
                        locate: Locate {
                            text: self.text,
                            path: &self.path[1..],
                            found: self.found,
                        },
                    })?
                    .is_some()
            } else {
                access.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let wanted = match self.path.first() {
            Some(Segment::Key(key)) => Some(key.as_str()),
            _ => None,
        };
        while let Some(key) = access.next_key_seed(BorrowedKey)? {
            if wanted.is_some() && key == wanted {
                if let Some(key) = key {
                    self.note(key);
                }
                access.next_value_seed(Locate {
                    text: self.text,
                    path: &self.path[1..],
                    found: self.found,
                })?;
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A list's item: its own place is that of its first key or of its text.
struct Item<'a, 'de> {
    locate: Locate<'a, 'de>,
}

impl<'de> DeserializeSeed<'de> for Item<'_, 'de> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an item")
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<(), E> {
        self.locate.note(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<(), A::Error> {
        self.locate.visit_seq(access)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let wanted = match self.locate.path.first() {
            Some(Segment::Key(key)) => Some(key.as_str()),
            _ => None,
        };
        let mut first = true;
        while let Some(key) = access.next_key_seed(BorrowedKey)? {
            let hit = wanted.is_some() && key == wanted;
            if let Some(key) = key.filter(|_| first || hit) {
                self.locate.note(key);
            }
            first = false;
            if hit {
                access.next_value_seed(Locate {
                    text: self.locate.text,
                    path: &self.locate.path[1..],
                    found: self.locate.found,
                })?;
            } else {
                access.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A key as it stands in the text; None where it is escaped or no text.
struct BorrowedKey;

impl<'de> DeserializeSeed<'de> for BorrowedKey {
    type Value = Option<&'de str>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BorrowedKey {
    type Value = Option<&'de str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    fn visit_str<E: de::Error>(self, _value: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: de::Error>(self, _value: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: de::Error>(self, _value: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: de::Error>(self, _value: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: de::Error>(self, _value: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(text: &str) -> Vec<Document> {
        split(&Arc::from("a.yaml"), &Arc::from(text))
    }

    #[test]
    fn markers_split_and_nothing_else_does() {
        for (name, text, expected) in [
            ("one", "a: 1\n", vec!["a: 1\n"]),
            ("two", "a: 1\n---\nb: 2\n", vec!["a: 1\n", "---\nb: 2\n"]),
            (
                "leading marker",
                "---\na: 1\n---\nb: 2\n",
                vec!["---\na: 1\n", "---\nb: 2\n"],
            ),
            ("comment first", "# hi\n---\na: 1\n", vec!["# hi\n---\na: 1\n"]),
            (
                "directive",
                "%YAML 1.2\n---\na: 1\n...\n%YAML 1.2\n---\nb: 1",
                vec!["%YAML 1.2\n---\na: 1\n...\n", "%YAML 1.2\n---\nb: 1"],
            ),
            (
                "dashes in a value",
                "a: --- x\nb: '----'\n----: c\n",
                vec!["a: --- x\nb: '----'\n----: c\n"],
            ),
            ("indented in a block", "a: |\n  ---\n  x\n", vec!["a: |\n  ---\n  x\n"]),
            (
                "carriage returns",
                "a: 1\r\n---\r\nb: 2\r\n",
                vec!["a: 1\r\n", "---\r\nb: 2\r\n"],
            ),
            ("nothing", "", vec![]),
        ] {
            let found = documents(text);
            assert_eq!(found.iter().map(Document::text).collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn a_field_is_found_in_its_file() {
        let text = "# first\na: 1\n---\n# second\nspec:\n  containers:\n  - name: web\n    image: x\n  - name: side\n    env:\n    - {name: A, value: b}\n  \"odd key\": {x: ä, y: 1}\n";
        let second = &documents(text)[1];
        let key = |name: &str| Segment::Key(name.into());
        for (name, path, line, column) in [
            ("start", vec![], 5, 1),
            ("key", vec![key("spec")], 5, 1),
            ("item", vec![key("spec"), key("containers"), Segment::Index(1)], 9, 5),
            (
                "field of item",
                vec![key("spec"), key("containers"), Segment::Index(0), key("image")],
                8,
                5,
            ),
            (
                "flow",
                vec![
                    key("spec"),
                    key("containers"),
                    Segment::Index(1),
                    key("env"),
                    Segment::Index(0),
                    key("value"),
                ],
                11,
                17,
            ),
            (
                "not written",
                vec![key("spec"), key("containers"), Segment::Index(0), key("command")],
                7,
                5,
            ),
            (
                "quoted and after a wide character",
                vec![key("spec"), key("odd key"), key("y")],
                12,
                21,
            ),
        ] {
            let place = second.locate(&path);
            assert_eq!((place.line, place.column), (line, column), "{name}");
        }
    }
}
