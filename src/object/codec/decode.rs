//! A serde deserializer over JSON that knows where it is. Never drops an unknown field silently.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use serde_json::{Map, Value};

use crate::object::quantity::Quantity;

/// Where the reader stands and what it met that no type has a field for.
#[derive(Default)]
pub(super) struct Tracker {
    path: RefCell<String>,
    unknown: RefCell<Vec<String>>,
}

impl Tracker {
    pub(super) fn into_unknown(self) -> Vec<String> {
        self.unknown.into_inner()
    }

    /// The error with the path at which reading stopped.
    pub(super) fn explain(&self, error: &Failure) -> String {
        let path = self.path.borrow();
        match error {
            Failure::Type { found, wanted } if path.is_empty() => {
                format!("json: cannot unmarshal {found} into an object of type {wanted}")
            }
            Failure::Type { found, wanted } => {
                format!("json: cannot unmarshal {found} into field {path} of type {wanted}")
            }
            Failure::Other(text) if path.is_empty() => text.clone(),
            Failure::Other(text) => format!("{path}: {text}"),
        }
    }

    /// Steps into a field or map entry; returns how to step out. On failure nobody steps out, which keeps the path.
    fn enter_key(&self, key: &str) -> usize {
        let mut path = self.path.borrow_mut();
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        length
    }

    fn enter_index(&self, index: usize) -> usize {
        use fmt::Write as _;
        let mut path = self.path.borrow_mut();
        let length = path.len();
        write!(path, "[{index}]").expect("writing to a string cannot fail");
        length
    }

    fn leave(&self, length: usize) {
        self.path.borrow_mut().truncate(length);
    }

    fn note_unknown(&self, key: &str) {
        let length = self.enter_key(key);
        self.unknown.borrow_mut().push(self.path.borrow().clone());
        self.leave(length);
    }
}

/// Why a value cannot be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// JSON of one type where another is wanted.
    Type { found: String, wanted: String },
    /// Anything else, e.g. a malformed time.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { found, wanted } => write!(formatter, "cannot unmarshal {found} into {wanted}"),
            Self::Other(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }
}

/// Reads one value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'de, 't> {
    value: &'de Value,
    tracker: &'t Tracker,
}

impl<'de, 't> Reader<'de, 't> {
    pub(super) fn new(value: &'de Value, tracker: &'t Tracker) -> Self {
        Self { value, tracker }
    }

    fn mismatch(&self, wanted: &str) -> Failure {
        let found = match self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if wanted.starts_with("int") => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        Failure::Type {
            found,
            wanted: wanted.to_owned(),
        }
    }

    fn integer<N: TryFrom<i64>>(&self, wanted: &str) -> Result<N, Failure> {
        match self.value {
            Value::Null => Some(0),
            Value::Number(number) => number.as_i64(),
            _ => None,
        }
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| self.mismatch(wanted))
    }

    fn text(&self) -> Result<&'de str, Failure> {
        match self.value {
            Value::String(text) => Ok(text),
            Value::Null => Ok(""),
            _ => Err(self.mismatch("string")),
        }
    }

    /// The canonical text of a quantity, which may be written as a number.
    fn quantity(&self) -> Result<String, Failure> {
        let text = match self.value {
            Value::Null => return Ok("0".to_owned()),
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(self.mismatch("Quantity")),
        };
        match text.parse::<Quantity>() {
            Ok(quantity) => Ok(quantity.to_string()),
            Err(error) => Err(Failure::Other(error.to_string())),
        }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty = $name:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            visitor.$visit(self.integer::<$type>($name)?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Reader<'de, '_> {
    type Error = Failure;

    integers! {
        deserialize_i8 visit_i8 i8 = "int8";
        deserialize_i16 visit_i16 i16 = "int16";
        deserialize_i32 visit_i32 i32 = "int32";
        deserialize_i64 visit_i64 i64 = "int64";
        deserialize_u8 visit_u8 u8 = "int8";
        deserialize_u16 visit_u16 u16 = "int16";
        deserialize_u32 visit_u32 u32 = "int32";
        deserialize_u64 visit_u64 u64 = "int64";
    }

    /// Only values whose type does not say what they are come here: `IntOrString`, raw JSON.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_i64(number),
                (_, Some(number), _) => visitor.visit_u64(number),
                (_, _, Some(number)) => visitor.visit_f64(number),
                _ => Err(self.mismatch("number")),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
                tracker: self.tracker,
            }),
            Value::Object(map) => visitor.visit_map(Fields::new(map, None, self.tracker)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Null => visitor.visit_bool(false),
            _ => Err(self.mismatch("bool")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_f64(self.value.as_f64().ok_or_else(|| self.mismatch("float64"))?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        match name {
            "Quantity" => visitor.visit_newtype_struct(self.quantity()?.into_deserializer()),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Array(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
                tracker: self.tracker,
            }),
            Value::Null => visitor.visit_seq(Items {
                items: [].iter().enumerate(),
                tracker: self.tracker,
            }),
            _ => Err(self.mismatch("list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.value {
            Value::Object(map) => visitor.visit_map(Fields::new(map, None, self.tracker)),
            _ => Err(self.mismatch("map")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.value {
            Value::Object(map) => visitor.visit_map(Fields::new(map, Some((name, fields)), self.tracker)),
            // An empty element of a list of structs is an empty struct.
            Value::Null => visitor.visit_map(de::value::MapDeserializer::new(std::iter::empty::<(&str, &str)>())),
            _ => Err(self.mismatch(name)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(self.text()?.into_deserializer())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }
}

struct Items<'de, 't> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
    tracker: &'t Tracker,
}

impl<'de> de::SeqAccess<'de> for Items<'de, '_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let Some((index, value)) = self.items.next() else {
            return Ok(None);
        };
        let length = self.tracker.enter_index(index);
        let item = seed.deserialize(Reader::new(value, self.tracker))?;
        self.tracker.leave(length);
        Ok(Some(item))
    }
}

/// The entries of an object: a struct's fields where a type is given, else a map's.
struct Fields<'de, 't> {
    entries: serde_json::map::Iter<'de>,
    next: Option<(&'de str, &'de Value)>,
    of: Option<(&'static str, &'static [&'static str])>,
    tracker: &'t Tracker,
}

impl<'de, 't> Fields<'de, 't> {
    fn new(
        map: &'de Map<String, Value>,
        of: Option<(&'static str, &'static [&'static str])>,
        tracker: &'t Tracker,
    ) -> Self {
        Self {
            entries: map.iter(),
            next: None,
            of,
            tracker,
        }
    }
}

impl<'de> de::MapAccess<'de> for Fields<'de, '_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        for (key, value) in self.entries.by_ref() {
            if self.of.is_some_and(|(_, fields)| !fields.contains(&key.as_str())) {
                self.tracker.note_unknown(key);
                continue;
            }
            self.next = Some((key, value));
            return seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, value)) = self.next.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let length = self.tracker.enter_key(key);
        let value = seed.deserialize(Reader::new(value, self.tracker))?;
        self.tracker.leave(length);
        Ok(value)
    }
}
