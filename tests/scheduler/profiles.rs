//! One scheduler for the pods of several names, each placed in its own way.

use reconcile::scheduler::Config;
use reconcile::scheduler::configuration::Configuration;
use serde_json::json;

use super::harness::{Server, eventually, node, pod};

#[tokio::test]
async fn each_pod_is_placed_by_the_profile_that_it_names() {
    let server = Server::start().await;
    for name in ["a", "b"] {
        server.create_node(node(name, "10", "10Gi")).await;
    }
    let text = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    score:
      disabled: [{name: '*'}]
      enabled: [{name: NodeResourcesFit}]
  pluginConfig:
  - name: NodeResourcesFit
    args: {scoringStrategy: {type: MostAllocated}}
- schedulerName: careless
  plugins:
    multiPoint: {disabled: [{name: NodeResourcesFit}]}
";
    let scheduler = server.scheduler_with(Config {
        configuration: Configuration::read(text).expect("valid"),
        ..Config::default()
    });
    server.create_pod(&pod("first", "3", json!({}))).await;
    let first = server.bound("first").await;
    for (name, scheduler, cpu, beside) in [
        ("packed", "packing", "1", true),
        ("spread", "default-scheduler", "1", false),
        ("packed-too", "packing", "1", true),
    ] {
        let more = json!({"schedulerName": scheduler});
        server.create_pod(&pod(name, cpu, more)).await;
        assert_eq!(server.bound(name).await == first, beside, "{name}");
        eventually(&format!("{name} is told as placed by {scheduler}"), || async {
            let events = server.events(name, "Scheduled").await;
            let by = events
                .first()
                .and_then(|event| event.source.as_ref()?.component.clone());
            if by.as_deref() == Some(scheduler) {
                Ok(())
            } else {
                Err(format!("{events:?}"))
            }
        })
        .await;
    }
    let refused = json!({"schedulerName": "packing"});
    server.create_pod(&pod("large", "11", refused)).await;
    let message = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: \
                   2 Preemption is not helpful for scheduling.";
    server.refused("large", message).await;
    server
        .create_pod(&pod("larger", "11", json!({"schedulerName": "careless"})))
        .await;
    server.bound("larger").await;
    scheduler.stop().await;
}
