//! Patterns as OpenSSH's files have them (ssh_config(5), PATTERNS).

/// Whether a comma-separated list of patterns names the text: one of them fits and none that begins with `!` does.
pub fn names(patterns: &str, text: &str) -> bool {
    let mut named = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(excluded) if like(excluded.as_bytes(), text.as_bytes()) => return false,
            Some(_) => {}
            None => named |= like(pattern.as_bytes(), text.as_bytes()),
        }
    }
    named
}

/// Whether a name fits a pattern in which `*` stands for anything and `?` for one character. Remembers one `*` to come
/// back to, so that its time is bounded by the product of both lengths.
fn like(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == name[position] => {
                at += 1;
                position += 1;
            }
            _ => match star {
                Some((behind, taken)) => {
                    at = behind + 1;
                    position = taken + 1;
                    star = Some((behind, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("*a*b", "xaxxb", true),
            ("a?", "a", false),
            ("", "a", false),
            ("a**", "a", true),
        ] {
            assert_eq!(like(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }
}
