//! The paths that a Rust source names, found without a compiler: enough of the language to skip comments and texts.

use std::collections::BTreeSet;

/// Every path named in a source file, written out in full, with its line.
pub fn paths(source: &str) -> BTreeSet<(usize, Vec<String>)> {
    let tokens = tokens(source);
    let mut found = BTreeSet::new();
    let mut index = 0;
    while index < tokens.len() {
        if is_name(&tokens[index].1) && (index == 0 || tokens[index - 1].1 != "::") {
            let mut prefix = Vec::new();
            index = path(&tokens, index, &mut prefix, &mut found);
        } else {
            index += 1;
        }
    }
    found
}

/// Reads one path that starts here, with the groups in braces that it may end in; returns where it ended.
fn path(
    tokens: &[(usize, String)],
    mut index: usize,
    prefix: &mut Vec<String>,
    found: &mut BTreeSet<(usize, Vec<String>)>,
) -> usize {
    let depth = prefix.len();
    let line = tokens[index].0;
    prefix.push(tokens[index].1.clone());
    index += 1;
    while text(tokens, index) == "::" {
        index += 1;
        match text(tokens, index) {
            "{" => {
                index = group(tokens, index + 1, prefix, found);
                prefix.truncate(depth);
                return index;
            }
            name if is_name(name) => {
                prefix.push(name.to_owned());
                index += 1;
            }
            // A glob or generic arguments: the path so far is what matters.
            _ => break,
        }
    }
    found.insert((line, prefix.clone()));
    prefix.truncate(depth);
    index
}

fn group(
    tokens: &[(usize, String)],
    mut index: usize,
    prefix: &mut Vec<String>,
    found: &mut BTreeSet<(usize, Vec<String>)>,
) -> usize {
    while index < tokens.len() {
        match text(tokens, index) {
            "}" => return index + 1,
            name if is_name(name) => index = path(tokens, index, prefix, found),
            _ => index += 1,
        }
    }
    index
}

fn text(tokens: &[(usize, String)], index: usize) -> &str {
    tokens.get(index).map_or("", |(_, text)| text)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names and punctuation, without comments, strings and characters.
fn tokens(source: &str) -> Vec<(usize, String)> {
    let bytes: Vec<char> = source.chars().collect();
    let (mut index, mut line) = (0, 1);
    let mut tokens = Vec::new();
    while index < bytes.len() {
        let end = match bytes[index] {
            '/' if bytes.get(index + 1) == Some(&'/') => until(&bytes, index, |rest| rest[0] == '\n'),
            '/' if bytes.get(index + 1) == Some(&'*') => block_comment(&bytes, index),
            'r' | 'b' if raw_string(&bytes, index).is_some() => raw_string(&bytes, index).expect("just looked"),
            '"' => string(&bytes, index),
            '\'' => character(&bytes, index),
            first if first.is_alphanumeric() || first == '_' => {
                let end = until(&bytes, index, |rest| !(rest[0].is_alphanumeric() || rest[0] == '_'));
                tokens.push((line, bytes[index..end].iter().collect()));
                end
            }
            ':' if bytes.get(index + 1) == Some(&':') => {
                tokens.push((line, "::".to_owned()));
                index + 2
            }
            other => {
                if !other.is_whitespace() {
                    tokens.push((line, other.to_string()));
                }
                index + 1
            }
        };
        line += bytes[index..end].iter().filter(|character| **character == '\n').count();
        index = end;
    }
    tokens
}

fn until(bytes: &[char], start: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (start..bytes.len())
        .find(|index| stop(&bytes[*index..]))
        .unwrap_or(bytes.len())
}

/// Block comments nest.
fn block_comment(bytes: &[char], start: usize) -> usize {
    let (mut index, mut depth) = (start + 2, 1);
    while index < bytes.len() && depth > 0 {
        let pair = (bytes[index], bytes.get(index + 1).copied().unwrap_or_default());
        let (step, change) = match pair {
            ('/', '*') => (2, 1),
            ('*', '/') => (2, -1),
            _ => (1, 0),
        };
        index += step;
        depth += change;
    }
    index.min(bytes.len())
}

fn string(bytes: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < bytes.len() && bytes[index] != '"' {
        index += if bytes[index] == '\\' { 2 } else { 1 };
    }
    (index + 1).min(bytes.len())
}

/// The end of a raw string that starts here, if one does: `r"…"`, `br#"…"#`.
fn raw_string(bytes: &[char], start: usize) -> Option<usize> {
    if start > 0 && (bytes[start - 1].is_alphanumeric() || bytes[start - 1] == '_') {
        return None;
    }
    let mut index = start + usize::from(bytes[start] == 'b');
    if bytes.get(index) != Some(&'r') {
        return None;
    }
    index += 1;
    let hashes = bytes[index..].iter().take_while(|character| **character == '#').count();
    index += hashes;
    if bytes.get(index) != Some(&'"') {
        return None;
    }
    let closes =
        |rest: &[char]| rest[0] == '"' && rest[1..].iter().take(hashes).filter(|next| **next == '#').count() == hashes;
    Some((until(bytes, index + 1, closes) + 1 + hashes).min(bytes.len()))
}

/// A character such as `'"'`; a lifetime is skipped by its mark alone.
fn character(bytes: &[char], start: usize) -> usize {
    match (bytes.get(start + 1), bytes.get(start + 2)) {
        (Some('\\'), _) => (until(bytes, start + 3, |rest| rest[0] == '\'') + 1).min(bytes.len()),
        (_, Some('\'')) => start + 3,
        _ => start + 1,
    }
}
