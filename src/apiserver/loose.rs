//! Reads any JSON or YAML into a value, noticing repeated fields and stopping where aliases expand without end.
//! Never knows what an object is.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The most values a body may hold, aliases expanded: more than 3 MB of honest JSON that any kind here can use,
/// far less than a billion laughs.
const VALUES_MAX: usize = 500_000;
/// The most text a body may hold, aliases expanded.
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A value and the paths of fields that were given more than once.
#[derive(Clone, Debug, PartialEq)]
pub struct Loose {
    /// The value; of repeated fields the last.
    pub value: Value,
    /// e.g. `spec.containers[0].image`.
    pub repeated: Vec<String>,
}

/// Reads JSON.
pub fn from_json(bytes: &[u8]) -> Result<Loose, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let loose = read(&mut deserializer).map_err(|error| error.to_string())?;
    deserializer.end().map_err(|error| error.to_string())?;
    Ok(loose)
}

/// Reads one YAML document.
pub fn from_yaml(bytes: &[u8]) -> Result<Loose, String> {
    read(serde_yaml::Deserializer::from_slice(bytes)).map_err(|error| error.to_string())
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Loose, D::Error> {
    let state = RefCell::new(State::default());
    let value = Seed(&state).deserialize(deserializer)?;
    Ok(Loose {
        value,
        repeated: state.into_inner().repeated,
    })
}

#[derive(Default)]
struct State {
    path: Vec<String>,
    repeated: Vec<String>,
    values: usize,
    text_bytes: usize,
}

impl State {
    fn count<E: Error>(&mut self, text_bytes: usize) -> Result<(), E> {
        self.values += 1;
        self.text_bytes += text_bytes;
        if self.values > VALUES_MAX || self.text_bytes > TEXT_BYTES_MAX {
            return Err(E::custom(format!(
                "it expands to more than {VALUES_MAX} values or {TEXT_BYTES_MAX} bytes of text; are there aliases of aliases?"
            )));
        }
        Ok(())
    }

    fn path_text(&self) -> String {
        let mut text = String::new();
        for part in &self.path {
            if !text.is_empty() && !part.starts_with('[') {
                text.push('.');
            }
            text.push_str(part);
        }
        text
    }
}

#[derive(Clone, Copy)]
struct Seed<'s>(&'s RefCell<State>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.0.borrow_mut().count(0)?;
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.0.borrow_mut().count(0)?;
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.0.borrow_mut().count(0)?;
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.0.borrow_mut().count(0)?;
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that JSON does not have"))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.0.borrow_mut().count(value.len())?;
        Ok(Value::String(value.to_owned()))
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.0.borrow_mut().count(0)?;
        Ok(Value::Null)
    }
    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.0.borrow_mut().count(0)?;
        let mut list = Vec::new();
        loop {
            self.0.borrow_mut().path.push(format!("[{}]", list.len()));
            let next = access.next_element_seed(self)?;
            self.0.borrow_mut().path.pop();
            match next {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        self.0.borrow_mut().count(0)?;
        let mut map = Map::new();
        while let Some(key) = access.next_key_seed(Key)? {
            self.0.borrow_mut().path.push(key.clone());
            let value = access.next_value_seed(self)?;
            let mut state = self.0.borrow_mut();
            state.count(key.len())?;
            if map.insert(key, value).is_some() {
                let path = state.path_text();
                state.repeated.push(path);
            }
            state.path.pop();
        }
        Ok(Value::Object(map))
    }
}

/// Reads a key; YAML's numbers and booleans become their text.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
    fn visit_string<E: Error>(self, value: String) -> Result<String, E> {
        Ok(value)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_come_through_and_repeated_fields_are_named() {
        let loose = from_json(br#"{"a":1,"l":[{"x":"1","x":"2"}],"a":-2,"f":1.5,"n":null,"t":true}"#).expect("json");
        assert_eq!(
            loose.value,
            json!({"a": -2, "l": [{"x": "2"}], "f": 1.5, "n": null, "t": true})
        );
        assert_eq!(loose.repeated, ["l[0].x", "a"]);
        let loose = from_yaml(b"a: 1\nb: [x, 'y']\n1: t\n").expect("yaml");
        assert_eq!(loose.value, json!({"a": 1, "b": ["x", "y"], "1": "t"}));
    }

    #[test]
    fn broken_bodies_are_refused() {
        for json in ["{", "{}x", "[1,]", "\u{1}"] {
            assert!(from_json(json.as_bytes()).is_err(), "{json}");
        }
        for yaml in ["a: [", "a: b: c", "\tx: 1", "a: 1\n---\nb: 2\n"] {
            assert!(from_yaml(yaml.as_bytes()).is_err(), "{yaml}");
        }
    }

    #[test]
    fn a_billion_laughs_are_refused() {
        let mut yaml = String::from("a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for (name, before) in ('b'..='i').zip('a'..) {
            yaml.push_str(&format!(
                "{name}: &{name} [{}]\n",
                vec![format!("*{before}"); 9].join(", ")
            ));
        }
        assert!(from_yaml(yaml.as_bytes()).is_err());
    }

    #[test]
    fn one_honest_alias_is_fine() {
        let loose = from_yaml(b"a: &x {k: v}\nb: *x\n").expect("yaml");
        assert_eq!(loose.value, json!({"a": {"k": "v"}, "b": {"k": "v"}}));
    }
}
