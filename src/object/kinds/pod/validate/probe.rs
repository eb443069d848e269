//! Probes, lifecycle hooks and what they do.

use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{form_of, not_negative, one_of, port_number};
use crate::object::field_error::{FieldError, Path};
use crate::object::format;

/// A container's hooks and probes. A hook may sleep no longer than `grace_seconds`.
pub(super) fn validate_all(container: &Container, grace_seconds: i64, at: &Path, errors: &mut Vec<FieldError>) {
    if let Some(lifecycle) = &container.lifecycle {
        for (handler, field) in [(&lifecycle.post_start, "postStart"), (&lifecycle.pre_stop, "preStop")] {
            if let Some(handler) = handler {
                validate_handler(
                    &Actions::of_hook(handler),
                    grace_seconds,
                    &at.child("lifecycle").child(field),
                    errors,
                );
            }
        }
    }
    for (probe, field) in [
        (&container.liveness_probe, "livenessProbe"),
        (&container.readiness_probe, "readinessProbe"),
        (&container.startup_probe, "startupProbe"),
    ] {
        let Some(probe) = probe else { continue };
        let at = at.child(field);
        validate_probe(probe, grace_seconds, &at, errors);
        if field == "readinessProbe" {
            if let Some(seconds) = probe.termination_grace_period_seconds {
                let why = "must not be set for readinessProbes";
                errors.push(FieldError::invalid(
                    &at.child("terminationGracePeriodSeconds"),
                    seconds,
                    why,
                ));
            }
        } else if let Some(threshold) = probe.success_threshold.filter(|threshold| *threshold != 1) {
            errors.push(FieldError::invalid(
                &at.child("successThreshold"),
                threshold,
                "must be 1",
            ));
        }
    }
}

fn validate_probe(probe: &Probe, grace_seconds: i64, at: &Path, errors: &mut Vec<FieldError>) {
    validate_handler(&Actions::of_probe(probe), grace_seconds, at, errors);
    not_negative(probe.initial_delay_seconds, &at.child("initialDelaySeconds"), errors);
    not_negative(probe.timeout_seconds, &at.child("timeoutSeconds"), errors);
    not_negative(probe.period_seconds, &at.child("periodSeconds"), errors);
    not_negative(probe.success_threshold, &at.child("successThreshold"), errors);
    not_negative(probe.failure_threshold, &at.child("failureThreshold"), errors);
    if let Some(seconds) = probe.termination_grace_period_seconds.filter(|seconds| *seconds <= 0) {
        let field = at.child("terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(&field, seconds, "must be greater than 0"));
    }
}

/// What a probe or hook does; exactly one is set.
#[derive(Default)]
struct Actions<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

impl<'a> Actions<'a> {
    fn of_probe(probe: &'a Probe) -> Self {
        Self {
            exec: probe.exec.as_ref(),
            http_get: probe.http_get.as_ref(),
            tcp_socket: probe.tcp_socket.as_ref(),
            grpc: probe.grpc.as_ref(),
            sleep: None,
        }
    }

    fn of_hook(handler: &'a LifecycleHandler) -> Self {
        Self {
            exec: handler.exec.as_ref(),
            http_get: handler.http_get.as_ref(),
            tcp_socket: handler.tcp_socket.as_ref(),
            grpc: None,
            sleep: handler.sleep.as_ref(),
        }
    }
}

fn validate_handler(actions: &Actions<'_>, grace_seconds: i64, at: &Path, errors: &mut Vec<FieldError>) {
    let mut first = true;
    let mut is_only = |set: bool, field: &str, errors: &mut Vec<FieldError>| {
        if !set {
            return false;
        }
        if !first {
            errors.push(FieldError::forbidden(
                &at.child(field),
                "may not specify more than 1 handler type",
            ));
        }
        std::mem::replace(&mut first, false)
    };
    if is_only(actions.exec.is_some(), "exec", errors)
        && actions
            .exec
            .and_then(|exec| exec.command.as_ref())
            .is_none_or(Vec::is_empty)
    {
        errors.push(FieldError::required(&at.child("exec.command"), ""));
    }
    if is_only(actions.http_get.is_some(), "httpGet", errors)
        && let Some(action) = actions.http_get
    {
        validate_http_get(action, &at.child("httpGet"), errors);
    }
    if is_only(actions.tcp_socket.is_some(), "tcpSocket", errors)
        && let Some(action) = actions.tcp_socket
    {
        validate_port(&action.port, &at.child("tcpSocket.port"), errors);
    }
    if is_only(actions.grpc.is_some(), "grpc", errors)
        && let Some(action) = actions.grpc
    {
        port_number(action.port, &at.child("grpc.port"), errors);
    }
    if is_only(actions.sleep.is_some(), "sleep", errors)
        && let Some(action) = actions.sleep
        && (action.seconds < 0 || action.seconds > grace_seconds)
    {
        let why = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})");
        errors.push(FieldError::invalid(&at.child("sleep"), action.seconds, why));
    }
    if first {
        errors.push(FieldError::required(at, "must specify a handler type"));
    }
}

fn validate_http_get(action: &HTTPGetAction, at: &Path, errors: &mut Vec<FieldError>) {
    if action.path.as_deref().is_none_or(str::is_empty) {
        errors.push(FieldError::required(&at.child("path"), ""));
    }
    validate_port(&action.port, &at.child("port"), errors);
    one_of(
        action.scheme.as_deref(),
        &["HTTP", "HTTPS"],
        &at.child("scheme"),
        errors,
    );
    for header in action.http_headers.iter().flatten() {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if header.name.is_empty() || !header.name.bytes().all(allowed) {
            let why = "a valid HTTP header must consist of alphanumeric characters, '-' or '_' (e.g. 'X-Header-Name')";
            errors.push(FieldError::invalid(&at.child("httpHeaders"), &header.name, why));
        }
    }
}

/// A number or the name of a container's port.
fn validate_port(port: &IntOrString, field: &Path, errors: &mut Vec<FieldError>) {
    match port {
        IntOrString::Int(number) => port_number(*number, field, errors),
        IntOrString::String(name) => form_of(name, format::port_name, field, errors),
    }
}
