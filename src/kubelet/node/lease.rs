//! The node's lease: a small object that says "still here" more cheaply than the node's status.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

/// Where node leases live.
const NAMESPACE: &str = "kube-node-lease";

/// How long the lease holds without renewal, in seconds.
const DURATION_SECONDS: i32 = 40;

/// The lease as last written.
pub struct Lease {
    api: Api<Object>,
    node_name: String,
    last: Option<Object>,
}

impl Lease {
    /// The lease of that node.
    pub fn new(client: Client, node_name: &str) -> Self {
        Self {
            api: Api::namespaced(client, NAMESPACE),
            node_name: node_name.to_owned(),
            last: None,
        }
    }

    /// Says that the node is still here.
    pub async fn renew(&mut self, node: &Node) -> Result<(), kube::Error> {
        let known = match self.last.take() {
            Some(known) => Some(known),
            None => self.api.get_opt(&self.node_name).await?,
        };
        let parameters = PostParams::default();
        // A write that conflicts leaves `last` empty, so the next one reads first.
        self.last = Some(match known {
            Some(known) => {
                let body = Object {
                    spec: Some(self.spec()),
                    ..known
                };
                self.api.replace(&self.node_name, &parameters, &body).await?
            }
            None => self.api.create(&parameters, &self.object(node)).await?,
        });
        Ok(())
    }

    fn object(&self, node: &Node) -> Object {
        Object {
            metadata: ObjectMeta {
                name: Some(self.node_name.clone()),
                namespace: Some(NAMESPACE.into()),
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".into(),
                    kind: "Node".into(),
                    name: node.name_any(),
                    uid: node.uid().unwrap_or_default(),
                    ..OwnerReference::default()
                }]),
                ..ObjectMeta::default()
            },
            spec: Some(self.spec()),
        }
    }

    fn spec(&self) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.node_name.clone()),
            lease_duration_seconds: Some(DURATION_SECONDS),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }
    }
}
