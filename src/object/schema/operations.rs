//! Lists the paths and operations of a kind, in no version of OpenAPI yet. Never says what an object looks like.

use super::super::Kind;

/// A path and what may be done with it.
pub(super) struct Endpoint {
    /// With `{namespace}` and `{name}` where these go.
    pub path: String,
    /// What may be done.
    pub operations: Vec<Operation>,
}

/// One verb on one path.
pub(super) struct Operation {
    /// Lower-case HTTP method.
    pub method: &'static str,
    /// What Kubernetes calls it.
    pub action: &'static str,
    /// Unique in a document.
    pub id: String,
    /// Query parameters.
    pub query: Vec<&'static Parameter>,
    /// What is sent.
    pub body: Option<Body>,
    /// The definition of the answer.
    pub answer: String,
}

/// What a request carries.
pub(super) struct Body {
    /// Its definition.
    pub definition: String,
    /// Whether it may be left out.
    pub optional: bool,
    /// Its media types.
    pub media_types: &'static [&'static str],
}

/// A parameter of a path or query.
pub(super) struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// `string`, `integer`, `boolean`.
    pub of: &'static str,
    /// What it does.
    pub description: &'static str,
}

const fn parameter(name: &'static str, of: &'static str, description: &'static str) -> Parameter {
    Parameter { name, of, description }
}

/// Any path.
pub(super) static PRETTY: Parameter = parameter("pretty", "string", "If 'true', the output is indented.");
/// In paths.
pub(super) static NAME: Parameter = parameter("name", "string", "The object's name.");
/// In paths.
pub(super) static NAMESPACE: Parameter = parameter("namespace", "string", "The object's namespace.");

static DRY_RUN: Parameter = parameter("dryRun", "string", "'All' does everything but to store the outcome.");
static FIELD_MANAGER: Parameter = parameter(
    "fieldManager",
    "string",
    "Who makes the change, at most 128 characters.",
);
static FIELD_VALIDATION: Parameter = parameter(
    "fieldValidation",
    "string",
    "What to do about unknown and repeated fields: Ignore, Warn or Strict.",
);
static FORCE: Parameter = parameter(
    "force",
    "boolean",
    "Whether an apply takes over the fields that conflict with other managers.",
);
static LISTING: &[Parameter] = &[
    parameter(
        "allowWatchBookmarks",
        "boolean",
        "Whether a watch may send BOOKMARK events.",
    ),
    parameter("continue", "string", "Where to go on with a list that came in parts."),
    parameter("fieldSelector", "string", "Only objects whose fields match."),
    parameter("labelSelector", "string", "Only objects whose labels match."),
    parameter("limit", "integer", "The most objects to return."),
    parameter("resourceVersion", "string", "At or since which version."),
    parameter(
        "resourceVersionMatch",
        "string",
        "How resourceVersion applies to a list.",
    ),
    parameter(
        "sendInitialEvents",
        "boolean",
        "Whether a watch begins with the objects there are.",
    ),
    parameter("timeoutSeconds", "integer", "How long the call may last."),
    parameter("watch", "boolean", "Whether to watch for changes, not to list."),
];
static DELETING: &[Parameter] = &[
    parameter(
        "gracePeriodSeconds",
        "integer",
        "How long the object has to end by itself.",
    ),
    parameter(
        "propagationPolicy",
        "string",
        "What happens to dependents: Orphan, Background or Foreground.",
    ),
];

static ANY_MEDIA: &[&str] = &["*/*"];
static PATCH_MEDIA: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// `core_v1`, `apps_v1`: what operations are filed under.
pub(super) fn tag(kind: &Kind) -> String {
    let group = kind
        .group
        .split('.')
        .next()
        .filter(|group| !group.is_empty())
        .unwrap_or("core");
    format!("{group}_{}", kind.version)
}

/// Every path of a kind whose definition has that name.
pub(super) fn of_kind(kind: &Kind, definition: &str) -> Vec<Endpoint> {
    let base = match kind.group {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    };
    let all = format!("{base}/{}", kind.plural);
    let within = if kind.namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", kind.plural)
    } else {
        all.clone()
    };
    let make = Maker { kind, definition };
    let mut endpoints = vec![
        make.collection(&within),
        Endpoint {
            path: format!("{within}/{{name}}"),
            operations: vec![make.get(""), make.put(""), make.patch(""), make.delete()],
        },
    ];
    if kind.status {
        endpoints.push(Endpoint {
            path: format!("{within}/{{name}}/status"),
            operations: vec![make.get("Status"), make.put("Status"), make.patch("Status")],
        });
    }
    if kind.namespaced {
        let list = make.operation(
            "get",
            "list",
            "ForAllNamespaces",
            LISTING.iter().collect(),
            None,
            make.list(),
        );
        endpoints.push(Endpoint {
            path: all,
            operations: vec![list],
        });
    }
    endpoints
}

struct Maker<'a> {
    kind: &'a Kind,
    definition: &'a str,
}

impl Maker<'_> {
    fn operation(
        &self,
        method: &'static str,
        action: &'static str,
        suffix: &str,
        query: Vec<&'static Parameter>,
        body: Option<Body>,
        answer: String,
    ) -> Operation {
        let verb = match action {
            "get" => "read",
            "post" => "create",
            "put" => "replace",
            "deletecollection" => "deleteCollection",
            other => other,
        };
        let Kind {
            kind,
            version,
            namespaced,
            ..
        } = self.kind;
        let group = capitalised(
            self.kind
                .group
                .split('.')
                .next()
                .filter(|group| !group.is_empty())
                .unwrap_or("core"),
        );
        let scope = if *namespaced && suffix != "ForAllNamespaces" {
            "Namespaced"
        } else {
            ""
        };
        let id = format!("{verb}{group}{}{scope}{kind}{suffix}", capitalised(version));
        Operation {
            method,
            action,
            id,
            query,
            body,
            answer,
        }
    }

    fn list(&self) -> String {
        format!("{}List", self.definition)
    }

    fn body(&self, definition: &str, optional: bool, media_types: &'static [&'static str]) -> Option<Body> {
        Some(Body {
            definition: definition.to_owned(),
            optional,
            media_types,
        })
    }

    fn collection(&self, path: &str) -> Endpoint {
        let deleting = LISTING.iter().chain([&DRY_RUN]).chain(DELETING).collect();
        let options = self.body(DELETE_OPTIONS, true, ANY_MEDIA);
        Endpoint {
            path: path.to_owned(),
            operations: vec![
                self.operation("get", "list", "", LISTING.iter().collect(), None, self.list()),
                self.write("post", "post", "", self.body(self.definition, false, ANY_MEDIA), &[]),
                self.operation("delete", "deletecollection", "", deleting, options, STATUS.to_owned()),
            ],
        }
    }

    fn get(&self, suffix: &str) -> Operation {
        self.operation("get", "get", suffix, Vec::new(), None, self.definition.to_owned())
    }

    fn put(&self, suffix: &str) -> Operation {
        self.write("put", "put", suffix, self.body(self.definition, false, ANY_MEDIA), &[])
    }

    fn patch(&self, suffix: &str) -> Operation {
        self.write(
            "patch",
            "patch",
            suffix,
            self.body(PATCH, false, PATCH_MEDIA),
            &[&FORCE],
        )
    }

    fn write(
        &self,
        method: &'static str,
        action: &'static str,
        suffix: &str,
        body: Option<Body>,
        more: &[&'static Parameter],
    ) -> Operation {
        let query = [&DRY_RUN, &FIELD_MANAGER, &FIELD_VALIDATION]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        self.operation(method, action, suffix, query, body, self.definition.to_owned())
    }

    fn delete(&self) -> Operation {
        let query = [&DRY_RUN].into_iter().chain(DELETING).collect();
        // Most kinds answer with a Status, some with the object; both read as a Status.
        self.operation(
            "delete",
            "delete",
            "",
            query,
            self.body(DELETE_OPTIONS, true, ANY_MEDIA),
            STATUS.to_owned(),
        )
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters)
        .collect()
}
