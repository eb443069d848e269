//! Requests to the API server for objects of any kind, as plain values. Decides nothing.

use std::time::Duration;

use http::{Method, Request, header};
use kube::Client;
use kube::core::{ObjectList, Status};
use serde_json::Value;
use tokio::time::timeout;

use super::applyset::PART_OF;
use super::fieldset::MANAGER;
use super::kinds::Resource;

/// Objects a list request returns at most; more come in further pages.
const PAGE: usize = 500;

/// Pages of one list: a server that never ends its pages is broken.
const MAX_PAGES: usize = 10_000;

/// How long one answer may take. API servers end requests after a minute themselves; what is not answered by half of
/// that time never will be, and everything waits for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Gives up waiting for an answer that does not come.
///
/// # Errors
/// The request's own, or that there was no answer.
pub(super) async fn answered<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match timeout(ANSWER_TIMEOUT, request).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service(
            format!("the API server did not answer within {} s", ANSWER_TIMEOUT.as_secs()).into(),
        )),
    }
}

/// Whether a write is carried out or only answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// For real.
    Write,
    /// `dryRun=All`.
    DryRun,
}

/// Sends requests about objects.
#[derive(Clone)]
pub(super) struct Requests {
    client: Client,
}

/// What a list answers, items untyped.
type List = ObjectList<kube::core::DynamicObject>;

impl Requests {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The object, or None where there is none.
    pub async fn get(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, kube::Error> {
        let request = build(Method::GET, &path(resource, namespace, Some(name)), &[], None)?;
        match answered(self.client.request::<Value>(request)).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if is_absent(&status) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The members of the set of this kind, in all namespaces.
    pub async fn members(&self, resource: &Resource, set: &str) -> Result<Vec<Value>, kube::Error> {
        self.list(resource, None, Some(&format!("{PART_OF}={set}"))).await
    }

    /// All objects of a kind, of a namespace where one is given.
    pub async fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<Value>, kube::Error> {
        let mut objects = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let limit = PAGE.to_string();
            let mut query = vec![("limit", limit.as_str())];
            query.extend(labels.map(|labels| ("labelSelector", labels)));
            query.extend(token.as_deref().map(|token| ("continue", token)));
            let request = build(Method::GET, &path(resource, namespace, None), &query, None)?;
            let page: List = answered(self.client.request(request)).await?;
            for item in page.items {
                let mut object = serde_json::to_value(item).map_err(kube::Error::SerdeError)?;
                // Items of a list leave out what the list says.
                object["apiVersion"] = resource.api.api_version.clone().into();
                object["kind"] = resource.api.kind.clone().into();
                objects.push(object);
            }
            token = page.metadata.continue_.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        Ok(objects)
    }

    /// Server-side apply. Git wins over other managers; unknown fields are refused.
    pub async fn apply(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        manifest: &Value,
        mode: Mode,
    ) -> Result<Value, kube::Error> {
        let mut query = vec![
            ("fieldManager", MANAGER),
            ("force", "true"),
            ("fieldValidation", "Strict"),
        ];
        if mode == Mode::DryRun {
            query.push(("dryRun", "All"));
        }
        let body = Some(("application/apply-patch+yaml", manifest));
        let request = build(Method::PATCH, &path(resource, namespace, Some(name)), &query, body)?;
        answered(self.client.request(request)).await
    }

    /// Merges a patch into the object: a hand of its own, that owns nothing afterwards.
    pub async fn merge(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<Value, kube::Error> {
        let body = Some(("application/merge-patch+json", patch));
        let query = [("fieldManager", MANAGER)];
        let request = build(Method::PATCH, &path(resource, namespace, Some(name)), &query, body)?;
        answered(self.client.request(request)).await
    }

    /// What creating the object would give; it is created nowhere.
    pub async fn preview_create(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        manifest: &Value,
    ) -> Result<Value, kube::Error> {
        let query = [
            ("fieldManager", MANAGER),
            ("fieldValidation", "Strict"),
            ("dryRun", "All"),
        ];
        let body = Some(("application/json", manifest));
        let request = build(Method::POST, &path(resource, namespace, None), &query, body)?;
        answered(self.client.request(request)).await
    }

    /// Deletes this very object, and with a revision only in this very state.
    pub async fn delete(&self, resource: &Resource, object: &Value, this_revision: bool) -> Result<(), kube::Error> {
        let metadata = &object["metadata"];
        let mut preconditions = serde_json::json!({"uid": metadata["uid"]});
        if this_revision {
            preconditions["resourceVersion"] = metadata["resourceVersion"].clone();
        }
        let options = serde_json::json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": "Background",
        });
        let name = metadata["name"].as_str().unwrap_or_default();
        let path = path(resource, metadata["namespace"].as_str(), Some(name));
        let request = build(Method::DELETE, &path, &[], Some(("application/json", &options)))?;
        answered(self.client.request::<Value>(request)).await.map(|_| ())
    }
}

/// Whether the answer says that the object (and not, say, its kind) is absent.
pub(super) fn is_absent(status: &Status) -> bool {
    status.code == 404
}

fn path(resource: &Resource, namespace: Option<&str>, name: Option<&str>) -> String {
    let api = &resource.api;
    let mut path = match api.group.as_str() {
        "" => format!("/api/{}", api.version),
        group => format!("/apis/{group}/{}", api.version),
    };
    if let Some(namespace) = namespace.filter(|_| resource.namespaced) {
        path = format!("{path}/namespaces/{}", encode(namespace));
    }
    path = format!("{path}/{}", api.plural);
    match name {
        Some(name) => format!("{path}/{}", encode(name)),
        None => path,
    }
}

fn build(
    method: Method,
    path: &str,
    query: &[(&str, &str)],
    body: Option<(&str, &Value)>,
) -> Result<Request<Vec<u8>>, kube::Error> {
    let query: Vec<String> = query
        .iter()
        .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
        .collect();
    let uri = match query.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", query.join("&")),
    };
    let mut request = Request::builder().method(method).uri(uri);
    let bytes = match body {
        Some((content_type, value)) => {
            request = request.header(header::CONTENT_TYPE, content_type);
            serde_json::to_vec(value).map_err(kube::Error::SerdeError)?
        }
        None => Vec::new(),
    };
    request.body(bytes).map_err(kube::Error::HttpError)
}

/// Percent-encodes all but what is safe in paths and queries: names come from files, and files say anything.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    // A name of dots only would be taken for a way through the path.
    match encoded.as_str() {
        "." => "%2E".into(),
        ".." => "%2E%2E".into(),
        _ => encoded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_stay_names() {
        for (name, encoded) in [
            ("web", "web"),
            ("a/b", "a%2Fb"),
            ("..", "%2E%2E"),
            ("a?x=1", "a%3Fx%3D1"),
            ("ä", "%C3%A4"),
        ] {
            assert_eq!(encode(name), encoded);
        }
    }
}
