//! A real Kubernetes' recorded answers, each row a case by name.

mod create;
mod patch;
mod scheduling;
mod table;

use serde_json::Value;

/// The rows of a recorded file.
fn rows(file: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .collect()
}

/// Fails with every failing case's name and what differs, after trying all of them.
fn report(total: usize, failures: &[(String, String)]) {
    let text: String = failures
        .iter()
        .map(|(name, why)| format!("\n--- {name}\n{why}\n"))
        .collect();
    assert!(failures.is_empty(), "{} of {total} rows differ:{text}", failures.len());
}

/// The paths at which two values differ, one a line.
fn difference(wanted: &Value, got: &Value) -> String {
    let mut lines = Vec::new();
    walk("", wanted, got, &mut lines);
    lines.join("\n")
}

fn walk(path: &str, wanted: &Value, got: &Value, lines: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = format!("{path}.{key}");
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => walk(&path, x, y, lines),
                    (Some(x), None) => lines.push(format!("{path}: wanted {x}, is missing")),
                    (None, Some(y)) => lines.push(format!("{path}: not wanted, got {y}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                walk(&format!("{path}[{index}]"), x, y, lines);
            }
        }
        (a, b) if a != b => lines.push(format!("{path}: wanted {a}, got {b}")),
        _ => {}
    }
}
