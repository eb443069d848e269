//! One handler a verb, for every kind alike. Never names a kind.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::body;
use super::error::ApiError;
use super::negotiate::{Include, shape};
use super::registry::update::{Ownership, Subject, update};
use super::registry::{self, Outcome, Write, delete, list};
use super::request::{Query, Target, Verb};
use super::respond::{self, View};
use super::select::Matcher;
use super::server::{Server, now};
use super::validation::{self, Strictness};
use super::{patching, watch};
use crate::object::Kind;
use crate::object::kind::Part;

/// The longest field manager name, as in Kubernetes.
const MANAGER_LENGTH_MAX: usize = 128;

/// A request that was taken apart.
pub struct Call<'a> {
    /// What all share.
    pub server: &'a Arc<Server>,
    /// What it is about.
    pub target: Target<'a>,
    /// Its parameters.
    pub query: &'a Query,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

impl Call<'_> {
    /// How the answer is to look.
    pub fn view(&self) -> Result<View, ApiError> {
        Ok(View {
            kind: self.target.kind,
            shape: shape(self.headers)?,
            include: Include::parse(self.query.get("includeObject"))?,
        })
    }

    /// The name, of a path that has one.
    pub fn name(&self) -> Result<&str, ApiError> {
        self.target.name.ok_or(ApiError::MethodNotAllowed)
    }

    /// Who writes: the parameter, or else the program that the User-Agent names.
    pub fn manager(&self) -> Result<String, ApiError> {
        let manager = match self.query.get("fieldManager") {
            Some(manager) => manager,
            None => {
                let agent = self
                    .headers
                    .get(header::USER_AGENT)
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default();
                agent
                    .split('/')
                    .next()
                    .filter(|program| !program.is_empty())
                    .unwrap_or("unknown")
            }
        };
        if self.query.get("fieldManager").is_some()
            && (manager.len() > MANAGER_LENGTH_MAX || manager.chars().any(char::is_control))
        {
            return Err(ApiError::BadRequest(format!(
                "fieldManager: Invalid value: must be at most {MANAGER_LENGTH_MAX} printable characters"
            )));
        }
        Ok(manager.chars().take(MANAGER_LENGTH_MAX).collect())
    }

    /// Reads the body as an object of the target's kind; warns of or refuses fields it does not have.
    pub async fn decode_body(&self, body: Body, warnings: &mut Vec<String>) -> Result<Value, ApiError> {
        let notation = body::notation(self.headers)?;
        let bytes = body::read(self.headers, body).await?;
        let loose = body::parse(&bytes, notation)?;
        let strictness = Strictness::read(self.query)?;
        validation::decode(self.target.kind, loose, strictness, warnings)
    }
}

/// Does what the verb says.
///
/// # Errors
/// What the client is told instead.
pub async fn run(call: Call<'_>, verb: Verb, body: Body) -> Result<Response, ApiError> {
    match verb {
        Verb::Get => get(call).await,
        Verb::List => list_all(call).await,
        Verb::Watch => watch_all(call).await,
        Verb::Create => create(call, body).await,
        Verb::Update => replace(call, body).await,
        Verb::Patch => patching::patch(call, body).await,
        Verb::Delete => delete_one(call, body).await,
        Verb::DeleteCollection => delete_all(call, body).await,
    }
}

async fn get(call: Call<'_>) -> Result<Response, ApiError> {
    let view = call.view()?;
    let (kind, name) = (call.target.kind, call.name()?);
    let at_least = list::version_parameter(call.query)?.unwrap_or(0);
    let (pair, current) = call
        .server
        .store
        .get(&super::record::key(kind, call.target.namespace, name))
        .await?;
    if at_least > current {
        return Err(ApiError::FutureVersion {
            requested: at_least,
            current,
        });
    }
    let pair = pair.ok_or_else(|| ApiError::not_found(kind, name))?;
    Ok(respond::json_bytes(
        StatusCode::OK,
        view.stored(&pair, pair.mod_revision, true)?,
    ))
}

async fn list_all(call: Call<'_>) -> Result<Response, ApiError> {
    let view = call.view()?;
    let matcher = Matcher::read(call.target.kind, call.query)?;
    let wanted = list::Wanted::read(call.query)?;
    let listing = list::list(call.server, call.target.kind, call.target.namespace, &matcher, &wanted).await?;
    Ok(respond::json_bytes(StatusCode::OK, view.list(&listing)?))
}

async fn watch_all(call: Call<'_>) -> Result<Response, ApiError> {
    let matcher = match call.target.name {
        Some(name) => Matcher::named(call.target.kind, name),
        None => Matcher::read(call.target.kind, call.query)?,
    };
    let request = watch::Request {
        namespace: call.target.namespace,
        matcher,
        view: call.view()?,
    };
    watch::watch(call.server, request, call.query).await
}

async fn create(call: Call<'_>, body: Body) -> Result<Response, ApiError> {
    let Target {
        kind, namespace, name, ..
    } = call.target;
    if name.is_some() || (kind.namespaced && namespace.is_none()) {
        return Err(ApiError::MethodNotAllowed);
    }
    let view = call.view()?;
    let mut warnings = Vec::new();
    let object = call.decode_body(body, &mut warnings).await?;
    check_namespace(&object, namespace)?;
    let (manager, now) = (call.manager()?, now());
    let write = Write {
        manager: &manager,
        subresource: "",
        now: &now,
        dry_run: call.query.dry_run()?,
    };
    let created = registry::create::create(call.server, kind, namespace, object, write).await?;
    let mut response = respond::json_value(StatusCode::CREATED, &view.object(&created));
    respond::warn(&mut response, &warnings);
    Ok(response)
}

async fn replace(call: Call<'_>, body: Body) -> Result<Response, ApiError> {
    let view = call.view()?;
    let Target { kind, namespace, .. } = call.target;
    let name = call.name()?;
    let mut warnings = Vec::new();
    let object = call.decode_body(body, &mut warnings).await?;
    check_namespace(&object, namespace)?;
    check_name(&object, name)?;
    let (manager, now) = (call.manager()?, now());
    let part = part_of(&call);
    let write = Write {
        manager: &manager,
        subresource: subresource_of(part),
        now: &now,
        dry_run: call.query.dry_run()?,
    };
    let subject = Subject {
        kind,
        namespace,
        name,
        part,
    };
    let outcome = update(call.server, subject, Ownership::Track, write, |live| {
        check_uid(kind, name, &object, live)?;
        Ok(object.clone())
    })
    .await?;
    let mut response = respond::json_value(StatusCode::OK, &view.object(&outcome.object));
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// Which part of the object the path names.
pub fn part_of(call: &Call<'_>) -> Part {
    if call.target.subresource == Some("status") {
        Part::Status
    } else {
        Part::Main
    }
}

/// As `managedFields` records the part.
pub fn subresource_of(part: Part) -> &'static str {
    match part {
        Part::Main => "",
        Part::Status => "status",
    }
}

/// Refuses a body for another object than the path's.
pub fn check_name(object: &Value, name: &str) -> Result<(), ApiError> {
    match registry::text(object, "/metadata/name") {
        "" => Err(ApiError::BadRequest("name must be provided".to_owned())),
        own if own == name => Ok(()),
        own => Err(ApiError::BadRequest(format!(
            "the name of the object ({own}) does not match the name on the URL ({name})"
        ))),
    }
}

/// Refuses a body for another namespace than the path's.
pub fn check_namespace(object: &Value, namespace: Option<&str>) -> Result<(), ApiError> {
    let own = registry::text(object, "/metadata/namespace");
    if own.is_empty() || namespace.is_none_or(|namespace| namespace == own) {
        return Ok(());
    }
    Err(ApiError::BadRequest(
        "the namespace of the provided object does not match the namespace sent on the request".to_owned(),
    ))
}

/// Refuses a body that was made from an earlier object of the same name.
fn check_uid(kind: &Kind, name: &str, object: &Value, live: &Value) -> Result<(), ApiError> {
    let (named, actual) = (
        registry::text(object, "/metadata/uid"),
        registry::text(live, "/metadata/uid"),
    );
    if named.is_empty() || named == actual {
        return Ok(());
    }
    Err(ApiError::conflict(
        kind,
        name,
        format!("Precondition failed: UID in precondition: {named}, UID in object meta: {actual}"),
    ))
}

/// The options of a deletion: the body's, or else the query's.
async fn delete_options(call: &Call<'_>, body: Body) -> Result<delete::Options, ApiError> {
    let bytes = body::read(call.headers, body).await?;
    let value = if bytes.is_empty() {
        Value::Null
    } else {
        body::parse_optional(&bytes, body::notation(call.headers)?)?
    };
    let mut options = delete::Options::read(&value)?;
    options.grace_seconds = match options.grace_seconds {
        Some(seconds) => Some(seconds),
        None => call.query.number("gracePeriodSeconds")?,
    };
    if let Some(policy) = call.query.get("propagationPolicy") {
        delete::check_propagation(policy)?;
    }
    options.dry_run |= call.query.dry_run()?;
    Ok(options)
}

async fn delete_one(call: Call<'_>, body: Body) -> Result<Response, ApiError> {
    let view = call.view()?;
    let (kind, name) = (call.target.kind, call.name()?);
    let options = delete_options(&call, body).await?;
    let outcome = delete::delete(call.server, kind, call.target.namespace, name, &options).await?;
    Ok(deleted(&view, name, &outcome))
}

/// What a client is told of a deletion: the object where it stays a while (or is a pod or service account, as Kubernetes
/// does), else a Status that names the uid, which `kubectl delete` waits for to vanish.
fn deleted(view: &View, name: &str, outcome: &Outcome) -> Response {
    let kind = view.kind;
    if !outcome.removed || matches!(kind.kind, "Pod" | "ServiceAccount") {
        return respond::json_value(StatusCode::OK, &view.object(&outcome.object));
    }
    let mut details = json!({"name": name, "kind": kind.plural, "uid": outcome.object["metadata"]["uid"]});
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    respond::json_value(StatusCode::OK, &status)
}

async fn delete_all(call: Call<'_>, body: Body) -> Result<Response, ApiError> {
    let Target { kind, namespace, .. } = call.target;
    if !super::discovery::allows_delete_collection(kind) || (kind.namespaced && namespace.is_none()) {
        return Err(ApiError::MethodNotAllowed);
    }
    let view = call.view()?;
    let options = delete_options(&call, body).await?;
    let matcher = Matcher::read(kind, call.query)?;
    let listing = list::list(call.server, kind, namespace, &matcher, &list::Wanted::read(call.query)?).await?;
    for pair in &listing.items {
        let name = pair.key.rsplit('/').next().unwrap_or_default();
        match delete::delete(call.server, kind, namespace, name, &options).await {
            // Somebody else was faster.
            Ok(_) | Err(ApiError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(respond::json_bytes(StatusCode::OK, view.list(&listing)?))
}
