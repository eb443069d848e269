//! A container's environment. Pure: the config maps and secrets it names were fetched before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret};

use super::fields::{Facts, downward_field, needs_pod_ip, resource_field};
use super::{ConfigError, expand};

/// Names and values in order; a name occurs once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Env {
    entries: Vec<(String, String)>,
}

impl Env {
    fn set(&mut self, name: &str, value: String) {
        match self.entries.iter_mut().find(|(existing, _)| existing == name) {
            Some((_, existing)) => *existing = value,
            None => self.entries.push((name.to_owned(), value)),
        }
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<String> {
        let found = self.entries.iter().find(|(existing, _)| existing == name);
        found.map(|(_, value)| value.clone())
    }

    /// As Docker takes it.
    pub fn lines(&self) -> Vec<String> {
        self.entries
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}

/// The objects of the pod's namespace that an environment or a volume names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct References {
    /// Config maps by name; `None` where the API has none.
    pub config_maps: BTreeMap<String, Option<Arc<ConfigMap>>>,
    /// Secrets by name; `None` where the API has none.
    pub secrets: BTreeMap<String, Option<Arc<Secret>>>,
    /// Whether the pod's address is needed, which is known once its sandbox runs.
    pub pod_ip: bool,
}

impl References {
    fn config_map(&self, name: &str) -> Option<&ConfigMap> {
        self.config_maps.get(name)?.as_deref()
    }

    fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)?.as_deref()
    }
}

/// What has to be fetched for this container's environment.
pub fn references(container: &Container) -> References {
    let mut config_maps = BTreeSet::new();
    let mut secrets = BTreeSet::new();
    let mut pod_ip = false;
    for source in container.env_from.iter().flatten() {
        config_maps.extend(source.config_map_ref.iter().map(|reference| reference.name.clone()));
        secrets.extend(source.secret_ref.iter().map(|reference| reference.name.clone()));
    }
    for source in container
        .env
        .iter()
        .flatten()
        .filter_map(|variable| variable.value_from.as_ref())
    {
        config_maps.extend(source.config_map_key_ref.iter().map(|reference| reference.name.clone()));
        secrets.extend(source.secret_key_ref.iter().map(|reference| reference.name.clone()));
        pod_ip |= source
            .field_ref
            .as_ref()
            .is_some_and(|field| needs_pod_ip(&field.field_path));
    }
    References {
        config_maps: config_maps.into_iter().map(|name| (name, None)).collect(),
        secrets: secrets.into_iter().map(|name| (name, None)).collect(),
        pod_ip,
    }
}

/// The environment that the container's spec asks for.
pub fn environment(pod: &Pod, container: &Container, found: &References, facts: &Facts) -> Result<Env, ConfigError> {
    let mut env = Env::default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, value) in env_from(source, found)? {
            env.set(&format!("{prefix}{key}"), value);
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            None => {
                let text = variable.value.as_deref().unwrap_or_default();
                Some(expand(text, |name| env.get(name)))
            }
            Some(source) => value_from(pod, container, source, found, facts)?,
        };
        if let Some(value) = value {
            env.set(&variable.name, value);
        }
    }
    Ok(env)
}

fn env_from(
    source: &k8s_openapi::api::core::v1::EnvFromSource,
    found: &References,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut values = BTreeMap::new();
    if let Some(reference) = &source.config_map_ref {
        match found.config_map(&reference.name) {
            Some(map) => values.extend(map.data.clone().unwrap_or_default()),
            None if reference.optional == Some(true) => {}
            None => return Err(ConfigError(format!("configmap {:?} not found", reference.name))),
        }
    }
    if let Some(reference) = &source.secret_ref {
        match found.secret(&reference.name) {
            Some(secret) => {
                for (key, value) in secret.data.iter().flatten() {
                    values.insert(key.clone(), utf8(&value.0, "secret", &reference.name, key)?);
                }
            }
            None if reference.optional == Some(true) => {}
            None => return Err(ConfigError(format!("secret {:?} not found", reference.name))),
        }
    }
    Ok(values)
}

/// `None` where an optional source is missing.
fn value_from(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    found: &References,
    facts: &Facts,
) -> Result<Option<String>, ConfigError> {
    if let Some(field) = &source.field_ref {
        return downward_field(pod, facts, &field.field_path).map(Some);
    }
    if let Some(field) = &source.resource_field_ref {
        let name = field.container_name.as_deref();
        return resource_field(
            pod,
            Some(container),
            facts,
            name,
            &field.resource,
            field.divisor.as_ref(),
        )
        .map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional == Some(true);
        let Some(map) = found.config_map(&reference.name) else {
            return missing(optional, format!("configmap {:?} not found", reference.name));
        };
        return match map.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => Ok(Some(value.clone())),
            None => missing(optional, key_missing(pod, &reference.key, "ConfigMap", &reference.name)),
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional == Some(true);
        let Some(secret) = found.secret(&reference.name) else {
            return missing(optional, format!("secret {:?} not found", reference.name));
        };
        return match secret.data.as_ref().and_then(|data| data.get(&reference.key)) {
            Some(value) => utf8(&value.0, "secret", &reference.name, &reference.key).map(Some),
            None => missing(optional, key_missing(pod, &reference.key, "Secret", &reference.name)),
        };
    }
    Err(ConfigError(
        "an environment variable's valueFrom names no source that is supported".into(),
    ))
}

fn missing(optional: bool, message: String) -> Result<Option<String>, ConfigError> {
    if optional { Ok(None) } else { Err(ConfigError(message)) }
}

fn key_missing(pod: &Pod, key: &str, kind: &str, name: &str) -> String {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    format!("couldn't find key {key} in {kind} {namespace}/{name}")
}

fn utf8(bytes: &[u8], kind: &str, name: &str, key: &str) -> Result<String, ConfigError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| ConfigError(format!("key {key} of {kind} {name} is no UTF-8 text")))?;
    Ok(text.to_owned())
}
