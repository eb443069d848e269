//! One document's text into a value: positions kept, duplicate keys refused, expansion bounded. Knows no kinds.
//!
//! Scalars are read as `kubectl` reads them (YAML 1.1: `0644` is octal, `yes` is a boolean, `<<` merges), so that a
//! manifest means here what it means there.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Nodes a document may expand to. The largest object that an API server stores (1.5 MB) has far fewer; an alias bomb
/// reaches this within milliseconds.
const MAX_NODES: usize = 500_000;

/// Bytes of text a document may expand to, for the same reason.
const MAX_TEXT: usize = 16 << 20;

/// How deep `[` and `{` may nest. The parser takes time quadratic in this depth and refuses 128 levels in the end.
const MAX_NESTING: usize = 200;

/// What is wrong with a text, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextError {
    /// Byte offset, if known.
    pub offset: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// Which notation a text is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    Json,
}

/// Reads one document. `Value::Null` where it holds nothing but comments.
pub(super) fn parse(text: &str, format: Format) -> Result<Value, TextError> {
    let reader = Reader {
        text,
        format,
        nodes: Cell::new(0),
        bytes: Cell::new(0),
        found: RefCell::new(None),
    };
    if let Some(offset) = too_deep(text) {
        return Err(TextError {
            offset: Some(offset),
            reason: format!("brackets nest more than {MAX_NESTING} levels deep"),
        });
    }
    let (result, fallback) = match format {
        Format::Yaml => match (Node { reader: &reader }).deserialize(serde_yaml::Deserializer::from_str(text)) {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(yaml_error(text, &error))),
        },
        Format::Json => {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            match (Node { reader: &reader })
                .deserialize(&mut deserializer)
                .and_then(|value| deserializer.end().map(|()| value))
            {
                Ok(value) => (Some(value), None),
                Err(error) => (None, Some(json_error(text, &error))),
            }
        }
    };
    match (reader.found.into_inner(), result, fallback) {
        (Some(error), _, _) | (None, _, Some(error)) => Err(error),
        (None, Some(value), None) => Ok(value),
        (None, None, None) => Ok(Value::Null),
    }
}

/// Where brackets nest too deeply. Errs, if at all, only on texts with hundreds of unclosed brackets.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let (mut previous, mut significant) = (b'\n', b'\n');
    let mut escaped = false;
    for (offset, byte) in text.bytes().enumerate() {
        if let Some(open) = quote {
            if byte == open && !escaped {
                quote = None;
            }
            escaped = open == b'"' && byte == b'\\' && !escaped;
        } else {
            match byte {
                b'[' | b'{' if depth > 0 || previous.is_ascii_whitespace() => depth += 1,
                b']' | b'}' => depth = depth.saturating_sub(1),
                b'"' | b'\'' if depth > 0 && b"[{,:".contains(&significant) => quote = Some(byte),
                _ => {}
            }
            if depth > MAX_NESTING {
                return Some(offset);
            }
        }
        previous = byte;
        if !byte.is_ascii_whitespace() {
            significant = byte;
        }
    }
    None
}

/// The parser's message without its own line and column, which count from the document's start.
fn yaml_error(text: &str, error: &serde_yaml::Error) -> TextError {
    let full = error.to_string();
    let mut reason = full.split(" at line ").next().unwrap_or(&full).to_owned();
    if let Some(context) = full.split(", while ").nth(1) {
        let context = context.split(" at line ").next().unwrap_or(context);
        reason = format!("{reason}, while {context}");
    }
    let offset = error.location().map(|location| location.index().min(text.len()));
    if let Some(offset) = offset {
        let start = text
            .get(..offset)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |newline| newline + 1);
        let line = text
            .get(start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        let indentation = &line[..line.len() - line.trim_start().len()];
        if indentation.contains('\t') {
            return TextError {
                offset: Some(start + indentation.find('\t').unwrap_or(0)),
                reason: "the line is indented with a tab; YAML takes only spaces".into(),
            };
        }
    }
    // Of these the parser says only where they are in its buffer.
    let control = |&(_, character): &(usize, char)| character.is_control() && !character.is_whitespace();
    let offset = match reason.starts_with("control characters") {
        true => {
            reason = "control characters are not allowed".into();
            text.char_indices().find(control).map(|(offset, _)| offset)
        }
        false => offset,
    };
    TextError { offset, reason }
}

fn json_error(text: &str, error: &serde_json::Error) -> TextError {
    let full = error.to_string();
    let reason = full.split(" at line ").next().unwrap_or(&full).to_owned();
    let offset = text
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum::<usize>()
        + error.column().saturating_sub(1);
    TextError {
        offset: Some(offset.min(text.len())),
        reason,
    }
}

/// What all nodes of a document share.
struct Reader<'de> {
    text: &'de str,
    format: Format,
    nodes: Cell<usize>,
    bytes: Cell<usize>,
    /// An error whose place we know better than the parser does.
    found: RefCell<Option<TextError>>,
}

impl<'de> Reader<'de> {
    /// Where this part of the text begins.
    fn offset(&self, part: &str) -> Option<usize> {
        let offset = (part.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        (offset <= self.text.len()).then_some(offset)
    }

    fn fail<E: de::Error>(&self, offset: Option<usize>, reason: String) -> E {
        let error = E::custom(&reason);
        if offset.is_some() {
            *self.found.borrow_mut() = Some(TextError { offset, reason });
        }
        error
    }

    fn count<E: de::Error>(&self, bytes: usize) -> Result<(), E> {
        self.nodes.set(self.nodes.get() + 1);
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.nodes.get() > MAX_NODES || self.bytes.get() > MAX_TEXT {
            return Err(E::custom(
                "the document expands to more than an object can hold (aliases that repeat one another?)",
            ));
        }
        Ok(())
    }

    /// Whether this scalar stands in the text without quotes or a tag. Quoted scalars are preceded by their quote.
    fn is_plain(&self, scalar: &'de str) -> bool {
        self.format == Format::Yaml
            && self.offset(scalar).is_some_and(|offset| {
                let before = &self.text[..offset];
                !before.ends_with(['"', '\'']) && !before.trim_end().ends_with("!!str")
            })
    }

    /// A scalar that the YAML 1.2 parser took for text and YAML 1.1 does not.
    fn plain_scalar(&self, scalar: &'de str) -> Option<Value> {
        let candidate = match scalar {
            "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
            "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
            _ => {
                let digits = scalar.strip_prefix('0')?;
                if digits.is_empty() || !digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
                    return None;
                }
                Value::from(u64::from_str_radix(digits, 8).ok()?)
            }
        };
        self.is_plain(scalar).then_some(candidate)
    }
}

struct Node<'a, 'de> {
    reader: &'a Reader<'de>,
}

impl<'de> DeserializeSeed<'de> for Node<'_, 'de> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, 'de> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value without YAML tags")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        self.reader.count(0)?;
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        self.reader.count(0)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        self.reader.count(0)?;
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        self.reader.count(0)?;
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        self.reader.count(0)?;
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("infinity and not-a-number cannot be written in JSON"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.reader.count(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<Value, E> {
        match self.reader.plain_scalar(value) {
            Some(scalar) => {
                self.reader.count(0)?;
                Ok(scalar)
            }
            None => self.visit_str(value),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.reader.count(0)?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Node { reader: self.reader })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.reader.count(0)?;
        let mut fields = Map::new();
        let mut merged = Vec::new();
        while let Some(key) = access.next_key_seed(KeySeed { reader: self.reader })? {
            let value = access.next_value_seed(Node { reader: self.reader })?;
            if key.merge {
                merged.push((key.offset, value));
            } else if fields.insert(key.text.clone(), value).is_some() {
                return Err(self
                    .reader
                    .fail(key.offset, format!("the key {:?} stands here twice", key.text)));
            }
        }
        for (offset, value) in merged {
            self.merge(offset, value, &mut fields)?;
        }
        Ok(Value::Object(fields))
    }
}

impl Node<'_, '_> {
    /// `<<: *other` gives the fields of the other mapping (or mappings) that are not written here.
    fn merge<E: de::Error>(
        &self,
        offset: Option<usize>,
        value: Value,
        fields: &mut Map<String, Value>,
    ) -> Result<(), E> {
        let sources = match value {
            Value::Array(sources) => sources,
            single => vec![single],
        };
        for source in sources {
            let Value::Object(source) = source else {
                return Err(self
                    .reader
                    .fail(offset, "`<<` takes a mapping or a list of mappings".into()));
            };
            for (name, value) in source {
                fields.entry(name).or_insert(value);
            }
        }
        Ok(())
    }
}

/// A mapping's key as text, the way `kubectl` turns YAML keys into JSON ones.
struct Key {
    text: String,
    offset: Option<usize>,
    merge: bool,
}

struct KeySeed<'a, 'de> {
    reader: &'a Reader<'de>,
}

impl KeySeed<'_, '_> {
    fn key<E: de::Error>(&self, text: String, offset: Option<usize>, merge: bool) -> Result<Key, E> {
        self.reader.count(text.len())?;
        Ok(Key { text, offset, merge })
    }
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, 'de> {
    type Value = Key;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_, 'de> {
    type Value = Key;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text as key")
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<Key, E> {
        let offset = self.reader.offset(value);
        let merge = value == "<<" && self.reader.is_plain(value);
        self.key(value.to_owned(), offset, merge)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Key, E> {
        self.key(value.to_owned(), None, false)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Key, E> {
        self.key(value.to_string(), None, false)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Key, E> {
        self.key(value.to_string(), None, false)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Key, E> {
        self.key(value.to_string(), None, false)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Key, E> {
        self.key(value.to_string(), None, false)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn yaml(text: &str) -> Result<Value, TextError> {
        parse(text, Format::Yaml)
    }

    #[test]
    fn scalars_mean_what_kubectl_takes_them_for() {
        for (name, text, value) in [
            ("octal", "mode: 0644", json!({"mode": 420})),
            ("quoted digits", "mode: \"0644\"", json!({"mode": "0644"})),
            ("single quoted digits", "mode: '0644'", json!({"mode": "0644"})),
            ("tagged digits", "mode: !!str 0644", json!({"mode": "0644"})),
            ("not octal", "mode: 0849", json!({"mode": "0849"})),
            (
                "yes",
                "a: yes\nb: \"yes\"\nc: [no, Off]",
                json!({"a": true, "b": "yes", "c": [false, false]}),
            ),
            (
                "numbers",
                "a: 1\nb: -2\nc: 1.5\nd: 0x10",
                json!({"a": 1, "b": -2, "c": 1.5, "d": 16}),
            ),
            ("null", "a:\nb: ~\nc: null", json!({"a": null, "b": null, "c": null})),
            ("number as key", "1: a\ntrue: b", json!({"1": "a", "true": "b"})),
            ("block", "a: |\n  0644\n", json!({"a": "0644\n"})),
            ("version", "a: 1.20.2", json!({"a": "1.20.2"})),
            ("nothing", "# only a comment\n", json!(null)),
            ("nothing after a marker", "---\n# only a comment\n", json!(null)),
            (
                "merge",
                "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3",
                json!({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
            ),
        ] {
            assert_eq!(yaml(text), Ok(value), "{name}");
        }
    }

    #[test]
    fn errors_point_at_their_place() {
        for (name, text, at, part) in [
            ("duplicate key", "a: 1\nb: 2\na: 3\n", "a: 3", "twice"),
            ("nested duplicate", "x:\n  a: 1\n  a: 2\n", "a: 2", "twice"),
            ("tab", "a:\n\tb: 1\n", "\tb", "tab"),
            ("unknown alias", "a: *b\n", "*b", "anchor"),
            (
                "control character",
                "a: 1\nb: \"\u{0}\"\n",
                "\u{0}",
                "control characters",
            ),
            ("broken mapping", "a: 1\n b: 2\n", ": 2", "mapping"),
        ] {
            let error = yaml(text).expect_err(name);
            let offset = error.offset.expect(name);
            assert!(text[offset..].starts_with(at), "{name}: {error:?}");
            assert!(error.reason.contains(part), "{name}: {error:?}");
            assert!(!error.reason.contains(" at line"), "{name}: {error:?}");
        }
        let error = parse("{\"a\": 1,\n \"a\": 2}", Format::Json).expect_err("duplicate");
        assert_eq!(error.offset, Some(11));
    }

    #[test]
    fn an_alias_bomb_is_refused_quickly() {
        let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for level in 1..10 {
            let below = level - 1;
            text += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{below}"); 9].join(", "));
        }
        let started = std::time::Instant::now();
        yaml(&text).expect_err("refused");
        // What it stands for would take centuries; a busy machine takes a while for the rest.
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    }

    #[test]
    fn deep_nesting_is_refused_quickly() {
        let started = std::time::Instant::now();
        for text in ["[".repeat(200_000), "{a: ".repeat(50_000), "- ".repeat(100_000)] {
            yaml(&text).expect_err("refused");
        }
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    }

    #[test]
    fn an_unknown_tag_is_an_error() {
        yaml("a: !secret b\n").expect_err("refused");
    }
}
