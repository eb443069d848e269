//! Shows at a repository's host whether a commit is applied: GitHub, GitLab, Gitea and Forgejo.
//!
//! After their documentation: GitHub `POST /repos/{owner}/{repo}/statuses/{sha}`, GitLab
//! `POST /projects/:id/statuses/:sha`, Gitea `POST /repos/{owner}/{repo}/statuses/{sha}` below `/api/v1`.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use http::header::{ACCEPT, AUTHORIZATION, HeaderMap};
use http::{HeaderName, HeaderValue};
use reqwest::Url;
use serde_json::{Value, json};

use super::delivery::{Outgoing, Queue, secret_value};
use super::happening::{bounded, sum};
use crate::gitops::error::Error;
use crate::gitops::observed::{Observed, Round};
use crate::gitops::report::{Report, Reporter, Revision};
use crate::gitops::webhook::Secret;
use crate::object::source::CommitStatus as Spec;

/// The most characters that GitHub takes of a description.
const DESCRIPTION_MAX: usize = 140;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    GitHub,
    GitLab,
    Gitea,
}

/// Where and in which name statuses are set. Its `Debug` does not show the token.
#[derive(Clone)]
pub struct CommitStatus {
    host: Host,
    /// What a commit's hash is added to.
    url: Url,
    headers: HeaderMap,
    context: String,
}

impl fmt::Debug for CommitStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CommitStatus({:?}, {})", self.host, self.context)
    }
}

impl CommitStatus {
    /// What a configuration says, with the token that it leads to. `place` is where it stands, `name` the source's.
    ///
    /// # Errors
    /// What is wrong, by its field.
    pub fn new(place: &str, name: &str, spec: &Spec, token: &Secret) -> Result<Self, Error> {
        let wrong = |field: &str, reason: String| Error::Config(format!("{place}.{field}: {reason}"));
        let (host, public) = match spec.type_.as_str() {
            "github" => (Host::GitHub, Some("https://api.github.com")),
            "gitlab" => (Host::GitLab, Some("https://gitlab.com/api/v4")),
            "gitea" => (Host::Gitea, None),
            other => return Err(wrong("type", format!("{other:?}: write github, gitlab or gitea"))),
        };
        let base = spec.url.as_deref().or(public);
        let base = base.ok_or_else(|| wrong("url", "say where the API begins: https://HOST/api/v1".into()))?;
        let mut url = Url::parse(base)
            .ok()
            .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host() && url.query().is_none())
            .ok_or_else(|| wrong("url", "write an address that begins with https:// or http://".into()))?;
        let repository = match host {
            Host::GitHub | Host::Gitea => spec
                .repository
                .split_once('/')
                .filter(|(owner, name)| !owner.is_empty() && !name.is_empty() && !name.contains('/'))
                .map(|(owner, name)| vec!["repos", owner, name])
                .ok_or_else(|| wrong("repository", format!("{:?}: write owner/name", spec.repository)))?,
            Host::GitLab if spec.repository.is_empty() => {
                return Err(wrong("repository", "write the project's path or number".into()));
            }
            // One segment, the slashes of a path in it encoded.
            Host::GitLab => vec!["projects", &spec.repository],
        };
        url.path_segments_mut()
            .map_err(|()| wrong("url", "write an address that begins with https:// or http://".into()))?
            .pop_if_empty()
            .extend(repository)
            .push("statuses");
        Ok(Self {
            host,
            url,
            headers: headers(host, token)
                .ok_or_else(|| wrong("token", "what is given has characters that no token has".into()))?,
            context: spec.context.clone().unwrap_or_else(|| format!("reconcile/{name}")),
        })
    }

    /// That of a file, whose token lies in a file as well.
    ///
    /// # Errors
    /// What is wrong, by its field.
    pub fn of_file(place: &str, name: &str, spec: &Spec) -> Result<Self, Error> {
        if spec.secret_ref.is_some() {
            let reason = "is for objects of a cluster; give tokenFile, a file with the access token";
            return Err(Error::Config(format!("{place}.secretRef: {reason}")));
        }
        let Some(file) = &spec.token_file else {
            let reason = "give a file with the access token";
            return Err(Error::Config(format!("{place}.tokenFile: {reason}")));
        };
        let token = Secret::read_as(&format!("{place}.tokenFile"), Path::new(file))?;
        Self::new(place, name, spec, &token)
    }

    fn outgoing(&self, status: &Status) -> Option<Outgoing> {
        let mut url = self.url.clone();
        url.path_segments_mut().ok()?.push(&status.commit);
        Some(Outgoing::new(url, self.headers.clone(), self.body(status)))
    }

    fn body(&self, status: &Status) -> Value {
        let state = match (self.host, status.state) {
            (_, State::Pending) => "pending",
            (_, State::Success) => "success",
            (Host::GitLab, State::Failure) => "failed",
            (_, State::Failure) => "failure",
        };
        json!({"state": state, "context": self.context, "description": bounded(&status.description, DESCRIPTION_MAX)})
    }
}

fn headers(host: Host, token: &Secret) -> Option<HeaderMap> {
    let token = token.text()?;
    let mut headers = HeaderMap::new();
    match host {
        Host::GitHub => {
            headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
            headers.insert(
                HeaderName::from_static("x-github-api-version"),
                HeaderValue::from_static("2022-11-28"),
            );
            headers.insert(AUTHORIZATION, secret_value(&format!("Bearer {token}"))?);
        }
        Host::GitLab => {
            headers.insert(HeaderName::from_static("private-token"), secret_value(token)?);
        }
        Host::Gitea => {
            headers.insert(AUTHORIZATION, secret_value(&format!("token {token}"))?);
        }
    }
    Some(headers)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Success,
    Failure,
}

/// What is shown of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Status {
    commit: String,
    state: State,
    description: String,
}

impl Status {
    /// Whether this says nothing that matters beyond the other: what a repair of drift did is no news of the commit.
    fn is_as(&self, other: &Self) -> bool {
        self.commit == other.commit
            && self.state == other.state
            && (self.state == State::Success || self.description == other.description)
    }
}

/// Sets the statuses of the commits of one source.
pub struct Setter {
    to: CommitStatus,
    queue: Queue,
    last: Mutex<Option<Status>>,
}

impl Setter {
    /// One whose statuses are delivered from that queue.
    pub fn new(to: CommitStatus, queue: Queue) -> Self {
        let last = Mutex::default();
        Self { to, queue, last }
    }

    fn set(&self, status: Status) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|last| status.is_as(last)) {
            return;
        }
        if let Some(message) = self.to.outgoing(&status) {
            self.queue.push(message);
        }
        *last = Some(status);
    }
}

impl Reporter for Setter {
    fn report(&self, report: Report) {
        if let Report::RolledBack(quarantine) = report
            && let Revision::Commit(commit) = &quarantine.revision
        {
            self.set(Status {
                commit: commit.id.clone(),
                state: State::Failure,
                description: format!("rolled back {quarantine}").replace('\n', " "),
            });
        }
    }

    fn observe(&self, observed: &Observed<'_>) {
        match *observed {
            Observed::TakenUp {
                revision: Revision::Commit(commit),
                is_new: true,
            } => {
                let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let is_known = last.as_ref().is_some_and(|last| last.commit == commit.id);
                drop(last);
                if !is_known {
                    self.set(Status {
                        commit: commit.id.clone(),
                        state: State::Pending,
                        description: "being applied".into(),
                    });
                }
            }
            Observed::Synced(round) => {
                if let Some(status) = outcome(&round) {
                    self.set(status);
                }
            }
            _ => {}
        }
    }
}

/// What a round says of its commit; nothing while something is still to be made again.
fn outcome(round: &Round<'_>) -> Option<Status> {
    let Revision::Commit(commit) = round.revision else {
        return None;
    };
    let (state, description) = match (round.now.problems.first(), &round.now.approval) {
        (Some(problem), _) => (State::Failure, format!("{} wrong: {problem}", round.now.problem_count)),
        (None, Some(approval)) => (State::Pending, approval.to_string()),
        (None, None) if round.waiting > 0 => return None,
        (None, None) => (State::Success, sum(round.counts)),
    };
    Some(Status {
        commit: commit.id.clone(),
        state,
        description: description.replace('\n', " "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::source::COMMIT_HOSTS;

    fn spec(type_: &str, repository: &str, url: Option<&str>) -> Spec {
        Spec {
            type_: type_.into(),
            repository: repository.into(),
            url: url.map(str::to_owned),
            ..Spec::default()
        }
    }

    fn token() -> Secret {
        Secret::new("sesame").expect("not empty")
    }

    #[test]
    fn each_host_has_its_address() {
        for (spec, expected) in [
            (spec("github", "o/n", None), "https://api.github.com/repos/o/n/statuses"),
            (
                spec("github", "o/n", Some("https://git.example/api/v3/")),
                "https://git.example/api/v3/repos/o/n/statuses",
            ),
            (
                spec("gitlab", "group/sub/n", None),
                "https://gitlab.com/api/v4/projects/group%2Fsub%2Fn/statuses",
            ),
            (
                spec("gitlab", "42", None),
                "https://gitlab.com/api/v4/projects/42/statuses",
            ),
            (
                spec("gitea", "o/n", Some("http://git.example/api/v1")),
                "http://git.example/api/v1/repos/o/n/statuses",
            ),
        ] {
            let status = CommitStatus::new("commitStatus", "apps", &spec, &token()).expect("valid");
            assert_eq!(status.url.as_str(), expected);
            assert_eq!(status.context, "reconcile/apps");
            assert!(!format!("{status:?} {:?}", status.headers).contains("sesame"));
        }
    }

    #[test]
    fn mistakes_name_the_field() {
        for host in COMMIT_HOSTS {
            let spec = spec(host, "o/n", Some("https://git.example"));
            let known = CommitStatus::new("commitStatus", "apps", &spec, &token());
            assert!(known.is_ok(), "{host}: {known:?}");
        }
        for (spec, part) in [
            (spec("svn", "o/n", None), "commitStatus.type: \"svn\""),
            (spec("github", "n", None), "commitStatus.repository: \"n\""),
            (spec("github", "a/b/c", None), "commitStatus.repository: \"a/b/c\""),
            (spec("gitlab", "", None), "commitStatus.repository: write"),
            (spec("gitea", "o/n", None), "commitStatus.url: say where"),
            (spec("github", "o/n", Some("git.example")), "commitStatus.url: write"),
        ] {
            let error = CommitStatus::new("commitStatus", "apps", &spec, &token());
            let error = error.expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
