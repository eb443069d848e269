//! Tells clients which resources there are: the older lists and the aggregated one. Reads only the kinds table.

mod table;

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::error::ApiError;
use super::negotiate::accepted;
use super::respond;
pub use table::{Entry, Subresource, allows_delete_collection, entries, subresources};

/// `/api`.
///
/// # Errors
/// 406.
pub fn core(headers: &HeaderMap) -> Result<Response, ApiError> {
    if let Some(version) = aggregated(headers)? {
        return Ok(aggregate(version, |group| group.is_empty()));
    }
    Ok(respond::json_value(
        StatusCode::OK,
        &json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
    ))
}

/// `/apis`.
///
/// # Errors
/// 406.
pub fn groups(headers: &HeaderMap) -> Result<Response, ApiError> {
    if let Some(version) = aggregated(headers)? {
        return Ok(aggregate(version, |group| !group.is_empty()));
    }
    let groups: Vec<Value> = group_versions()
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, version)| group_of(group, version))
        .collect();
    Ok(respond::json_value(
        StatusCode::OK,
        &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
    ))
}

/// `/apis/GROUP`.
///
/// # Errors
/// 404.
pub fn group(name: &str) -> Result<Response, ApiError> {
    let (group, version) = group_versions()
        .into_iter()
        .find(|(group, _)| *group == name && !group.is_empty())
        .ok_or(ApiError::NoSuchPath)?;
    let mut body = group_of(group, version);
    body["kind"] = json!("APIGroup");
    body["apiVersion"] = json!("v1");
    Ok(respond::json_value(StatusCode::OK, &body))
}

fn group_of(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// Every group served with its version, core first, without repetition.
pub fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for entry in entries() {
        if !found.contains(&(entry.group, entry.version)) {
            found.push((entry.group, entry.version));
        }
    }
    found.sort_unstable();
    found
}

/// `/api/v1`, `/apis/GROUP/VERSION`.
///
/// # Errors
/// 404.
pub fn resources(group: &str, version: &str) -> Result<Response, ApiError> {
    let mut resources = Vec::new();
    for entry in entries()
        .iter()
        .filter(|entry| entry.group == group && entry.version == version)
    {
        resources.push(resource(entry));
        resources.extend(
            subresources(entry)
                .iter()
                .map(|subresource| subresource_of(entry, subresource)),
        );
    }
    if resources.is_empty() {
        return Err(ApiError::NoSuchPath);
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(respond::json_value(
        StatusCode::OK,
        &json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
        }),
    ))
}

fn resource(entry: &Entry) -> Value {
    let mut value = json!({
        "name": entry.plural, "singularName": entry.singular, "namespaced": entry.namespaced, "kind": entry.kind, "verbs": entry.verbs,
    });
    if !entry.short_names.is_empty() {
        value["shortNames"] = json!(entry.short_names);
    }
    if !entry.categories.is_empty() {
        value["categories"] = json!(entry.categories);
    }
    value
}

fn subresource_of(entry: &Entry, subresource: &Subresource) -> Value {
    let mut value = json!({
        "name": format!("{}/{}", entry.plural, subresource.name), "singularName": "", "namespaced": entry.namespaced,
        "kind": subresource.kind, "verbs": subresource.verbs,
    });
    if (subresource.group, subresource.version) != (entry.group, entry.version) {
        value["group"] = json!(subresource.group);
        value["version"] = json!(subresource.version);
    }
    value
}

/// The version of the aggregated form that the client prefers to the older form, if it does.
fn aggregated(headers: &HeaderMap) -> Result<Option<&'static str>, ApiError> {
    for clause in accepted(headers).iter().filter(|clause| clause.takes_json()) {
        let wanted = (clause.parameter("g"), clause.parameter("v"), clause.parameter("as"));
        match wanted {
            (None, None, None) => return Ok(None),
            (Some("apidiscovery.k8s.io"), Some("v2"), Some("APIGroupDiscoveryList")) => return Ok(Some("v2")),
            (Some("apidiscovery.k8s.io"), Some("v2beta1"), Some("APIGroupDiscoveryList")) => {
                return Ok(Some("v2beta1"));
            }
            _ => {}
        }
    }
    Err(ApiError::NotAcceptable)
}

fn aggregate(discovery_version: &'static str, wanted: impl Fn(&str) -> bool) -> Response {
    let items: Vec<Value> = group_versions()
        .into_iter()
        .filter(|(group, _)| wanted(group))
        .map(|(group, version)| {
            let resources: Vec<Value> = entries()
                .iter()
                .filter(|entry| entry.group == group && entry.version == version)
                .map(aggregated_resource)
                .collect();
            json!({
                "metadata": {"name": group, "creationTimestamp": null},
                "versions": [{"version": version, "freshness": "Current", "resources": resources}],
            })
        })
        .collect();
    let body = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{discovery_version}"), "metadata": {}, "items": items,
    });
    let mut response = respond::json_value(StatusCode::OK, &body);
    let media_type = match discovery_version {
        "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn aggregated_resource(entry: &Entry) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut value = json!({
        "resource": entry.plural,
        "responseKind": kind(entry.group, entry.version, entry.kind),
        "scope": if entry.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": entry.singular,
        "verbs": entry.verbs,
    });
    if !entry.short_names.is_empty() {
        value["shortNames"] = json!(entry.short_names);
    }
    if !entry.categories.is_empty() {
        value["categories"] = json!(entry.categories);
    }
    let subresources: Vec<Value> = subresources(entry)
        .iter()
        .map(|subresource| {
            json!({
                "subresource": subresource.name, "verbs": subresource.verbs,
                "responseKind": kind(subresource.group, subresource.version, subresource.kind),
            })
        })
        .collect();
    if !subresources.is_empty() {
        value["subresources"] = json!(subresources);
    }
    value
}
