//! Receivers of notifications: what they are sent, and in which form. Its `Debug` shows neither address nor token.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use http::header::{AUTHORIZATION, HeaderMap};
use reqwest::Url;
use serde_json::{Value, json};

use super::delivery::{Outgoing, Queue, secret_value};
use super::happening::{Event, Happening, Level, bounded};
use super::narrator::Listener;
use crate::gitops::error::Error;
use crate::gitops::report::Revision;
use crate::gitops::webhook::Secret;
use crate::object::source::Notification;

/// The longest first line, in characters: notices on small screens show no more.
const TITLE_MAX: usize = 120;

/// The most characters that Discord takes.
const DISCORD_MAX: usize = 2000;

/// The most characters that every Slack and Mattermost takes.
const CHAT_MAX: usize = 4000;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Generic,
    Slack,
    Mattermost,
    Discord,
}

/// Somebody who is told.
#[derive(Clone)]
pub struct Receiver {
    /// For people: where it is configured.
    name: String,
    form: Form,
    url: Url,
    headers: HeaderMap,
    events: BTreeSet<Event>,
    minimum: Level,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Receiver({})", self.name)
    }
}

impl Receiver {
    /// What a configuration says, with the address and the token that it leads to. `place` is where it stands.
    ///
    /// # Errors
    /// What is wrong, by its field.
    pub fn new(place: &str, spec: &Notification, url: &Secret, token: Option<&Secret>) -> Result<Self, Error> {
        let wrong = |field: &str, reason: String| Error::Config(format!("{place}.{field}: {reason}"));
        let form = match spec.type_.as_str() {
            "generic" => Form::Generic,
            "slack" => Form::Slack,
            "mattermost" => Form::Mattermost,
            "discord" => Form::Discord,
            other => {
                let known = "generic, slack, mattermost or discord";
                return Err(wrong("type", format!("{other:?}: write {known}")));
            }
        };
        let minimum = match spec.minimum_level.as_deref() {
            None | Some("info") => Level::Info,
            Some("error") => Level::Error,
            Some(other) => return Err(wrong("minimumLevel", format!("{other:?}: write info or error"))),
        };
        let mut events: BTreeSet<Event> = BTreeSet::new();
        for (index, name) in spec.events.iter().flatten().enumerate() {
            let event = Event::ALL.into_iter().find(|event| event.name() == name);
            events.insert(event.ok_or_else(|| {
                let known = Event::ALL.map(Event::name).join(", ");
                wrong(&format!("events[{index}]"), format!("{name:?}: write one of {known}"))
            })?);
        }
        if spec.events.is_none() {
            events.extend(Event::ALL.into_iter().filter(|event| *event != Event::DriftRepaired));
        }
        Ok(Self {
            name: format!("{place} ({})", spec.type_),
            form,
            url: address(url).map_err(|reason| wrong("url", reason.into()))?,
            headers: bearer(token).map_err(|reason| wrong("token", reason.into()))?,
            events,
            minimum,
        })
    }

    /// The files that these name.
    pub fn files(specs: &[Notification]) -> impl Iterator<Item = &String> {
        specs
            .iter()
            .flat_map(|spec| spec.url_file.iter().chain(&spec.token_file))
    }

    /// Those of a file, whose addresses lie in files as well.
    ///
    /// # Errors
    /// What is wrong, by its field.
    pub fn of_files(place: &str, specs: &[Notification]) -> Result<Vec<Self>, Error> {
        let read = |(index, spec): (usize, &Notification)| {
            let place = format!("{place}[{index}]");
            if spec.secret_ref.is_some() {
                let reason = "is for objects of a cluster; give urlFile, a file with the address";
                return Err(Error::Config(format!("{place}.secretRef: {reason}")));
            }
            let Some(file) = &spec.url_file else {
                return Err(Error::Config(format!("{place}.urlFile: give a file with the address")));
            };
            let url = Secret::read_as(&format!("{place}.urlFile"), Path::new(file))?;
            let token = spec.token_file.as_deref();
            let token = token.map(|file| Secret::read_as(&format!("{place}.tokenFile"), Path::new(file)));
            Self::new(&place, spec, &url, token.transpose()?.as_ref())
        };
        specs.iter().enumerate().map(read).collect()
    }

    /// For people.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn wants(&self, event: Event) -> bool {
        self.events.contains(&event) && event.level() >= self.minimum
    }
}

/// What it says is never quoted: an address is a secret.
fn address(url: &Secret) -> Result<Url, &'static str> {
    const WRONG: &str = "what is given is no address that begins with https:// or http://";
    let text = url.text().ok_or(WRONG)?;
    let url = Url::parse(text).map_err(|_| WRONG)?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(WRONG),
    }
}

fn bearer(token: Option<&Secret>) -> Result<HeaderMap, &'static str> {
    const WRONG: &str = "what is given has characters that no token has";
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let text = token.text().ok_or(WRONG)?;
        headers.insert(AUTHORIZATION, secret_value(&format!("Bearer {text}")).ok_or(WRONG)?);
    }
    Ok(headers)
}

/// A receiver's queue, for one source.
pub struct Notifier {
    pub source: String,
    pub receiver: Receiver,
    pub queue: Queue,
}

impl Listener for Notifier {
    fn happened(&self, happening: &Happening) {
        if self.receiver.wants(happening.event) {
            let Receiver { form, url, headers, .. } = &self.receiver;
            let body = body(*form, &self.source, happening);
            self.queue.push(Outgoing::new(url.clone(), headers.clone(), body));
        }
    }
}

fn body(form: Form, source: &str, happening: &Happening) -> Value {
    let text = titled(&format!("[{source}] {}", happening.event.name()), &happening.text);
    match form {
        Form::Generic => json!({
            "source": source,
            "event": happening.event,
            "level": happening.event.level(),
            "revision": happening.revision.as_ref().map(revision),
            "counts": happening.counts,
            "problems": happening.problems,
            "text": happening.text,
            "time": happening.at,
        }),
        // Else a commit's message could call everybody, or hide a link.
        Form::Slack => {
            let text = bounded(&text, CHAT_MAX);
            json!({"text": text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")})
        }
        Form::Mattermost => json!({"text": bounded(&text, CHAT_MAX).replace('@', "@\u{200b}")}),
        Form::Discord => json!({"content": bounded(&text, DISCORD_MAX), "allowed_mentions": {"parse": []}}),
    }
}

/// The text under a first line that fits where only that is shown.
fn titled(what: &str, text: &str) -> String {
    let whole = format!("{what}: {text}");
    let first = whole.lines().next().unwrap_or_default();
    match bounded(first, TITLE_MAX) {
        title if title == first => whole,
        title => format!("{title}\n{text}"),
    }
}

fn revision(revision: &Revision) -> Value {
    match revision {
        Revision::Commit(commit) | Revision::WorkTree { head: Some(commit), .. } => json!({
            "commit": commit.id,
            "ref": commit.reference,
            "subject": bounded(&commit.subject, CHAT_MAX),
            "author": commit.author,
        }),
        other => json!({"hash": other.id()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::source::{FORMS, LEVELS};

    fn secret(text: &str) -> Secret {
        Secret::new(text).expect("not empty")
    }

    fn spec(type_: &str) -> Notification {
        Notification {
            type_: type_.into(),
            ..Notification::default()
        }
    }

    #[test]
    fn mistakes_name_the_field_and_not_the_address() {
        let events = |name: &str| Notification {
            events: Some(vec!["Synced".into(), name.into()]),
            ..spec("slack")
        };
        let level = Notification {
            minimum_level: Some("warn".into()),
            ..spec("slack")
        };
        for (spec, url, part) in [
            (spec("slak"), "https://a.example/x", "n[0].type: \"slak\""),
            (spec("slack"), "a.example/sesame", "n[0].url"),
            (spec("slack"), "ftp://a.example/sesame", "n[0].url"),
            (events("synced"), "https://a.example/x", "n[0].events[1]: \"synced\""),
            (level, "https://a.example/x", "n[0].minimumLevel: \"warn\""),
        ] {
            let error = Receiver::new("n[0]", &spec, &secret(url), None)
                .expect_err(part)
                .to_string();
            assert!(error.contains(part) && !error.contains("sesame"), "{error}");
        }
        for form in FORMS {
            let level = LEVELS.map(|level| Notification {
                minimum_level: Some(level.into()),
                ..spec(form)
            });
            for spec in level {
                let receiver = Receiver::new("n[0]", &spec, &secret("https://a.example/sesame"), None);
                assert!(receiver.is_ok(), "{spec:?}: {receiver:?}");
            }
        }
        let receiver = Receiver::new("n[0]", &spec("slack"), &secret("https://a.example/sesame"), None).expect("valid");
        assert_eq!(format!("{receiver:?}"), "Receiver(n[0] (slack))");
        assert!(receiver.wants(Event::Synced) && !receiver.wants(Event::DriftRepaired));
    }

    #[test]
    fn chats_take_no_orders_from_a_commit() {
        let happening = Happening::said(Event::Synced, "<!channel> @all & more");
        for (form, expected) in [
            (
                Form::Slack,
                json!({"text": "[apps] Synced: &lt;!channel&gt; @all &amp; more"}),
            ),
            (
                Form::Mattermost,
                json!({"text": "[apps] Synced: <!channel> @\u{200b}all & more"}),
            ),
            (
                Form::Discord,
                json!({"content": "[apps] Synced: <!channel> @all & more", "allowed_mentions": {"parse": []}}),
            ),
        ] {
            assert_eq!(body(form, "apps", &happening), expected);
        }
        let long = Happening {
            text: "ä".repeat(3000),
            ..happening
        };
        let content = body(Form::Discord, "apps", &long)["content"]
            .as_str()
            .expect("text")
            .chars()
            .count();
        assert_eq!(content, DISCORD_MAX);
    }
}
