//! Pods.

use k8s_openapi::api::core::v1::Pod;

use super::Strategy;
use super::selectable::{Selectable, field, flag};

/// The rules of pods.
pub(in crate::object) struct Pods;

impl Strategy for Pods {
    type Object = Pod;

    fn selectable() -> &'static [Selectable] {
        const FIELDS: &[Selectable] = &[
            field("spec.nodeName", &["/spec/nodeName"]),
            field("spec.restartPolicy", &["/spec/restartPolicy"]),
            field("spec.schedulerName", &["/spec/schedulerName"]),
            field("spec.serviceAccountName", &["/spec/serviceAccountName"]),
            flag("spec.hostNetwork", &["/spec/hostNetwork"]),
            field("status.phase", &["/status/phase"]),
            field("status.podIP", &["/status/podIP", "/status/podIPs/0/ip"]),
            field("status.nominatedNodeName", &["/status/nominatedNodeName"]),
        ];
        FIELDS
    }
}
