//! Decides what a delivered webhook means: who sent it, whether it came before, and whether it concerns what is followed.
//! Never performs I/O.

use chrono::{DateTime, Utc};
use http::HeaderMap;
use ring::hmac;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::secret::Secret;
use super::seen::Seen;

/// Headers with the hexadecimal HMAC-SHA256 of the body, and what stands before it: GitHub's, which Gitea and Forgejo
/// send too, and Gitea's own.
const SIGNATURES: [(&str, &str); 2] = [("x-hub-signature-256", "sha256="), ("x-gitea-signature", "")];

/// GitLab's header with the secret itself.
const TOKEN: &str = "x-gitlab-token";

/// Headers that name the delivery.
const IDS: [&str; 3] = ["x-github-delivery", "x-gitea-delivery", "x-gitlab-event-uuid"];

/// Headers that name the event.
const EVENTS: [&str; 3] = ["x-gitea-event", "x-github-event", "x-gitlab-event"];

/// Events that tell of moved branches and tags.
const PUSHES: [&str; 3] = ["push", "Push Hook", "Tag Push Hook"];

/// Sent when a webhook is set up.
const PING: &str = "ping";

/// Which of a repository's references matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The default branch.
    Default,
    /// A branch, tag or full reference name.
    Named(String),
    /// Any: what is followed is a commit, or is chosen among several.
    Any,
}

impl Followed {
    /// What `--ref` means. A commit may come with any push.
    pub fn reference(reference: Option<&str>) -> Self {
        let is_hash = |text: &str| (7..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match reference {
            None | Some("HEAD") => Self::Default,
            Some(text) if is_hash(text) => Self::Any,
            Some(text) => Self::Named(text.to_owned()),
        }
    }
}

/// What an accepted delivery means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// There may be news.
    News,
    /// Nothing to do, and why.
    Nothing(String),
}

/// Why a delivery is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Also said of sources that do not exist, so that their names cannot be guessed.
    #[error("no such source, or the signature or token is wrong")]
    Unauthorized,
    #[error("this delivery was accepted before")]
    Repeated,
    #[error("send the payload as application/json")]
    NotJson,
    #[error("the payload cannot be read: {0}")]
    Unreadable(String),
}

/// The part of a push that matters.
#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    /// GitHub and Gitea.
    repository: Option<Project>,
    /// GitLab.
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Project {
    default_branch: Option<String>,
}

/// Decides. What is accepted is remembered in `seen`; what is refused is not.
pub(super) fn decide(
    headers: &HeaderMap,
    body: &[u8],
    secret: &Secret,
    followed: &Followed,
    seen: &mut Seen,
    now: DateTime<Utc>,
) -> Result<Meaning, Refusal> {
    let proof = authenticate(headers, body, secret)?;
    let keys = identities(headers, body, proof);
    if keys.iter().any(|key| seen.contains(key, now)) {
        return Err(Refusal::Repeated);
    }
    let meaning = meaning(headers, body, followed)?;
    for key in keys {
        seen.insert(key, now);
    }
    Ok(meaning)
}

/// How a sender proved to know the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// By a signature of the body.
    Body,
    /// By sending the secret.
    Token,
}

/// Every proof that is there must hold, and one must be there.
fn authenticate(headers: &HeaderMap, body: &[u8], secret: &Secret) -> Result<Proof, Refusal> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
    let mut proof = None;
    for (name, prefix) in SIGNATURES {
        for value in headers.get_all(name) {
            let given = value
                .to_str()
                .ok()
                .and_then(|text| hex::decode(text.strip_prefix(prefix)?).ok());
            // What is no signature is compared all the same, so that it takes the same time.
            let fits = hmac::verify(&key, body, &given.unwrap_or_default()).is_ok();
            proof = Some(if fits {
                Proof::Body
            } else {
                return Err(Refusal::Unauthorized);
            });
        }
    }
    for value in headers.get_all(TOKEN) {
        // Compared by their MACs, so that the time tells neither how long the secret is nor where they differ.
        let known = hmac::sign(&key, secret.bytes());
        if hmac::verify(&key, value.as_bytes(), known.as_ref()).is_err() {
            return Err(Refusal::Unauthorized);
        }
        proof = proof.or(Some(Proof::Token));
    }
    proof.ok_or(Refusal::Unauthorized)
}

/// By what a delivery is known again: its id, and the body where that is what was signed, for an id can be made up.
fn identities(headers: &HeaderMap, body: &[u8], proof: Proof) -> Vec<[u8; 32]> {
    let ids = IDS.iter().filter_map(|name| headers.get(*name));
    let mut found: Vec<[u8; 32]> = ids.map(|id| hash(b"id", id.as_bytes())).collect();
    if proof == Proof::Body || found.is_empty() {
        found.push(hash(b"body", body));
    }
    found
}

fn hash(kind: &[u8], bytes: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(bytes)
        .finalize()
        .into()
}

fn meaning(headers: &HeaderMap, body: &[u8], followed: &Followed) -> Result<Meaning, Refusal> {
    let event = EVENTS.iter().find_map(|name| headers.get(*name)?.to_str().ok());
    match event {
        Some(PING) => return Ok(Meaning::Nothing("ok".into())),
        Some(event) if !PUSHES.contains(&event) => {
            return Ok(Meaning::Nothing(format!(
                "events of the kind {event:?} change nothing here"
            )));
        }
        _ => {}
    }
    let form = headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if form {
        return Err(Refusal::NotJson);
    }
    let push: Push = serde_json::from_slice(body).map_err(|error| Refusal::Unreadable(error.to_string()))?;
    let default = push
        .repository
        .or(push.project)
        .and_then(|project| project.default_branch);
    let wanted = match followed {
        Followed::Any => return Ok(Meaning::News),
        Followed::Default => match default {
            Some(branch) => branch,
            // The sender does not say which branch that is; asking costs little.
            None => return Ok(Meaning::News),
        },
        Followed::Named(name) => name.clone(),
    };
    let pushed = push.reference;
    let concerns = [String::new(), "refs/heads/".to_owned(), "refs/tags/".to_owned()]
        .iter()
        .any(|prefix| pushed == format!("{prefix}{wanted}"));
    Ok(match concerns {
        true => Meaning::News,
        false => Meaning::Nothing(format!("{pushed} was pushed, and {wanted} is followed")),
    })
}
