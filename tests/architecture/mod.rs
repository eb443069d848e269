//! Who may depend on whom, read from the paths that the sources name.

mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use paths::paths;

/// Our modules, and which others of ours each may name. `cli` wires everything and is named by nobody.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("object", &[]),
    ("client", &[]),
    ("exposition", &[]),
    ("plain_http", &[]),
    ("store", &[]),
    ("apiserver", &["object", "store"]),
    ("gitops", &["object", "client", "plain_http"]),
    ("scheduler", &["object", "client"]),
    ("kubelet", &["object", "client"]),
    ("controllers", &["object", "client"]),
    (
        "cli",
        &[
            "object",
            "client",
            "exposition",
            "plain_http",
            "store",
            "apiserver",
            "gitops",
            "scheduler",
            "kubelet",
            "controllers",
        ],
    ),
];

/// Crates that only some places may name.
const CONFINED: [(&str, &[&str]); 4] = [
    ("bollard", &["src/kubelet/docker"]),
    ("git2", &["src/gitops/source/git"]),
    ("redb", &["src/store/embedded"]),
    ("etcd_client", &["src/store/etcd"]),
];

/// What a pure module may not name: anything that reaches outside the process, or the clock.
const IO: [&str; 15] = [
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::process",
    "std::env",
    "std::time::SystemTime",
    "std::time::Instant",
    "tokio",
    "kube",
    "reqwest",
    "hyper",
    "axum",
    "rand",
];

/// Modules that are pure as a whole.
const PURE: [&str; 1] = ["object"];

/// What is wrong with this source in that file, a line each.
fn violations(file: &str, source: &str) -> Vec<String> {
    let inside: Vec<&str> = file
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .split('/')
        .collect();
    let module = inside[0];
    let mut wrong = Vec::new();
    for (line, path) in paths(source) {
        let full = resolve(&inside, &path);
        let written = full.join("::");
        if let Some(target) = our_module(&full)
            && let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module)
            && target != module
            && !allowed.contains(&target)
        {
            wrong.push(format!("{file}:{line}: {module} may not use {target} ({written})"));
        }
        for (name, places) in CONFINED {
            if full[0] == name && !places.iter().any(|place| file.starts_with(place)) {
                wrong.push(format!(
                    "{file}:{line}: {name} may be named only under {} ({written})",
                    places.join(", ")
                ));
            }
        }
        let names = |outside: &&&str| written == **outside || written.starts_with(&format!("{outside}::"));
        if PURE.contains(&module) && !is_test(file) && IO.iter().any(|outside| names(&outside)) {
            wrong.push(format!("{file}:{line}: {module} is pure and may not use {written}"));
        }
    }
    wrong
}

/// Whether the file holds nothing but tests, which may read files and need not introduce themselves.
fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.ends_with("_tests.rs")
}

/// The path from the crate's root: `super` and `self` replaced by what they stand for.
fn resolve(inside: &[&str], path: &[String]) -> Vec<String> {
    let folder = inside.strip_suffix(&["mod"]).unwrap_or(inside);
    let supers = path.iter().take_while(|part| *part == "super").count();
    if supers == 0 {
        return path.to_vec();
    }
    // In `mod tests` of a file one `super` more is needed, so too few levels are harmless here.
    let up = folder.len().saturating_sub(supers);
    let mut full = vec!["crate".to_owned()];
    full.extend(folder[..up].iter().map(|part| (*part).to_owned()));
    full.extend(path[supers..].iter().cloned());
    full
}

/// Which of our modules a path from the root names.
fn our_module(path: &[String]) -> Option<&'static str> {
    let [root, module, ..] = path else { return None };
    let ours = root == "crate" || root == "reconcile";
    MAY_USE
        .iter()
        .map(|(name, _)| *name)
        .find(|name| ours && name == module)
}

fn sources(folder: &Path, found: &mut BTreeMap<String, String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).expect("the sources can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(root)
                .expect("inside")
                .to_str()
                .expect("a name")
                .to_owned();
            found.insert(name, std::fs::read_to_string(&path).expect("a source can be read"));
        }
    }
}

fn all_sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

#[test]
fn modules_use_only_what_they_may() {
    let wrong: Vec<String> = all_sources()
        .iter()
        .flat_map(|(file, source)| violations(file, source))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_begins_by_saying_what_it_is() {
    let silent =
        |(file, source): &(String, String)| (!source.starts_with("//!") && !is_test(file)).then(|| file.clone());
    let silent: Vec<String> = all_sources().into_iter().filter_map(|each| silent(&each)).collect();
    assert!(silent.is_empty(), "no //! on the first line: {}", silent.join(", "));
}

#[test]
fn every_module_of_the_library_is_in_the_table() {
    let root = &all_sources()["src/lib.rs"];
    let modules: BTreeSet<&str> = root
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let table: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(modules, table);
}

#[test]
fn the_checker_finds_what_is_wrong() {
    for (name, file, source, wanted) in [
        (
            "a module it may not use",
            "src/gitops/plan.rs",
            "use crate::store::Store;",
            Some("gitops may not use store"),
        ),
        ("one it may", "src/gitops/plan.rs", "use crate::object::Kind;", None),
        ("its own", "src/gitops/plan.rs", "use crate::gitops::diff;", None),
        (
            "in a group",
            "src/kubelet/run.rs",
            "use crate::{object::Kind, apiserver};",
            Some("may not use apiserver"),
        ),
        (
            "deep in a group",
            "src/kubelet/run.rs",
            "use crate::{object::{a, b}, cli::{c}};",
            Some("may not use cli"),
        ),
        (
            "by a path in code",
            "src/scheduler/run.rs",
            "fn f() { crate::kubelet::run() }",
            Some("may not use kubelet"),
        ),
        (
            "by super",
            "src/scheduler/mod.rs",
            "use super::store;",
            Some("may not use store"),
        ),
        (
            "by super from below",
            "src/scheduler/filter/taints.rs",
            "use super::super::super::cli;",
            Some("may not use cli"),
        ),
        (
            "a neighbour by super",
            "src/scheduler/filter/taints.rs",
            "use super::super::snapshot;",
            None,
        ),
        (
            "the whole crate by name",
            "src/controllers/run.rs",
            "use reconcile::scheduler;",
            Some("may not use scheduler"),
        ),
        (
            "a comment",
            "src/gitops/plan.rs",
            "// crate::store\n/* crate::store /* */ crate::cli */",
            None,
        ),
        (
            "a string",
            "src/gitops/plan.rs",
            r##"const A: &str = "crate::store"; const B: &str = r#"crate::cli""#;"##,
            None,
        ),
        (
            "after a quote character",
            "src/gitops/plan.rs",
            "fn f() { g('\"'); crate::store::h('\\'') }",
            Some("store"),
        ),
        (
            "after a lifetime",
            "src/gitops/plan.rs",
            "fn f<'a>(x: &'a str) { crate::store::h() }",
            Some("store"),
        ),
        (
            "a confined crate",
            "src/kubelet/run.rs",
            "use bollard::Docker;",
            Some("bollard may be named only"),
        ),
        (
            "in its place",
            "src/kubelet/docker/mod.rs",
            "use bollard::Docker;",
            None,
        ),
        (
            "git2 in its file",
            "src/gitops/source/git.rs",
            "use git2::Repository;",
            None,
        ),
        (
            "git2 in its folder",
            "src/gitops/source/git/read.rs",
            "use git2::Repository;",
            None,
        ),
        (
            "redb elsewhere",
            "src/store/etcd.rs",
            "fn f(x: redb::Database) {}",
            Some("redb may be named only"),
        ),
        (
            "etcd in the wrong store",
            "src/store/embedded.rs",
            "use etcd_client as e;",
            Some("etcd_client may be named"),
        ),
        (
            "I/O in a pure module",
            "src/object/kind.rs",
            "use std::fs::File;",
            Some("object is pure"),
        ),
        (
            "in a group of std",
            "src/object/kind.rs",
            "use std::{fmt, time::{Duration, Instant}};",
            Some("is pure"),
        ),
        ("no I/O", "src/object/kind.rs", "use std::{fmt, time::Duration};", None),
        (
            "a client in a pure module",
            "src/object/kind.rs",
            "use kube::Client;",
            Some("object is pure"),
        ),
    ] {
        let found = violations(file, source);
        match wanted {
            None => assert!(found.is_empty(), "{name}: {found:?}"),
            Some(text) => assert!(found.iter().any(|each| each.contains(text)), "{name}: {found:?}"),
        }
    }
}
