//! `reconcile explain`: why a pod is on its node, or on none.

use std::fmt::Debug;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ListParams, VersionMatch};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::args::{ExplainArgs, Output};
use super::data_dir::DataDir;
use super::{connect, render, report, scheduling};
use crate::scheduler::explain::{Explanation, Outcome, World, explain as explain_pod};
use crate::scheduler::profile::Profiles;

/// The exit code where there is no such pod.
const NO_SUCH_POD: u8 = 1;

/// For what the scheduler picks at random: the same question has the same answer.
const SEED: u64 = 0;

/// Prints what each node is to the pod.
pub async fn explain(args: ExplainArgs) -> Result<ExitCode> {
    let profiles = scheduling::configuration(args.scheduler_config.as_deref())?.profiles;
    let data = DataDir::locate(&args.data)?;
    let config = connect::named(&args.connection, &data).await?;
    let namespace = args.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = connect::answering(config).await?;
    // Asked for by itself first: a cluster is much to read for a name that is wrong.
    let asked = match Api::<Pod>::namespaced(client.clone(), &namespace).get(&args.pod).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            report::fail(&kube::Error::Api(status).into());
            return Ok(ExitCode::from(NO_SUCH_POD));
        }
        asked => asked.context("cannot read the pod")?,
    };
    let explanation = look(&client, profiles, &asked).await?;
    match args.output {
        Output::Text => report::print(&render::explanation(&explanation, args.all, report::stdout_style()))?,
        Output::Name => report::print(&names(&explanation))?,
        output => report::print_data(&explanation, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The nodes that the pod fits on, the best first.
fn names(explanation: &Explanation) -> String {
    let nodes = explanation.nodes.iter();
    let fitting = nodes.filter(|node| matches!(node.outcome, Outcome::Fits { .. }));
    fitting.map(|node| format!("{}\n", node.name)).collect()
}

/// Explains the pod by the cluster of one moment; as it was found before, where it went since.
async fn look(client: &Client, profiles: Profiles, asked: &Pod) -> Result<Explanation> {
    let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await;
    let pods = pods.context("cannot list pods")?;
    let at = pods.metadata.resource_version.as_deref();
    let nodes: Vec<Node> = list(client, at).await.context("cannot list nodes")?;
    let namespaces: Vec<Namespace> = list(client, at).await.context("cannot list namespaces")?;
    let budgets: Vec<PodDisruptionBudget> = list(client, at).await.context("cannot list poddisruptionbudgets")?;
    let world = World::new(profiles, &nodes, &pods.items, &namespaces, &budgets).with_storage(
        list(client, at).await.context("cannot list persistentvolumes")?,
        list(client, at).await.context("cannot list persistentvolumeclaims")?,
        list(client, at).await.context("cannot list storageclasses")?,
    );
    let named = |pod: &&Pod| pod.name_any() == asked.name_any() && pod.namespace() == asked.namespace();
    let listed = pods.iter().find(named);
    Ok(explain_pod(listed.unwrap_or(asked), &world, SEED))
}

/// All objects of a kind as they were at that revision, so that the lists of several kinds fit together.
async fn list<K>(client: &Client, at: Option<&str>) -> Result<Vec<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::all(client.clone());
    if let Some(at) = at {
        let then = ListParams::default().at(at).matching(VersionMatch::Exact);
        match api.list(&then).await {
            // A server that keeps kinds apart or has compacted it: as they are now is as near as can be.
            Err(kube::Error::Api(status)) => tracing::debug!(%status, "a list at an earlier revision"),
            listed => return listed.map(|list| list.items),
        }
    }
    api.list(&ListParams::default()).await.map(|list| list.items)
}
