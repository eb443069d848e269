//! `.gitmodules`: which submodules a commit names, and where they come from. Pure.

/// Where the path of a URL begins.
fn path_start(url: &str) -> Option<usize> {
    match url.split_once("://") {
        Some((scheme, rest)) => Some(scheme.len() + 3 + rest.find('/')?),
        None => url.find(':').map(|colon| colon + 1),
    }
}

/// One submodule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Declared {
    pub name: String,
    pub path: String,
    pub url: String,
}

/// Reads the file, in the syntax of git's settings. What is not understood is left out: whoever looks for it says so.
pub(super) fn parse(text: &str) -> Vec<Declared> {
    let mut found: Vec<Declared> = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(head) = line.strip_prefix('[') {
            let name = head.strip_prefix("submodule").map(str::trim_start);
            let name = name.and_then(|rest| rest.strip_prefix('"')?.split_once("\"]"));
            inside = name.is_some();
            found.extend(name.map(|(name, _)| Declared {
                name: name.replace("\\\"", "\"").replace("\\\\", "\\"),
                ..Declared::default()
            }));
        } else if let (true, Some((key, value)), Some(last)) = (inside, line.split_once('='), found.last_mut()) {
            match key.trim().to_ascii_lowercase().as_str() {
                "path" => last.path = plain(value),
                "url" => last.url = plain(value),
                _ => {}
            }
        }
    }
    found
}

/// A value without quotes and comment.
fn plain(value: &str) -> String {
    let (mut text, mut quoted, mut letters) = (String::new(), false, value.trim().chars());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => quoted = !quoted,
            '\\' => text.extend(letters.next()),
            '#' | ';' if !quoted => break,
            letter => text.push(letter),
        }
    }
    text.trim_end().to_owned()
}

/// The URL of a submodule: one that begins with `./` or `../` is meant from that of its repository on, and stays on its
/// host.
pub(super) fn resolve(base: &str, url: &str) -> Result<String, String> {
    let mut rest = url;
    if !rest.starts_with("./") && !rest.starts_with("../") {
        return Ok(url.to_owned());
    }
    let outside = || format!("its URL {url} leads out of the host of {base}");
    let start = path_start(base).ok_or_else(outside)?;
    let (host, path) = base.split_at(start);
    let mut parts: Vec<&str> = path
        .trim_matches('/')
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    loop {
        rest = match (rest.strip_prefix("../"), rest.strip_prefix("./")) {
            (Some(above), _) => {
                parts.pop().ok_or_else(outside)?;
                above
            }
            (None, Some(here)) => here,
            (None, None) => break,
        };
    }
    if rest.split('/').any(|part| part == "..") {
        return Err(outside());
    }
    parts.push(rest);
    let slash = if path.starts_with('/') { "/" } else { "" };
    Ok(format!("{host}{slash}{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_git_writes_and_people_do() {
        let text = "# ours\n[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib.git ; there\n[core]\n\tpath = x\n\
                    [submodule \"a \\\"b\\\"\"]\n  URL = \"https://h/a;b.git\"\n  path=\"with space\"\n  branch = main\n";
        let of = |name: &str, path: &str, url: &str| Declared {
            name: name.into(),
            path: path.into(),
            url: url.into(),
        };
        let expected = [
            of("lib", "lib", "../lib.git"),
            of("a \"b\"", "with space", "https://h/a;b.git"),
        ];
        assert_eq!(parse(text), expected);
        assert!(parse("path = x\n[submodule]\nurl = y").is_empty());
    }

    #[test]
    fn relative_urls_stay_on_the_host() {
        for (base, url, expected) in [
            ("https://h/a/b.git", "../c.git", Some("https://h/a/c.git")),
            ("https://h/a/b.git", "../../c.git", Some("https://h/c.git")),
            ("https://h/a/b.git/", "./c", Some("https://h/a/b.git/c")),
            ("https://h/a/b.git", "../../../c.git", None),
            ("https://h/a/b.git", "../x/../../../y", None),
            ("https://h", "../c.git", None),
            ("git@h:a/b.git", "../c.git", Some("git@h:a/c.git")),
            ("git@h:b.git", "../c.git", Some("git@h:c.git")),
            ("git@h:b.git", "../../c.git", None),
            ("ssh://git@h:22/a/b", "../c", Some("ssh://git@h:22/a/c")),
            ("file:///srv/a.git", "../b.git", Some("file:///srv/b.git")),
            ("https://h/a", "https://other/b", Some("https://other/b")),
        ] {
            assert_eq!(resolve(base, url).ok().as_deref(), expected, "{base} + {url}");
        }
    }
}
