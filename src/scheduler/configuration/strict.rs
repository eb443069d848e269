//! Decodes strictly: what is unknown or of the wrong type is a mistake, and all mistakes are kept for one report.

use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::object::FieldError;

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<String>);

impl Report {
    pub(super) fn push(&mut self, error: FieldError) {
        self.0.push(error.to_string());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.0
    }
}

/// The one document of a text.
pub(super) fn document(text: &str, report: &mut Report) -> Option<Value> {
    let mut found = None;
    for document in serde_yaml::Deserializer::from_str(text) {
        // By way of YAML's own values, which tell a field that is there twice.
        let read = serde_yaml::Value::deserialize(document);
        let value = match read.and_then(serde_yaml::from_value::<Value>) {
            Ok(Value::Null) => continue,
            Ok(value) => value,
            Err(error) => {
                report.0.push(error.to_string());
                return None;
            }
        };
        if found.replace(value).is_some() {
            report
                .0
                .push("there is more than one document; keep one KubeSchedulerConfiguration".to_owned());
            return None;
        }
    }
    if found.is_none() {
        report
            .0
            .push("there is nothing in it; write a KubeSchedulerConfiguration".to_owned());
    }
    found
}

/// Reads a value that is found at that path.
pub(super) fn decode<T: DeserializeOwned>(value: Value, at: &str, report: &mut Report) -> Option<T> {
    let beneath = |path: &str| bracketed(&format!("{at}.{path}"));
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let decoder = serde_path_to_error::Deserializer::new(value, &mut track);
    let read = serde_ignored::deserialize(decoder, |path| unknown.push(path.to_string()));
    let unknown = unknown
        .iter()
        .map(|path| format!("{}: unknown field; correct or remove it", beneath(path)));
    report.0.extend(unknown);
    match read {
        Ok(read) => Some(read),
        Err(error) => {
            report.0.push(format!(
                "{}: {error}; correct the value",
                beneath(&track.path().to_string())
            ));
            None
        }
    }
}

/// `profiles[0].name` for what is told as `profiles.0.name`, and the object itself for nothing.
fn bracketed(path: &str) -> String {
    let mut written = String::new();
    for part in path
        .split(['.', '[', ']'])
        .filter(|part| !part.is_empty() && *part != "?")
    {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            written.push_str(&format!("[{part}]"));
        } else {
            if !written.is_empty() {
                written.push('.');
            }
            written.push_str(part);
        }
    }
    written
}
