//! Writes metrics in Prometheus' text format, version 0.0.4, which every scraper reads. The library writes OpenMetrics:
//! there a counter's family lacks the `_total` that its samples have, and a line ends the text.

use std::fmt::Error;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// What the format is called.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics as text.
pub fn encode(registry: &Registry) -> Result<String, Error> {
    let mut open = String::new();
    text::encode_registry(&mut open, registry)?;
    Ok(classic(&open))
}

fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut lines = open.lines().peekable();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let is_counter = |line: &str| line.starts_with("# TYPE ") && line.ends_with(" counter");
        match words.as_slice() {
            ["#", "UNIT", ..] => continue,
            ["#", "HELP", name, help] if lines.peek().copied().is_some_and(is_counter) => {
                text.push_str(&format!("# HELP {name}_total {help}"));
            }
            ["#", "TYPE", name, "counter"] => text.push_str(&format!("# TYPE {name}_total counter")),
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_their_samples() {
        let open = "# HELP a_b It counts.\n# TYPE a_b counter\na_b_total{x=\"# TYPE y counter\"} 1\n# HELP c Is.\n# TYPE c gauge\n# UNIT c s\nc 2\n";
        let expected = "# HELP a_b_total It counts.\n# TYPE a_b_total counter\na_b_total{x=\"# TYPE y counter\"} 1\n# HELP c Is.\n# TYPE c gauge\nc 2\n";
        assert_eq!(classic(open), expected);
    }
}
