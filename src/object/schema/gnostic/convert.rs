//! Fills gnostic's messages from an OpenAPI v2 document in JSON. Never adds to it.

use serde_json::{Map, Value};

use super::messages::{
    AdditionalPropertiesItem, Any, BodyParameter, Document, Info, NamedAny, NamedPathItem, NamedResponseValue,
    NamedSchema, NamedSchemas, NonBodyParameter, NonBodyParameterKind, Operation, Parameter, ParameterKind,
    ParametersItem, ParametersItemKind, PathItem, PathParameter, Paths, QueryParameter, Response, ResponseValue,
    Responses, Schema, SchemaItem, Schemas, Strings,
};

/// The whole document.
pub(super) fn document(json: &Value) -> Document {
    let info = Info {
        title: text(&json["info"], "title"),
        version: text(&json["info"], "version"),
    };
    let paths = entries(&json["paths"]).map(|(name, item)| NamedPathItem {
        name: name.clone(),
        value: Some(path(item)),
    });
    Document {
        swagger: text(json, "swagger"),
        info: Some(info),
        paths: Some(Paths { path: paths.collect() }),
        definitions: Some(named_schemas(&json["definitions"])),
    }
}

fn entries(json: &Value) -> impl Iterator<Item = (&String, &Value)> {
    json.as_object().into_iter().flat_map(Map::iter)
}

fn items(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn text(json: &Value, key: &str) -> String {
    json.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(json: &Value) -> Vec<String> {
    items(json).filter_map(Value::as_str).map(str::to_owned).collect()
}

fn flag(json: &Value, key: &str) -> bool {
    json.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// What starts with `x-`, in YAML. Every JSON value is YAML too.
fn extensions(json: &Value) -> Vec<NamedAny> {
    let own = entries(json).filter(|(key, _)| key.starts_with("x-"));
    own.map(|(name, value)| NamedAny {
        name: name.clone(),
        value: Some(Any {
            yaml: format!("{value}\n"),
        }),
    })
    .collect()
}

fn path(item: &Value) -> PathItem {
    let operation = |method: &str| item.get(method).map(operation);
    PathItem {
        get: operation("get"),
        put: operation("put"),
        post: operation("post"),
        delete: operation("delete"),
        patch: operation("patch"),
        parameters: items(&item["parameters"]).map(parameter).collect(),
    }
}

fn operation(json: &Value) -> Operation {
    Operation {
        tags: texts(&json["tags"]),
        operation_id: text(json, "operationId"),
        produces: texts(&json["produces"]),
        consumes: texts(&json["consumes"]),
        parameters: items(&json["parameters"]).map(parameter).collect(),
        responses: Some(Responses {
            response_code: entries(&json["responses"]).map(response).collect(),
        }),
        schemes: texts(&json["schemes"]),
        vendor_extension: extensions(json),
    }
}

fn response((code, json): (&String, &Value)) -> NamedResponseValue {
    let schema = SchemaItem {
        schema: json.get("schema").map(schema),
    };
    let response = Response {
        description: text(json, "description"),
        schema: Some(schema),
    };
    NamedResponseValue {
        name: code.clone(),
        value: Some(ResponseValue {
            response: Some(response),
        }),
    }
}

fn parameter(json: &Value) -> ParametersItem {
    let (name, place, description, of) = (
        text(json, "name"),
        text(json, "in"),
        text(json, "description"),
        text(json, "type"),
    );
    let non_body = |kind| ParameterKind::NonBody(NonBodyParameter { oneof: Some(kind) });
    let kind = match place.as_str() {
        "body" => ParameterKind::Body(BodyParameter {
            name,
            r#in: place,
            required: flag(json, "required"),
            schema: json.get("schema").map(schema),
        }),
        "path" => non_body(NonBodyParameterKind::Path(PathParameter {
            required: true,
            r#in: place,
            description,
            name,
            r#type: of,
            unique_items: flag(json, "uniqueItems"),
        })),
        _ => non_body(NonBodyParameterKind::Query(QueryParameter {
            r#in: place,
            description,
            name,
            r#type: of,
            unique_items: flag(json, "uniqueItems"),
        })),
    };
    ParametersItem {
        oneof: Some(ParametersItemKind::Parameter(Box::new(Parameter { oneof: Some(kind) }))),
    }
}

fn named_schemas(json: &Value) -> NamedSchemas {
    let named = entries(json).map(|(name, json)| NamedSchema {
        name: name.clone(),
        value: Some(schema(json)),
    });
    NamedSchemas {
        additional_properties: named.collect(),
    }
}

fn schema(json: &Value) -> Schema {
    let additional = |json: &Value| AdditionalPropertiesItem {
        schema: Some(Box::new(schema(json))),
    };
    Schema {
        reference: text(json, "$ref"),
        format: text(json, "format"),
        description: text(json, "description"),
        required: json.get("required").map(texts).unwrap_or_default(),
        additional_properties: json.get("additionalProperties").map(additional).map(Box::new),
        r#type: json.get("type").and_then(Value::as_str).map(|of| Strings {
            value: vec![of.to_owned()],
        }),
        items: json.get("items").map(|items| Schemas {
            schema: vec![schema(items)],
        }),
        properties: json.get("properties").map(named_schemas),
        vendor_extension: extensions(json),
    }
}
