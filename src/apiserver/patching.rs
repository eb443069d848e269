//! PATCH: four kinds of patch, each applied to the live object and written like an update. Never names a kind.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::body::{self, Notation, media_type};
use super::error::ApiError;
use super::registry::update::{Ownership, Subject, update};
use super::registry::{self, Outcome, Write, create};
use super::request::Target;
use super::respond;
use super::server::now;
use super::validation::{self, Strictness};
use super::verbs::{Call, check_name, check_namespace, part_of, subresource_of};
use crate::object::kind::Part;
use crate::object::managed::{self, ApplyError};
use crate::object::{FieldError, FieldErrorKind, Kind, patch as patches};

/// What kind of patch a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Json,
    Merge,
    Strategic,
    Apply,
}

fn type_of(headers: &HeaderMap) -> Result<Type, ApiError> {
    match media_type(headers).as_str() {
        "application/json-patch+json" => Ok(Type::Json),
        "application/merge-patch+json" => Ok(Type::Merge),
        "application/strategic-merge-patch+json" => Ok(Type::Strategic),
        "application/apply-patch+yaml" => Ok(Type::Apply),
        _ => Err(ApiError::UnsupportedMediaType(
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml"
                .to_owned(),
        )),
    }
}

/// How often an apply begins anew where others create and delete the object meanwhile.
const APPLY_ROUNDS_MAX: usize = 16;

/// Answers a PATCH.
///
/// # Errors
/// What the client is told instead.
pub async fn patch(call: Call<'_>, body: Body) -> Result<Response, ApiError> {
    let view = call.view()?;
    let patch_type = type_of(call.headers)?;
    let bytes = body::read(call.headers, body).await?;
    // Apply bodies may be YAML; JSON is read as JSON, which is faster.
    let notation = if patch_type == Type::Apply && !bytes.trim_ascii_start().starts_with(b"{") {
        Notation::Yaml
    } else {
        Notation::Json
    };
    let parsed = body::parse(&bytes, notation)?;
    let mut warnings = Vec::new();
    let (status, object) = match patch_type {
        Type::Apply => apply(&call, parsed.value, parsed.repeated, &mut warnings).await?,
        _ => (
            StatusCode::OK,
            change(&call, patch_type, parsed.value, &parsed.repeated, &mut warnings)
                .await?
                .object,
        ),
    };
    let mut response = respond::json_value(status, &view.object(&object));
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// JSON, merge and strategic merge patches.
async fn change(
    call: &Call<'_>,
    patch_type: Type,
    patch: Value,
    repeated: &[String],
    warnings: &mut Vec<String>,
) -> Result<Outcome, ApiError> {
    if call.query.get("force").is_some() {
        return Err(force_without_apply());
    }
    let Target { kind, namespace, .. } = call.target;
    let name = call.name()?;
    check_patch_shape(patch_type, &patch)?;
    let strictness = Strictness::read(call.query)?;
    let (manager, now, part) = (call.manager()?, now(), part_of(call));
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
    update(call.server, subject, Ownership::Track, write, |live| {
        let patched = match patch_type {
            Type::Json => patches::json(live, &patch)?,
            Type::Merge | Type::Apply => patches::merge(live, &patch)?,
            Type::Strategic => patches::strategic(kind, live, &patch)?,
        };
        warnings.clear();
        let decoded = decode_patched(kind, patched, repeated, strictness, warnings)?;
        check_name(&decoded, name)?;
        check_namespace(&decoded, namespace)?;
        Ok(decoded)
    })
    .await
}

fn check_patch_shape(patch_type: Type, patch: &Value) -> Result<(), ApiError> {
    match patch_type {
        Type::Json if !patch.is_array() => Err(ApiError::BadRequest(
            "a JSON patch must be a list of operations".to_owned(),
        )),
        Type::Merge | Type::Strategic if !patch.is_object() => Err(patch_error(
            FieldErrorKind::Invalid,
            format!("Invalid value: {:?}: the patch must be an object", patch.to_string()),
        )),
        _ => Ok(()),
    }
}

/// An error of the patch itself, as Kubernetes reports it: 422 about the field `patch` of no kind.
fn patch_error(kind: FieldErrorKind, message: String) -> ApiError {
    let error = FieldError {
        field: "patch".to_owned(),
        kind,
        message,
    };
    ApiError::Invalid {
        group: String::new(),
        kind: String::new(),
        name: String::new(),
        errors: vec![error],
    }
}

fn options_error(field: &str, kind: FieldErrorKind, message: &str) -> ApiError {
    let error = FieldError {
        field: field.to_owned(),
        kind,
        message: message.to_owned(),
    };
    ApiError::Invalid {
        group: "meta.k8s.io".to_owned(),
        kind: "PatchOptions".to_owned(),
        name: String::new(),
        errors: vec![error],
    }
}

fn force_without_apply() -> ApiError {
    options_error(
        "force",
        FieldErrorKind::Forbidden,
        "Forbidden: may not be specified for non-apply patch",
    )
}

/// Reads a patched object back into its kind's shape.
fn decode_patched(
    kind: &Kind,
    patched: Value,
    repeated: &[String],
    strictness: Strictness,
    warnings: &mut Vec<String>,
) -> Result<Value, ApiError> {
    let refuse = |reason: String| patch_error(FieldErrorKind::Invalid, format!("Invalid value: {reason}"));
    if !patched.is_object() {
        return Err(refuse("the patched result is not an object".to_owned()));
    }
    let decoded = kind.decode(patched).map_err(|error| refuse(error.to_string()))?;
    strictness
        .judge(validation::noticed(&decoded.unknown, repeated), warnings)
        .map_err(refuse)?;
    Ok(decoded.object)
}

/// Server-side apply: creates where nothing is, else merges.
async fn apply(
    call: &Call<'_>,
    applied: Value,
    repeated: Vec<String>,
    warnings: &mut Vec<String>,
) -> Result<(StatusCode, Value), ApiError> {
    let Target { kind, namespace, .. } = call.target;
    let name = call.name()?;
    if call.query.get("fieldManager").is_none() {
        return Err(options_error(
            "fieldManager",
            FieldErrorKind::Required,
            "Required value: is required for apply patch",
        ));
    }
    let (manager, now, part) = (call.manager()?, now(), part_of(call));
    let write = Write {
        manager: &manager,
        subresource: subresource_of(part),
        now: &now,
        dry_run: call.query.dry_run()?,
    };
    let applied = decode_applied(call, applied, repeated, warnings)?;
    let force = call.query.flag("force");
    let subject = Subject {
        kind,
        namespace,
        name,
        part,
    };
    for _ in 0..APPLY_ROUNDS_MAX {
        let live = registry::find(call.server, kind, namespace, name).await?;
        if live.is_none() {
            match create_applied(call, &applied, force, write).await {
                // Somebody else created it meanwhile: merge into that.
                Err(ApiError::AlreadyExists { .. }) => {}
                other => return other.map(|object| (StatusCode::CREATED, object)),
            }
        }
        let updated = update(call.server, subject, Ownership::Recorded, write, |live| {
            let merged = managed::apply(kind, Some(live), &applied, force, write.writer()).map_err(apply_error)?;
            kind.decode(merged)
                .map(|decoded| decoded.object)
                .map_err(|error| patch_error(FieldErrorKind::Invalid, format!("Invalid value: {error}")))
        });
        match updated.await {
            // Somebody else deleted it meanwhile: create it.
            Err(ApiError::NotFound { .. }) => {}
            other => return other.map(|outcome| (StatusCode::OK, outcome.object)),
        }
    }
    Err(ApiError::modified(kind, name))
}

/// Checks an applied configuration; it stays as it was written, so that only what is written is owned.
fn decode_applied(
    call: &Call<'_>,
    mut applied: Value,
    repeated: Vec<String>,
    warnings: &mut Vec<String>,
) -> Result<Value, ApiError> {
    let Target { kind, namespace, .. } = call.target;
    let name = call.name()?;
    if !applied.is_object() {
        return Err(ApiError::BadRequest(
            "an applied configuration must be an object".to_owned(),
        ));
    }
    for field in ["apiVersion", "kind"] {
        if registry::text(&applied, &format!("/{field}")).is_empty() {
            return Err(ApiError::BadRequest(format!(
                "an applied configuration must name its {field}"
            )));
        }
    }
    if !applied["metadata"].is_object() {
        applied["metadata"] = json!({});
    }
    if !registry::is_empty_list(&applied, "/metadata/managedFields") {
        return Err(ApiError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    if registry::text(&applied, "/metadata/name").is_empty() {
        applied["metadata"]["name"] = json!(name);
    }
    check_name(&applied, name)?;
    check_namespace(&applied, namespace)?;
    let decoded = kind
        .decode(applied)
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    Strictness::read(call.query)?
        .judge(validation::noticed(&decoded.unknown, &repeated), warnings)
        .map_err(|reason| patch_error(FieldErrorKind::Invalid, format!("Invalid value: {reason}")))?;
    Ok(decoded.object)
}

async fn create_applied(call: &Call<'_>, applied: &Value, force: bool, write: Write<'_>) -> Result<Value, ApiError> {
    let Target { kind, namespace, .. } = call.target;
    if part_of(call) == Part::Status || (kind.namespaced && namespace.is_none()) {
        return Err(ApiError::not_found(kind, call.name()?));
    }
    if !registry::text(applied, "/metadata/uid").is_empty() {
        return Err(ApiError::conflict(
            kind,
            call.name()?,
            "uid mismatch: the provided object specified a uid, and there is no object of that name".to_owned(),
        ));
    }
    super::admission::namespace_takes_objects(call.server, kind, namespace, applied).await?;
    let merged = managed::apply(kind, None, applied, force, write.writer()).map_err(apply_error)?;
    let mut object = kind
        .decode(merged)
        .map_err(|error| ApiError::BadRequest(error.to_string()))?
        .object;
    kind.default(&mut object);
    create::system_fields(&mut object, namespace, write.now);
    create::insert(call.server, kind, namespace, object, write, None).await
}

fn apply_error(error: ApplyError) -> ApiError {
    match error {
        ApplyError::Conflicts(conflicts) => ApiError::ApplyConflict(conflicts),
        ApplyError::Malformed(reason) => ApiError::BadRequest(reason),
    }
}
