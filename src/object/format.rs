//! The forms that names, labels, keys and paths must have. Answers with what is wrong, as Kubernetes words it.

/// The longest DNS subdomain.
const SUBDOMAIN_MAX: usize = 253;
/// The longest DNS label, label value, and name part of a qualified name.
const LABEL_MAX: usize = 63;
/// The longest port name.
const PORT_NAME_MAX: usize = 15;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
    and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
    must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const ENV_NAME: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
    'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

fn too_long(text: &str, max: usize) -> Option<String> {
    (text.len() > max).then(|| format!("must be no more than {max} bytes"))
}

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Letters or digits at both ends and these in between.
fn is_enclosed(text: &str, ends: fn(u8) -> bool, middle: &str) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if ends(*first) && ends(*last))
        && bytes.iter().all(|byte| ends(*byte) || middle.as_bytes().contains(byte))
}

fn is_dns_label(text: &str) -> bool {
    is_enclosed(text, is_lower_alphanumeric, "-")
}

fn is_qualified_part(text: &str) -> bool {
    is_enclosed(text, |byte| byte.is_ascii_alphanumeric(), "-_.")
}

/// A DNS label: a container's, volume's or namespace's name.
pub(crate) fn dns_label(text: &str) -> Vec<String> {
    let malformed = (!is_dns_label(text)).then(|| LABEL.to_owned());
    too_long(text, LABEL_MAX).into_iter().chain(malformed).collect()
}

/// A DNS subdomain: most objects' names.
pub(crate) fn dns_subdomain(text: &str) -> Vec<String> {
    let malformed = (!text.split('.').all(is_dns_label)).then(|| SUBDOMAIN.to_owned());
    too_long(text, SUBDOMAIN_MAX).into_iter().chain(malformed).collect()
}

/// `[prefix/]name`: a label's key, a resource's name.
pub(crate) fn qualified_name(text: &str) -> Vec<String> {
    let whole = || {
        format!(
            "a qualified name {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )
    };
    let mut problems = Vec::new();
    let name = match text.split_once('/') {
        None => text,
        Some((_, name)) if name.contains('/') => return vec![whole()],
        Some((prefix, name)) => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                problems.extend(
                    dns_subdomain(prefix)
                        .into_iter()
                        .map(|problem| format!("prefix part {problem}")),
                );
            }
            name
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else {
        problems.extend(too_long(name, LABEL_MAX).map(|problem| format!("name part {problem}")));
    }
    if !is_qualified_part(name) {
        problems.push(format!("name part {QUALIFIED}"));
    }
    problems
}

/// A label's value.
pub(crate) fn label_value(text: &str) -> Vec<String> {
    let malformed = (!text.is_empty() && !is_qualified_part(text)).then(|| LABEL_VALUE.to_owned());
    too_long(text, LABEL_MAX).into_iter().chain(malformed).collect()
}

/// An environment variable's name, as later versions allow it.
pub(crate) fn env_name(text: &str) -> Vec<String> {
    let allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    (text.is_empty() || !text.bytes().all(allowed))
        .then(|| ENV_NAME.to_owned())
        .into_iter()
        .collect()
}

/// A key of a ConfigMap or Secret; also a file's name.
pub(crate) fn config_key(text: &str) -> Vec<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let mut problems: Vec<String> = too_long(text, SUBDOMAIN_MAX).into_iter().collect();
    if text.is_empty() || !text.bytes().all(allowed) {
        problems.push(CONFIG_KEY.to_owned());
    }
    match text {
        "." => problems.push("must not be '.'".to_owned()),
        ".." => problems.push("must not be '..'".to_owned()),
        text if text.starts_with("..") => problems.push("must not start with '..'".to_owned()),
        _ => {}
    }
    problems
}

/// A container port's name.
pub(crate) fn port_name(text: &str) -> Vec<String> {
    let mut problems: Vec<String> = too_long(text, PORT_NAME_MAX).into_iter().collect();
    let mut require = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    let allowed = |byte: u8| is_lower_alphanumeric(byte) || byte == b'-';
    require(
        text.bytes().all(allowed),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    require(
        text.bytes().any(|byte| byte.is_ascii_lowercase()),
        "must contain at least one letter (a-z)",
    );
    require(!text.contains("--"), "must not contain consecutive hyphens");
    require(
        !text.starts_with('-') && !text.ends_with('-'),
        "must not begin or end with a hyphen",
    );
    problems
}

/// An absolute DNS name may also end in a dot and have underscores: a search domain of a pod.
pub(crate) fn search_domain(text: &str) -> Vec<String> {
    if text == "." {
        return Vec::new();
    }
    dns_subdomain(&text.strip_suffix('.').unwrap_or(text).replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        type Check = fn(&str) -> Vec<String>;
        let rows: &[(&str, Check, &[&str], &[&str])] = &[
            (
                "dns_label",
                dns_label,
                &["a", "a-1", "0"],
                &["", "A", "a.b", "-a", "a-", "a_b", "ä"],
            ),
            (
                "dns_subdomain",
                dns_subdomain,
                &["a", "a.b-c.0"],
                &["", "a..b", "a.", ".a", "A", "a_b", "-a.b"],
            ),
            (
                "qualified_name",
                qualified_name,
                &["a", "A_b.c", "x.y/z"],
                &["", "a/", "/a", "a/b/c", "A/b", "a b", "-a"],
            ),
            (
                "label_value",
                label_value,
                &["", "a", "A_b.c-d"],
                &["-", "a b", "a/b", "_a"],
            ),
            ("env_name", env_name, &["A", "a.b", "1x", "a b"], &["", "a=b", "ä"]),
            (
                "config_key",
                config_key,
                &["a", "..x.y".trim_start_matches('.'), ".bashrc"],
                &["", "a/b", ".", "..", "..x"],
            ),
            (
                "port_name",
                port_name,
                &["http", "a-1"],
                &["UPPER", "1", "a--b", "-a", "", "sixteen-letters-"],
            ),
            (
                "search_domain",
                search_domain,
                &["a.b", "a.b.", ".", "_tcp.a".trim_start_matches('_')],
                &["", "a b"],
            ),
        ];
        for (name, check, good, bad) in rows {
            for text in *good {
                assert_eq!(check(text), Vec::<String>::new(), "{name} {text:?}");
            }
            for text in *bad {
                assert!(!check(text).is_empty(), "{name} {text:?}");
            }
        }
        for (check, max) in [
            (dns_label as Check, 63),
            (dns_subdomain, 253),
            (label_value, 63),
            (port_name, 15),
        ] {
            assert!(check(&"a".repeat(max)).is_empty());
            assert!(check(&"a".repeat(max + 1))[0].contains(&format!("no more than {max}")));
        }
    }
}
