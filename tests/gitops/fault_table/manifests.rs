//! Bad texts, each in its place: one row a fault. The rest of the file and of the source goes on.

use super::{Case, files};

/// The name, the file, what is replaced in it by what, and the beginnings of the problems.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

/// Rows of one cluster: where it has controllers, they delete the pod of a node that is not there after 40 seconds.
const ROWS_PER_CLUSTER: usize = 8;

const ROWS: [Row; 39] = [
    (
        "bad YAML in the first document",
        "two.yaml",
        "name: two",
        "name: {two",
        &["two.yaml:5:"],
    ),
    (
        "bad YAML in the middle document",
        "two.yaml",
        "name: three",
        "name: {three",
        &["two.yaml:12:"],
    ),
    (
        "bad YAML in the last document",
        "two.yaml",
        "key: \"4\"",
        "key: \"4",
        &["two.yaml:21:1: found unexpected end"],
    ),
    (
        "bad YAML in a list's item",
        "sub/list.yaml",
        "name: five",
        "name: [five",
        &["sub/list.yaml:13:"],
    ),
    ("a tab", "two.yaml", "  key: \"3\"", "\tkey: \"3\"", &["two.yaml:13:1"]),
    (
        "an anchor that is nowhere",
        "two.yaml",
        "key: \"3\"",
        "key: *nowhere",
        &["two.yaml:13:8"],
    ),
    (
        "a duplicate key",
        "two.yaml",
        "  name: three",
        "  name: three\n  name: three",
        &["two.yaml:12:3"],
    ),
    (
        "a key that is a list",
        "two.yaml",
        "  key: \"3\"",
        "  ? [a, b]\n  : c",
        &["two.yaml:13:"],
    ),
    (
        "a number as value",
        "two.yaml",
        "key: \"3\"",
        "key: 3",
        &["two.yaml:13:3: ConfigMap default/three: data.key"],
    ),
    (
        "a number of forty digits",
        "two.yaml",
        "key: \"3\"",
        "key: 1234567890123456789012345678901234567890",
        &["two.yaml:13:3"],
    ),
    (
        "a NUL byte",
        "two.yaml",
        "key: \"3\"",
        "key: \"3\u{0}\"",
        &["two.yaml:13:"],
    ),
    (
        "a BOM in the middle",
        "two.yaml",
        "kind: ConfigMap\nmetadata:\n  name: three",
        "\u{feff}kind: ConfigMap\nmetadata:\n  name: three",
        &["two.yaml:9:2"],
    ),
    (
        "a merge conflict",
        "two.yaml",
        "  key: \"3\"\n",
        "<<<<<<< HEAD\n  key: \"3\"\n=======\n  key: \"x\"\n>>>>>>> other\n",
        &["two.yaml:1"],
    ),
    (
        "half a document",
        "two.yaml",
        "stringData:\n  key: \"4\"\n",
        "stringDa",
        &["two.yaml:1"],
    ),
    (
        "a document that is a text",
        "two.yaml",
        "---\napiVersion: v1\nkind: Secret",
        "---\nhello\n---\napiVersion: v1\nkind: Secret",
        &["two.yaml:15:1: not an object"],
    ),
    (
        "a document that is a list",
        "two.yaml",
        "---\napiVersion: v1\nkind: Secret",
        "---\n- hello\n---\napiVersion: v1\nkind: Secret",
        &["two.yaml:15:1: not an object"],
    ),
    (
        "a list's item that is a text",
        "sub/list.yaml",
        "items:\n",
        "items:\n- hello\n",
        &["sub/list.yaml:4:3: not an object"],
    ),
    (
        "a typo in the kind",
        "two.yaml",
        "kind: Secret",
        "kind: Secrte",
        &["two.yaml:16:1: Secrte keys: v1 has no kind Secrte"],
    ),
    (
        "a typo in a list's item's kind",
        "sub/list.yaml",
        "kind: ConfigMap\n  metadata:\n    name: five",
        "kind: Configmap\n  metadata:\n    name: five",
        &["sub/list.yaml:10:3"],
    ),
    (
        "a typo in the version",
        "two.yaml",
        "---\napiVersion: v1\nkind: Secret",
        "---\napiVersion: v11\nkind: Secret",
        &["two.yaml:1"],
    ),
    (
        "a group that is none",
        "two.yaml",
        "---\napiVersion: v1\nkind: Secret",
        "---\napiVersion: core/v1\nkind: Secret",
        &["two.yaml:1"],
    ),
    (
        "no kind",
        "two.yaml",
        "kind: Secret\n",
        "",
        &["two.yaml:15:1: kind is missing"],
    ),
    (
        "no version",
        "two.yaml",
        "---\napiVersion: v1\nkind: Secret",
        "---\nkind: Secret",
        &["two.yaml:15:1: apiVersion is missing"],
    ),
    (
        "no name",
        "two.yaml",
        "  name: keys",
        "  labels: {app: keys}",
        &["two.yaml:17:1: Secret: metadata.name is missing"],
    ),
    (
        "a number as name",
        "two.yaml",
        "name: keys",
        "name: 5",
        &["two.yaml:18:3: Secret: metadata.name must be a text"],
    ),
    (
        "a name for the server to choose",
        "two.yaml",
        "name: keys",
        "generateName: keys",
        &["two.yaml:18:3: Secret: metadata.generateName"],
    ),
    (
        "an unknown field",
        "two.yaml",
        "stringData:",
        "sringData:",
        &["two.yaml:19:1: Secret default/keys: unknown field sringData"],
    ),
    (
        "two unknown fields",
        "web.yaml",
        "    image: busybox:1.36\n",
        "    image: busybox:1.36\n    imge: x\n    comand: x\n",
        &["web.yaml:", "web.yaml:"],
    ),
    (
        "a label that is none",
        "one.yaml",
        "  name: one",
        "  name: one\n  labels: {app: \"no label!\"}",
        &["one.yaml:5:"],
    ),
    (
        "a spec that is invalid",
        "web.yaml",
        "    image: busybox:1.36\n",
        "    image: busybox:1.36\n    ports: [{containerPort: 70000}]\n",
        &["web.yaml:11:"],
    ),
    (
        "a change that is refused and a field that is wrong",
        "web.yaml",
        "value: hello",
        "value: bye\n    ports: [{containerPort: 70000}]",
        &["web.yaml:"],
    ),
    (
        "a class that is nowhere",
        "web.yaml",
        "spec:\n",
        "spec:\n  priorityClassName: nowhere\n",
        &["web.yaml:"],
    ),
    (
        "an account that is nowhere",
        "web.yaml",
        "spec:\n",
        "spec:\n  serviceAccountName: nowhere\n",
        &["web.yaml:"],
    ),
    (
        "a wrong type deep inside",
        "web.yaml",
        "      value: hello",
        "      value: [hello]",
        &["web.yaml:14:7: Pod default/web: spec.containers[0].env[0].value: a list stands"],
    ),
    (
        "data that is no base64",
        "two.yaml",
        "stringData:\n  key: \"4\"",
        "data:\n  key: \"*\"",
        &["two.yaml:20:3"],
    ),
    (
        "metadata that is a text",
        "two.yaml",
        "metadata:\n  name: keys",
        "metadata: keys",
        &["two.yaml:17:1"],
    ),
    (
        "an object twice in one file",
        "two.yaml",
        "---\napiVersion: v1\nkind: Secret",
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: two}\n---\napiVersion: v1\nkind: Secret",
        &[
            "two.yaml:1:1: ConfigMap default/two: declared here and in",
            "two.yaml:15:1",
        ],
    ),
    (
        "an object of another file",
        "two.yaml",
        "---\napiVersion: v1\nkind: Secret",
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\napiVersion: v1\nkind: Secret",
        &[
            "one.yaml:1:1: ConfigMap default/one: declared here and in two.yaml:15:1",
            "two.yaml:15:1",
        ],
    ),
    (
        "a tag that makes something",
        "two.yaml",
        "key: \"3\"",
        "key: !!python/object:os.system [ls]",
        &["two.yaml:13:"],
    ),
];

#[tokio::test]
async fn every_bad_text() {
    let mut wrong = Vec::new();
    for rows in ROWS.chunks(ROWS_PER_CLUSTER) {
        let case = Case::new().await;
        for (name, file, part, instead, expected) in rows {
            let text = files()[file].clone();
            assert_eq!(text.matches(part).count(), 1, "{name}: {part:?}");
            case.world.write(file, &text.replace(part, instead));
            wrong.extend(caught(case.goes_wrong(name, expected)).await);
            case.restore();
            wrong.extend(caught(case.recovers(name)).await);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        ROWS.len(),
        wrong.join("\n")
    );
}

/// Lets the rows after one that fails go on.
async fn caught(check: impl Future<Output = ()>) -> Option<String> {
    use futures::FutureExt as _;
    let result = std::panic::AssertUnwindSafe(check).catch_unwind().await;
    let panic = result.err()?;
    let text = panic.downcast_ref::<String>().map_or("a panic", |text| text.as_str());
    Some(text.to_owned())
}

#[tokio::test]
async fn what_is_wrong_in_many_files_is_told_at_once() {
    let case = Case::new().await;
    let all = files();
    case.world
        .write("one.yaml", &all["one.yaml"].replace("name: one", "name: {one"));
    case.world.write(
        "two.yaml",
        &all["two.yaml"]
            .replace("kind: Secret", "kind: Secrte")
            .replace("key: \"2\"", "key: 2"),
    );
    case.world.write(
        "sub/list.yaml",
        &all["sub/list.yaml"].replace("{key: \"5\"}", "{key: 5}"),
    );
    case.world
        .write("web.yaml", &all["web.yaml"].replace("image:", "imge:"));
    let expected = [
        "one.yaml:5:",
        "sub/list.yaml:13:",
        "two.yaml:6:3",
        "two.yaml:16:1",
        "web.yaml:",
    ];
    case.goes_wrong("many", &expected).await;
    case.restore();
    case.recovers("many").await;
}

#[tokio::test]
async fn a_bomb_of_aliases_and_a_document_without_end() {
    let case = Case::new().await;
    let mut bomb = "a0: &a0 [lol]\n".to_owned();
    for level in 1..30 {
        let below = level - 1;
        bomb += &format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n");
    }
    let deep = format!("one: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let large = format!("# one\na: \"{}\"\n", "x".repeat(4 << 20));
    for (name, text) in [
        ("a bomb of aliases", bomb),
        ("a hundred thousand lists in lists", deep),
        ("four megabytes", large),
    ] {
        // It names no object, so that nothing but the file tells which it may hold.
        case.world.write("one.yaml", &text);
        case.goes_wrong(name, &["one.yaml:"]).await;
        case.restore();
        case.recovers(name).await;
    }
}

#[tokio::test]
async fn what_looks_odd_and_is_right_is_applied() {
    let case = Case::new().await;
    let one = &files()["one.yaml"];
    for (name, text) in [
        ("a BOM in front", format!("\u{feff}{one}")),
        ("carriage returns", one.replace('\n', "\r\n")),
        ("no newline at the end", one.trim_end().to_owned()),
        ("markers all around", format!("---\n---\n{one}---\n...\n---\n")),
        (
            "comments only beside it",
            format!("# hello\n{one}# bye\n---\n# nothing\n"),
        ),
        (
            "anchors that lead somewhere",
            format!("{one}  other: &x hello\n  third: *x\n"),
        ),
    ] {
        case.world.write("one.yaml", &text);
        case.goes_wrong(name, &[]).await;
        case.holds(name, "one", "1").await;
        case.restore();
        case.recovers(name).await;
    }
}
