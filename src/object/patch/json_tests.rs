//! What JSON patches do and what is refused, a named row each.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::PatchError;
use super::json::{MAX_DEPTH, MAX_OPERATIONS, apply, weight};

fn object() -> Value {
    json!({"a": {"b": [1, 2, 3], "c/d": "x", "e~f": "y", "g": null}, "h": "i"})
}

#[test]
fn operations_do_what_the_rfc_says() {
    for (name, patch, path, wanted) in [
        (
            "add a field",
            json!([{"op": "add", "path": "/a/n", "value": 1}]),
            "/a/n",
            json!(1),
        ),
        (
            "add replaces",
            json!([{"op": "add", "path": "/h", "value": 1}]),
            "/h",
            json!(1),
        ),
        (
            "add inserts",
            json!([{"op": "add", "path": "/a/b/1", "value": 9}]),
            "/a/b",
            json!([1, 9, 2, 3]),
        ),
        (
            "add appends",
            json!([{"op": "add", "path": "/a/b/-", "value": 9}]),
            "/a/b",
            json!([1, 2, 3, 9]),
        ),
        (
            "add at the end",
            json!([{"op": "add", "path": "/a/b/3", "value": 9}]),
            "/a/b",
            json!([1, 2, 3, 9]),
        ),
        (
            "add without value",
            json!([{"op": "add", "path": "/h"}]),
            "/h",
            json!(null),
        ),
        (
            "add the whole",
            json!([{"op": "add", "path": "", "value": {"z": 1}}]),
            "",
            json!({"z": 1}),
        ),
        (
            "remove",
            json!([{"op": "remove", "path": "/a/b/0"}]),
            "/a/b",
            json!([2, 3]),
        ),
        (
            "replace",
            json!([{"op": "replace", "path": "/a/b/0", "value": "z"}]),
            "/a/b/0",
            json!("z"),
        ),
        (
            "move",
            json!([{"op": "move", "from": "/h", "path": "/a/b/0"}]),
            "/a/b",
            json!(["i", 1, 2, 3]),
        ),
        (
            "move onto itself",
            json!([{"op": "move", "from": "/h", "path": "/h"}]),
            "/h",
            json!("i"),
        ),
        (
            "copy",
            json!([{"op": "copy", "from": "/a/b", "path": "/k"}]),
            "/k",
            json!([1, 2, 3]),
        ),
        (
            "slash",
            json!([{"op": "replace", "path": "/a/c~1d", "value": 1}]),
            "/a/c~1d",
            json!(1),
        ),
        (
            "tilde",
            json!([{"op": "replace", "path": "/a/e~0f", "value": 1}]),
            "/a/e~0f",
            json!(1),
        ),
        (
            "test of equal numbers",
            json!([{"op": "test", "path": "/a/b/0", "value": 1.0}]),
            "/h",
            json!("i"),
        ),
        (
            "test of null",
            json!([{"op": "test", "path": "/a/g", "value": null}]),
            "/h",
            json!("i"),
        ),
    ] {
        let patched = apply(&object(), &patch).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(patched.pointer(path), Some(&wanted), "{name}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_named() {
    for (name, patch, wanted) in [
        (
            "index behind the end",
            json!([{"op": "remove", "path": "/a/b/3"}]),
            "behind the end",
        ),
        (
            "add behind the end",
            json!([{"op": "add", "path": "/a/b/4", "value": 1}]),
            "behind the end",
        ),
        (
            "negative index",
            json!([{"op": "remove", "path": "/a/b/-1"}]),
            "no list index",
        ),
        (
            "leading zero",
            json!([{"op": "remove", "path": "/a/b/01"}]),
            "no list index",
        ),
        (
            "word as index",
            json!([{"op": "remove", "path": "/a/b/x"}]),
            "no list index",
        ),
        (
            "empty index",
            json!([{"op": "remove", "path": "/a/b/"}]),
            "no list index",
        ),
        (
            "huge index",
            json!([{"op": "remove", "path": "/a/b/99999999999999999999"}]),
            "no list index",
        ),
        (
            "dash removes nothing",
            json!([{"op": "remove", "path": "/a/b/-"}]),
            "no list index",
        ),
        (
            "missing field",
            json!([{"op": "remove", "path": "/z"}]),
            "/z does not exist",
        ),
        (
            "missing parent",
            json!([{"op": "add", "path": "/z/y", "value": 1}]),
            "/z does not exist",
        ),
        (
            "replace of missing",
            json!([{"op": "replace", "path": "/z", "value": 1}]),
            "does not exist",
        ),
        (
            "into a string",
            json!([{"op": "add", "path": "/h/i", "value": 1}]),
            "no parts",
        ),
        ("remove all", json!([{"op": "remove", "path": ""}]), "cannot be removed"),
        (
            "move into itself",
            json!([{"op": "move", "from": "/a", "path": "/a/b/0"}]),
            "into itself",
        ),
        (
            "test fails",
            json!([{"op": "test", "path": "/h", "value": "j"}]),
            "the test of /h failed",
        ),
        (
            "test of missing",
            json!([{"op": "test", "path": "/z", "value": 1}]),
            "does not exist",
        ),
        (
            "no slash",
            json!([{"op": "remove", "path": "h"}]),
            "must start with a slash",
        ),
        ("no path", json!([{"op": "remove"}]), "path is missing"),
        ("no from", json!([{"op": "copy", "path": "/h"}]), "from is missing"),
        (
            "unknown op",
            json!([{"op": "frob", "path": "/h"}]),
            "unknown op \"frob\"",
        ),
        ("no op", json!([{"path": "/h"}]), "op is missing"),
        (
            "number as op",
            json!([{"op": 1, "path": "/h"}]),
            "op is missing or no string",
        ),
    ] {
        match apply(&object(), &patch) {
            Err(PatchError::Unprocessable(text)) => assert!(text.contains(wanted), "{name}: {text}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_patch_is_malformed() {
    let many: Vec<Value> = (0..=MAX_OPERATIONS)
        .map(|_| json!({"op": "test", "path": "/h", "value": "i"}))
        .collect();
    for (name, patch) in [
        ("object", json!({})),
        ("list of strings", json!(["x"])),
        ("null", json!(null)),
        ("too many operations", Value::Array(many)),
    ] {
        assert!(
            matches!(apply(&object(), &patch), Err(PatchError::Malformed(_))),
            "{name}"
        );
    }
}

#[test]
fn a_patch_cannot_blow_an_object_up() {
    let doubling: Vec<Value> = (0..64)
        .map(|index| json!({"op": "copy", "from": "", "path": format!("/x{index}")}))
        .collect();
    let deepening: Vec<Value> = (0..9_000)
        .map(|_| json!({"op": "copy", "from": "/a", "path": "/a/g"}))
        .collect();
    for (name, patch) in [("wider", doubling), ("deeper", deepening)] {
        assert!(
            matches!(
                apply(&object(), &Value::Array(patch)),
                Err(PatchError::Unprocessable(_))
            ),
            "{name}"
        );
    }
}

#[test]
fn a_failing_operation_undoes_those_before_it() {
    let before = object();
    let patch = json!([{"op": "remove", "path": "/h"}, {"op": "test", "path": "/h", "value": 1}]);
    assert!(apply(&before, &patch).is_err());
    assert_eq!(before, object());
}

proptest! {
    #[test]
    fn no_patch_panics(op in "add|remove|replace|move|copy|test|x", path in "(/(a|b|0|-|9|~1|~)){0,4}", from in "(/[ab0-]){0,3}") {
        let patch = json!([{"op": op, "path": path, "from": from, "value": [1]}]);
        if let Ok(patched) = apply(&object(), &patch) {
            prop_assert!(weight(&patched).1 <= MAX_DEPTH);
        }
    }
}
