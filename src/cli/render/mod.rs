//! What the reconciler says, as text for people. Pure: whether there are colours and how wide the terminal is come in.

mod explain;
mod plan;
mod report;
mod status;

pub use explain::explanation;
pub use plan::plan;
pub use report::{COLUMN, report};
pub use status::{Watched, forgotten, history, statuses};

/// How to write for this terminal, or for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether colours are understood and wanted.
    pub color: bool,
    /// Columns, where it is a terminal.
    pub width: Option<usize>,
}

/// What a piece of text is, and thereby its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    Plain,
    Heading,
    Added,
    Removed,
    Changed,
    Replaced,
    Faint,
    Error,
}

impl Style {
    fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => return text.to_owned(),
            Ink::Heading => "1",
            Ink::Added => "32",
            Ink::Removed => "31",
            Ink::Changed => "33",
            Ink::Replaced => "35",
            Ink::Faint => "2",
            Ink::Error => "1;31",
        };
        match self.color && !text.is_empty() {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// Makes text from files and commits harmless: a terminal acts on control characters.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' => ' ',
            control if control.is_control() => '\u{fffd}',
            other => other,
        })
        .collect()
}

/// Cuts text to so many columns, with a sign that it was cut.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// `1 object`, `2 objects`.
fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// Breaks text into lines of so many columns, between words; a longer word is a line of its own.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        let length = line.chars().count() + 1 + word.chars().count();
        if line.is_empty() {
            line.push_str(word);
        } else if length <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_made_harmless() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("a longer text", 9), "a longer…");
        assert_eq!(printable("a\u{1b}[2Jb\tc"), "a\u{fffd}[2Jb c");
        assert_eq!(wrap("three short words", 11), ["three short", "words"]);
        assert_eq!(wrap("extraordinarily long", 8), ["extraordinarily", "long"]);
    }
}
