//! How many nodes that fit are enough to choose among, as kube-scheduler reckons. Pure.

/// Clusters of fewer nodes are looked at as a whole, and never fewer than this are wanted.
const FEWEST: usize = 100;
/// A larger cluster is looked at to this part, in hundredths, less one for every [`NODES_A_PERCENT`] nodes.
const PERCENT: usize = 50;
const NODES_A_PERCENT: usize = 125;
/// The smallest such part.
const LEAST_PERCENT: usize = 5;

/// How many nodes that fit to find among so many. `percentage` is the configured part, where there is one; 0 is none.
pub fn nodes_to_find(nodes: usize, percentage: Option<u8>) -> usize {
    let percent = match percentage.filter(|percent| *percent > 0) {
        Some(percent) => usize::from(percent),
        None => PERCENT.saturating_sub(nodes / NODES_A_PERCENT).max(LEAST_PERCENT),
    };
    if nodes < FEWEST || percent >= 100 {
        return nodes;
    }
    (nodes * percent / 100).max(FEWEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_the_cluster_the_smaller_the_part() {
        for (name, nodes, percentage, wanted) in [
            ("a small cluster", 99, None, 99),
            ("small, whatever is configured", 50, Some(10), 50),
            ("just large", 100, None, 100),
            ("a thousand", 1000, None, 420),
            ("five thousand", 5000, None, 500),
            ("very large", 20_000, None, 1000),
            ("configured", 5000, Some(30), 1500),
            ("everything", 5000, Some(100), 5000),
            ("never too few", 500, Some(1), 100),
            ("none configured", 1000, Some(0), 420),
        ] {
            assert_eq!(nodes_to_find(nodes, percentage), wanted, "{name}");
        }
    }
}
