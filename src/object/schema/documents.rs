//! Puts definitions and operations together into OpenAPI documents. Never keeps one: they are large.

use serde_json::{Map, Value, json};

use super::super::Kind;
use super::definitions::{self, Version, group_version_kind};
use super::operations::{self, Endpoint, NAME, NAMESPACE, Operation, PRETTY, Parameter};

/// What our answers are made in.
const PRODUCES: &str = "application/json";

/// The OpenAPI v3 document of these kinds, which are all of one group and version.
pub(super) fn v3(kinds: &[&Kind]) -> Value {
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths(kinds, Version::V3),
        "components": {"schemas": definitions::of_kinds(kinds, Version::V3)},
    })
}

/// The OpenAPI v2 document of these kinds.
pub(super) fn v2(kinds: &[&Kind]) -> Value {
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths(kinds, Version::V2),
        "definitions": definitions::of_kinds(kinds, Version::V2),
    })
}

fn info() -> Value {
    json!({"title": "Kubernetes", "version": concat!("reconcile-", env!("CARGO_PKG_VERSION"))})
}

fn paths(kinds: &[&Kind], version: Version) -> Map<String, Value> {
    let mut paths = Map::new();
    for kind in kinds {
        let Some(definition) = definitions::name_of(kind) else {
            continue;
        };
        for endpoint in operations::of_kind(kind, &definition) {
            let item = Renderer { kind, version }.endpoint(&endpoint);
            paths.insert(endpoint.path, item);
        }
    }
    paths
}

struct Renderer<'a> {
    kind: &'a Kind,
    version: Version,
}

impl Renderer<'_> {
    fn endpoint(&self, endpoint: &Endpoint) -> Value {
        let mut item = Map::new();
        for operation in &endpoint.operations {
            item.insert(operation.method.to_owned(), self.operation(operation));
        }
        let in_path = [("{name}", &NAME), ("{namespace}", &NAMESPACE)];
        let in_path = in_path.into_iter().filter(|(part, _)| endpoint.path.contains(part));
        let parameters = in_path.map(|(_, parameter)| self.parameter(parameter, "path"));
        item.insert(
            "parameters".into(),
            parameters.chain([self.parameter(&PRETTY, "query")]).collect(),
        );
        Value::Object(item)
    }

    fn operation(&self, operation: &Operation) -> Value {
        let Kind {
            group, version, kind, ..
        } = self.kind;
        let mut parameters: Vec<Value> = operation
            .query
            .iter()
            .map(|parameter| self.parameter(parameter, "query"))
            .collect();
        let mut rendered = json!({
            "operationId": operation.id,
            "tags": [operations::tag(self.kind)],
            "responses": {"200": self.answer(&operation.answer)},
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind": group_version_kind(group, version, kind),
        });
        if let Some(body) = &operation.body {
            let schema = self.version.refer(&body.definition);
            match self.version {
                Version::V2 => {
                    rendered["consumes"] = json!(body.media_types);
                    parameters
                        .push(json!({"name": "body", "in": "body", "required": !body.optional, "schema": schema}));
                }
                Version::V3 => {
                    let content = body
                        .media_types
                        .iter()
                        .map(|media| ((*media).to_owned(), json!({"schema": schema})));
                    rendered["requestBody"] =
                        json!({"content": content.collect::<Map<_, _>>(), "required": !body.optional});
                }
            }
        }
        if self.version == Version::V2 {
            rendered["produces"] = json!([PRODUCES]);
            rendered["schemes"] = json!(["https"]);
        }
        rendered["parameters"] = Value::Array(parameters);
        rendered
    }

    fn answer(&self, definition: &str) -> Value {
        let schema = self.version.refer(definition);
        match self.version {
            Version::V2 => json!({"description": "OK", "schema": schema}),
            Version::V3 => json!({"description": "OK", "content": {PRODUCES: {"schema": schema}}}),
        }
    }

    fn parameter(&self, parameter: &Parameter, place: &str) -> Value {
        let Parameter { name, of, description } = parameter;
        let mut rendered = json!({"name": name, "in": place, "description": description});
        if place == "path" {
            rendered["required"] = true.into();
        }
        match self.version {
            Version::V2 => {
                rendered["type"] = (*of).into();
                rendered["uniqueItems"] = true.into();
            }
            Version::V3 => rendered["schema"] = json!({"type": of, "uniqueItems": true}),
        }
        rendered
    }
}
