//! Two schedulers of which one decides, agreed by a Lease of a real API server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use kube::api::{Patch, PatchParams};
use reconcile::client::leader::{self, Terms};
use reconcile::scheduler::Config;
use reconcile::scheduler::configuration::{Configuration, Election};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::harness::{Running, Server, eventually, node, pod};

/// As short as leases can be.
fn short() -> Terms {
    Terms {
        lease_duration: Duration::from_secs(2),
        renew_deadline: Duration::from_secs(1),
        retry_period: Duration::from_millis(200),
        ..Election::default().terms
    }
}

/// So long that no test waits for it.
fn long() -> Terms {
    let hour = Duration::from_secs(3600);
    Terms {
        lease_duration: 4 * hour,
        renew_deadline: 3 * hour,
        retry_period: hour,
        ..Election::default().terms
    }
}

fn elected(server: &Server, host: &str, terms: Terms) -> Running {
    let election = Election {
        elects: Some(true),
        terms,
    };
    server.scheduler_with(Config {
        configuration: Configuration {
            election,
            ..Configuration::default()
        },
        host: host.to_owned(),
        ..Config::default()
    })
}

fn leases(server: &Server) -> Api<Lease> {
    Api::namespaced(server.client.clone(), "kube-system")
}

async fn lease(server: &Server) -> LeaseSpec {
    let lease = leases(server).get_opt("kube-scheduler").await.expect("an answer");
    lease.and_then(|lease| lease.spec).unwrap_or_default()
}

/// Waits until a scheduler of that host leads.
async fn leads(server: &Server, host: &str) -> LeaseSpec {
    eventually(&format!("{host} leads"), || async {
        let spec = lease(server).await;
        match &spec.holder_identity {
            Some(holder) if holder.starts_with(&format!("{host}_")) => Ok(spec),
            other => Err(format!("{other:?} does")),
        }
    })
    .await
}

#[tokio::test]
async fn who_stands_by_takes_over_from_a_leader_that_is_killed() {
    let server = Server::start().await;
    server.create_node(node("n", "10", "10Gi")).await;
    let first = elected(&server, "one", short());
    let spec = leads(&server, "one").await;
    assert_eq!(
        (spec.lease_duration_seconds, spec.lease_transitions),
        (Some(2), Some(0))
    );
    let second = elected(&server, "two", short());
    server.create_pod(&pod("a", "1", json!({}))).await;
    server.bound("a").await;
    assert_eq!(leads(&server, "one").await.lease_transitions, Some(0));

    first.kill().await;
    server.create_pod(&pod("b", "1", json!({}))).await;
    server.bound("b").await;
    assert_eq!(leads(&server, "two").await.lease_transitions, Some(1));
    second.stop().await;
}

#[tokio::test]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let server = Server::start().await;
    server.create_node(node("n", "10", "10Gi")).await;
    let first = elected(&server, "one", long());
    leads(&server, "one").await;
    let second = elected(&server, "two", long());
    first.stop().await;
    leads(&server, "two").await;
    server.create_pod(&pod("a", "1", json!({}))).await;
    server.bound("a").await;
    second.stop().await;
    assert_eq!(lease(&server).await.holder_identity, None);
}

/// Whether work that is under way goes on is told through a channel, which closes with it.
#[tokio::test]
async fn work_ends_when_somebody_else_has_the_lease_and_begins_again_when_they_are_gone() {
    let server = Server::start().await;
    let (begun, mut seen) = watch::channel(0_usize);
    let (begun, shutdown) = (Arc::new(begun), CancellationToken::new());
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let work = move |term: leader::Term| {
        let (begun, ended) = (begun.clone(), Ended(ended.clone()));
        async move {
            assert!(!term.is_over(), "a term begins in time");
            begun.send_modify(|times| *times += 1);
            let _ended = ended;
            std::future::pending::<Result<(), Infallible>>().await
        }
    };
    let candidate = leader::lead(server.client.clone(), short(), "us".to_owned(), shutdown.clone(), work);
    let candidate = tokio::spawn(candidate);
    seen.wait_for(|times| *times == 1).await.expect("it works");

    let theirs = json!({"spec": {"holderIdentity": "them", "leaseDurationSeconds": 3600}});
    leases(&server)
        .patch("kube-scheduler", &PatchParams::default(), &Patch::Merge(theirs))
        .await
        .expect("the lease is written");
    ends.recv().await.expect("the work ends");
    assert_eq!(lease(&server).await.holder_identity.as_deref(), Some("them"));

    let gone = json!({"spec": {"holderIdentity": null}});
    leases(&server)
        .patch("kube-scheduler", &PatchParams::default(), &Patch::Merge(gone))
        .await
        .expect("the lease is written");
    seen.wait_for(|times| *times == 2).await.expect("it works again");
    shutdown.cancel();
    ends.recv().await.expect("the work ends");
    drop(candidate.await);
}

/// Tells that it was dropped.
struct Ended(tokio::sync::mpsc::UnboundedSender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody listens any more once the test is over.
        self.0.send(()).unwrap_or_default();
    }
}
