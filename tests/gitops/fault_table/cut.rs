//! Syncs that are cut off anywhere.

use reconcile::gitops::report::Verdict;

use crate::gitops::harness::{World, config_map, pod};

/// Ends a sync at every request it makes, as a crash would, and goes on from there.
#[tokio::test]
async fn a_sync_cut_off_anywhere_leaves_neither_orphans_nor_duplicates() {
    let world = World::new().await;
    let mut cut = 0;
    for round in 0..4 {
        for name in ["a", "b", "c", "d"] {
            world.write(
                &format!("{name}-{round}.yaml"),
                &config_map(&format!("{name}-{round}"), "1"),
            );
            world.write(
                &format!("pod-{name}.yaml"),
                &pod(&format!("pod-{name}"), &format!("round {round}")),
            );
            if round > 0 {
                world.remove(&format!("{name}-{}.yaml", round - 1));
            }
        }
        // Longer and longer, until one gets through.
        for polls in 1.. {
            let config = world.config();
            let sync = world.try_sync(&config);
            let mut sync = std::pin::pin!(sync);
            let mut left = polls * 7;
            let done = std::future::poll_fn(|context| {
                if left == 0 {
                    return std::task::Poll::Ready(false);
                }
                left -= 1;
                sync.as_mut().poll(context).map(|_| true)
            })
            .await;
            if done {
                break;
            }
            cut += 1;
            assert!(polls < 1000, "it never gets through");
        }
        let expected: Vec<String> = ["a", "b", "c", "d"]
            .iter()
            .map(|name| format!("{name}-{round}"))
            .collect();
        assert_eq!(world.names("ConfigMap").await, expected, "round {round}");
        assert_eq!(world.names("Pod").await, ["pod-a", "pod-b", "pod-c", "pod-d"]);
        assert_eq!(world.dry_run().await.verdict(), Verdict::Same);
    }
    assert!(cut > 10, "only {cut} syncs were cut off");
}
