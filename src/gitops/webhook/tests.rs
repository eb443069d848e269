//! The decision over a delivery. The signatures were computed with `openssl dgst -sha256 -hmac "$SECRET"`.

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::delivery::{Followed, Meaning, Refusal, decide};
use super::secret::Secret;
use super::seen::Seen;

const SECRET: &str = "It's a Secret to Everybody";
const MAIN: &str = r#"{"ref":"refs/heads/main","repository":{"default_branch":"main"}}"#;
const MAIN_SIGNATURE: &str = "7b3774420d32e8e285b2f6877d86bbd3f7ea04d02ff643870b6332070f53825f";
const OTHER: &str = r#"{"ref":"refs/heads/other","repository":{"default_branch":"main"}}"#;
const OTHER_SIGNATURE: &str = "273fccf227d89a67e5a4ac154d91baae2be86bc1a5e7b751c8ff74c27e131f64";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name: HeaderName = name.parse().expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    };
    pairs.iter().map(pair).collect()
}

fn now() -> DateTime<Utc> {
    "2024-03-01T10:00:00Z".parse().expect("a time")
}

fn decided(pairs: &[(&str, &str)], body: &str, followed: &Followed, seen: &mut Seen) -> Result<Meaning, Refusal> {
    let secret = Secret::new(SECRET).expect("a secret");
    decide(&headers(pairs), body.as_bytes(), &secret, followed, seen, now())
}

fn once(pairs: &[(&str, &str)], body: &str) -> Result<Meaning, Refusal> {
    decided(pairs, body, &Followed::Default, &mut Seen::default())
}

#[test]
fn every_sender_can_prove_itself() {
    let hub = format!("sha256={MAIN_SIGNATURE}");
    let upper = MAIN_SIGNATURE.to_uppercase();
    for (name, pairs) in [
        (
            "GitHub",
            vec![("x-hub-signature-256", &*hub), ("x-github-event", "push")],
        ),
        (
            "Gitea",
            vec![("x-gitea-signature", MAIN_SIGNATURE), ("x-gitea-event", "push")],
        ),
        (
            "Gitea, both",
            vec![("x-gitea-signature", MAIN_SIGNATURE), ("x-hub-signature-256", &*hub)],
        ),
        ("capitals", vec![("x-gitea-signature", &*upper)]),
        (
            "GitLab",
            vec![("x-gitlab-token", SECRET), ("x-gitlab-event", "Push Hook")],
        ),
    ] {
        assert_eq!(once(&pairs, MAIN), Ok(Meaning::News), "{name}");
    }
    // The example of GitHub's documentation.
    let hello = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let outcome = once(
        &[("x-hub-signature-256", hello), ("x-github-event", "ping")],
        "Hello, World!",
    );
    assert_eq!(outcome, Ok(Meaning::Nothing("ok".into())));
}

#[test]
fn nobody_else_can() {
    let hub = format!("sha256={MAIN_SIGNATURE}");
    let other = format!("sha256={OTHER_SIGNATURE}");
    let cut = format!("sha256={}", &MAIN_SIGNATURE[..62]);
    for (name, pairs) in [
        ("no header", vec![]),
        ("empty", vec![("x-hub-signature-256", "")]),
        ("no prefix", vec![("x-hub-signature-256", MAIN_SIGNATURE)]),
        ("another body's", vec![("x-hub-signature-256", &*other)]),
        ("cut short", vec![("x-hub-signature-256", &*cut)]),
        ("no hexadecimal", vec![("x-gitea-signature", "zz")]),
        ("the old header", vec![("x-hub-signature", &*hub)]),
        (
            "a good one and a bad one",
            vec![("x-hub-signature-256", &*hub), ("x-gitea-signature", OTHER_SIGNATURE)],
        ),
        (
            "two of a name",
            vec![("x-hub-signature-256", &*hub), ("x-hub-signature-256", &*other)],
        ),
        (
            "a good one and a wrong token",
            vec![("x-hub-signature-256", &*hub), ("x-gitlab-token", "no")],
        ),
        ("a wrong token", vec![("x-gitlab-token", "It's a Secret to Everybod")]),
        ("an empty token", vec![("x-gitlab-token", "")]),
    ] {
        assert_eq!(once(&pairs, MAIN), Err(Refusal::Unauthorized), "{name}");
    }
    assert!(Secret::new("").is_none(), "everybody knows nothing");
}

#[test]
fn a_delivery_is_accepted_once() {
    let (main, other) = (format!("sha256={MAIN_SIGNATURE}"), format!("sha256={OTHER_SIGNATURE}"));
    let mut seen = Seen::default();
    for (name, signature, id, body, expected) in [
        ("the first", &main, Some("1"), MAIN, Ok(Meaning::News)),
        ("again", &main, Some("1"), MAIN, Err(Refusal::Repeated)),
        (
            "again, under an id that was made up",
            &main,
            Some("2"),
            MAIN,
            Err(Refusal::Repeated),
        ),
        ("again, without an id", &main, None, MAIN, Err(Refusal::Repeated)),
        ("not signed", &main, Some("3"), OTHER, Err(Refusal::Unauthorized)),
        ("a known id", &other, Some("1"), OTHER, Err(Refusal::Repeated)),
        (
            "an id of a refused one",
            &other,
            Some("3"),
            OTHER,
            Ok(Meaning::Nothing(
                "refs/heads/other was pushed, and main is followed".into(),
            )),
        ),
    ] {
        let mut pairs = vec![("x-hub-signature-256", &**signature), ("x-github-event", "push")];
        pairs.extend(id.map(|id| ("x-github-delivery", id)));
        assert_eq!(decided(&pairs, body, &Followed::Default, &mut seen), expected, "{name}");
    }
    let secret = Secret::new(SECRET).expect("a secret");
    let later = now() + TimeDelta::days(8);
    let pairs = headers(&[("x-hub-signature-256", &main)]);
    let outcome = decide(&pairs, MAIN.as_bytes(), &secret, &Followed::Default, &mut seen, later);
    assert_eq!(outcome, Ok(Meaning::News), "forgotten in the end");

    let mut seen = Seen::default();
    for (name, id, expected) in [
        ("a token proves nothing of the body", "1", Ok(Meaning::News)),
        ("the same body, sent anew", "2", Ok(Meaning::News)),
        ("the same delivery", "2", Err(Refusal::Repeated)),
    ] {
        let pairs = [("x-gitlab-token", SECRET), ("x-gitlab-event-uuid", id)];
        assert_eq!(decided(&pairs, MAIN, &Followed::Default, &mut seen), expected, "{name}");
    }
}

#[test]
fn only_pushes_of_what_is_followed_matter() {
    let body = |reference: &str| format!(r#"{{"ref":"{reference}","project":{{"default_branch":"main"}}}}"#);
    for (reference, pushed, news) in [
        (None, "refs/heads/main", true),
        (None, "refs/heads/mainline", false),
        (None, "refs/tags/main", true),
        (Some("HEAD"), "refs/heads/main", true),
        (Some("live"), "refs/heads/live", true),
        (Some("live"), "refs/heads/main", false),
        (Some("live"), "refs/heads/x/live", false),
        (Some("v1"), "refs/tags/v1", true),
        (Some("refs/tags/v1"), "refs/tags/v1", true),
        (Some("refs/tags/v1"), "refs/heads/v1", false),
        (Some("0123abc"), "refs/heads/any", true),
    ] {
        let followed = Followed::reference(reference);
        let pairs = [("x-gitlab-token", SECRET), ("x-gitlab-event", "Push Hook")];
        let meaning = decided(&pairs, &body(pushed), &followed, &mut Seen::default()).expect("accepted");
        assert_eq!(meaning == Meaning::News, news, "{reference:?} {pushed}: {meaning:?}");
    }
    let unnamed = once(&[("x-gitlab-token", SECRET)], r#"{"ref":"refs/heads/x"}"#);
    assert_eq!(unnamed, Ok(Meaning::News), "where the default branch is not told");
}

#[test]
fn what_cannot_be_understood_is_said() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let token = ("x-gitlab-token", SECRET);
    assert_eq!(once(&[token, form], "payload=%7B%7D"), Err(Refusal::NotJson));
    for body in ["", "{", r#"{"ref":1}"#, "[]"] {
        let outcome = once(&[token], body);
        assert!(matches!(outcome, Err(Refusal::Unreadable(_))), "{body:?}: {outcome:?}");
    }
    let issues = once(&[token, ("x-gitlab-event", "Issue Hook")], "{}");
    assert!(matches!(issues, Ok(Meaning::Nothing(_))), "{issues:?}");
}
