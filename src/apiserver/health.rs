//! `/version`, `/livez`, `/readyz`, `/healthz`.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::request::Query;
use super::respond;
use super::server::Server;

/// The minor version of the Kubernetes API that is served: that of the types in `k8s-openapi`.
const MINOR: u32 = 37;

/// What `kubectl version` shows.
pub fn version() -> Response {
    let version = json!({
        "major": "1",
        "minor": MINOR.to_string(),
        "gitVersion": format!("v1.{MINOR}.0+reconcile.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    });
    respond::json_value(StatusCode::OK, &version)
}

/// The processor as Kubernetes names it.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether the process answers.
pub fn live(query: &Query) -> Response {
    text(
        StatusCode::OK,
        if query.flag("verbose") {
            "[+]ping ok\nlivez check passed\n".to_owned()
        } else {
            "ok".to_owned()
        },
    )
}

/// Whether requests can be served: whether the store answers.
pub async fn ready(server: &Server, query: &Query) -> Response {
    match server.store.revision().await {
        Ok(_) if query.flag("verbose") => text(
            StatusCode::OK,
            "[+]ping ok\n[+]store ok\nreadyz check passed\n".to_owned(),
        ),
        Ok(_) => text(StatusCode::OK, "ok".to_owned()),
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("[+]ping ok\n[-]store failed: {error}\nreadyz check failed\n"),
        ),
    }
}

fn text(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
