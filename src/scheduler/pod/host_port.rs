//! Ports that pods take on their node itself. Pure.

use k8s_openapi::api::core::v1::PodSpec;

/// A port taken on the node itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// `0.0.0.0` for every address.
    pub address: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Never 0.
    pub port: i32,
}

impl HostPort {
    /// What a host port is bound to where the pod does not say.
    pub const ANY_ADDRESS: &str = "0.0.0.0";

    /// Whether both cannot be had on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address == other.address
                || self.address == Self::ANY_ADDRESS
                || other.address == Self::ANY_ADDRESS)
    }
}

/// The host ports that the pod takes while it runs.
pub(super) fn read(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let mut ports = Vec::new();
    for port in spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
    {
        let Some(number) = port.host_port.filter(|number| *number > 0) else {
            continue;
        };
        let text = |value: &Option<String>, default: &str| match value.as_deref() {
            None | Some("") => default.to_owned(),
            Some(value) => value.to_owned(),
        };
        ports.push(HostPort {
            address: text(&port.host_ip, HostPort::ANY_ADDRESS),
            protocol: text(&port.protocol, "TCP"),
            port: number,
        });
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_ports_conflict_by_address_protocol_and_number() {
        let port = |address: &str, protocol: &str, port| HostPort {
            address: address.into(),
            protocol: protocol.into(),
            port,
        };
        for (name, a, b, wanted) in [
            ("the same", port("0.0.0.0", "TCP", 80), port("0.0.0.0", "TCP", 80), true),
            (
                "another number",
                port("0.0.0.0", "TCP", 80),
                port("0.0.0.0", "TCP", 81),
                false,
            ),
            (
                "another protocol",
                port("0.0.0.0", "TCP", 80),
                port("0.0.0.0", "UDP", 80),
                false,
            ),
            (
                "any and one address",
                port("0.0.0.0", "TCP", 80),
                port("10.0.0.1", "TCP", 80),
                true,
            ),
            (
                "two addresses",
                port("10.0.0.2", "TCP", 80),
                port("10.0.0.1", "TCP", 80),
                false,
            ),
        ] {
            assert_eq!(a.conflicts(&b), wanted, "{name}");
            assert_eq!(b.conflicts(&a), wanted, "{name}, the other way");
        }
    }
}
