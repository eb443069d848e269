//! A pod's DNS and hosts file.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::PodSpec;

use super::{form_of, one_of};
use crate::object::field_error::{FieldError, Path};
use crate::object::format;

/// As many name servers as resolvers look at.
const NAME_SERVERS_MAX: usize = 3;
/// As Kubernetes allows.
const SEARCHES_MAX: usize = 32;
/// All search domains with the spaces between, in bytes.
const SEARCHES_MAX_BYTES: usize = 2048;

/// `dnsPolicy`.
pub(super) fn validate_dns_policy(spec: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(spec.dns_policy.as_deref(), &policies, &path.child("dnsPolicy"), errors);
}

/// `dnsConfig`.
pub(super) fn validate_dns_config(spec: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("dnsConfig");
    let alone = spec.dns_policy.as_deref() == Some("None");
    let Some(config) = &spec.dns_config else {
        if alone {
            errors.push(FieldError::required(
                &at,
                "must provide `dnsConfig` when `dnsPolicy` is None",
            ));
        }
        return;
    };
    let field = at.child("nameservers");
    let servers = config.nameservers.as_deref().unwrap_or_default();
    if alone && servers.is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(&field, why));
    }
    if servers.len() > NAME_SERVERS_MAX {
        let why = format!("must not have more than {NAME_SERVERS_MAX} nameservers");
        errors.push(FieldError::invalid(&field, servers, why));
    }
    for (index, server) in servers.iter().enumerate() {
        ip_address(server, &field.index(index), errors);
    }
    let field = at.child("searches");
    let searches = config.searches.as_deref().unwrap_or_default();
    if searches.len() > SEARCHES_MAX {
        let why = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.push(FieldError::invalid(&field, searches, why));
    }
    if searches.join(" ").len() > SEARCHES_MAX_BYTES {
        let why =
            format!("must not have more than {SEARCHES_MAX_BYTES} characters (including spaces) in the search list");
        errors.push(FieldError::invalid(&field, searches, why));
    }
    for (index, search) in searches.iter().enumerate() {
        form_of(search, format::search_domain, &field.index(index), errors);
    }
    for (index, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().is_none_or(str::is_empty) {
            errors.push(FieldError::required(
                &at.child("options").index(index),
                "must not be empty",
            ));
        }
    }
}

/// `hostAliases`. Kubernetes names the list in these errors, not the item.
pub(super) fn validate_host_aliases(spec: &PodSpec, path: &Path, errors: &mut Vec<FieldError>) {
    let field = path.child("hostAliases");
    for alias in spec.host_aliases.iter().flatten() {
        ip_address(&alias.ip, &field.child("ip"), errors);
        for name in alias.hostnames.iter().flatten() {
            form_of(name, format::dns_subdomain, &field.child("hostnames"), errors);
        }
    }
}

fn ip_address(value: &str, field: &Path, errors: &mut Vec<FieldError>) {
    if value.parse::<IpAddr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(field, value, why));
    }
}
