use super::*;
use crate::scheduler::explain::Change;
use crate::scheduler::refusal::Refusal;

const RULES: [(&str, i64); 2] = [("TaintToleration", 3), ("NodeResourcesBalancedAllocation", 1)];

fn explained(nodes: Vec<NodeExplanation>) -> Explanation {
    Explanation {
        namespace: "default".into(),
        name: "web".into(),
        standing: Standing::Placed {
            node: "b".into(),
            ending: false,
        },
        nominated_node: None,
        summary: "2/3 nodes are available: a would be chosen.".into(),
        chosen: vec!["a".into()],
        sample: None,
        preemption: None,
        easiest: None,
        nodes,
    }
}

fn fitting(name: &str, current: bool) -> NodeExplanation {
    let scores = RULES.map(|(plugin, weight)| Score {
        plugin,
        score: 50,
        weight,
        product: 50 * weight,
    });
    NodeExplanation {
        name: name.into(),
        current,
        outcome: Outcome::Fits {
            total: 200,
            scores: scores.into(),
        },
    }
}

fn refused(name: &str) -> NodeExplanation {
    NodeExplanation {
        name: name.into(),
        current: false,
        outcome: Outcome::Refused(Refused {
            filter: "TaintToleration",
            reasons: vec![Refusal::Taint {
                key: "dedicated".into(),
                value: "gpu".into(),
            }],
            changes: vec![Change::Toleration {
                key: "dedicated".into(),
                value: "gpu".into(),
                effect: "NoSchedule".into(),
            }],
            preemption: None,
        }),
    }
}

#[test]
fn a_wide_or_endless_table_has_a_column_a_rule() {
    let explanation = explained(vec![fitting("a", false), fitting("b", true), refused("c")]);
    let expected = "\
pod         default/web is on node b
decision    2/3 nodes are available: a would be chosen.

NODE   TOTAL   TaintToleration   NodeResourcesBalancedAllocation
a      200     50×3=150          50×1=50
b *    200     50×3=150          50×1=50

NODE   REFUSED BY        REASON, AND WHAT WOULD HAVE TO CHANGE
c      TaintToleration   node(s) had untolerated taint {dedicated: gpu}
                         → tolerate taint dedicated=gpu:NoSchedule

* the pod is on this node, which is shown as if it were not there yet
";
    assert_eq!(super::explanation(&explanation, false, Style::default()), expected);
}

#[test]
fn a_narrow_table_is_broken_where_the_terminal_ends() {
    let explanation = explained(vec![fitting("a", false), fitting("b", true), refused("c")]);
    let style = Style {
        width: Some(60),
        ..Style::default()
    };
    let text = super::explanation(&explanation, false, style);
    let expected = "\
pod         default/web is on node b
decision    2/3 nodes are available: a would be chosen.

NODE   TOTAL   SCORES
a      200     TaintToleration 50×3=150,
               NodeResourcesBalancedAllocation 50×1=50
b *    200     TaintToleration 50×3=150,
               NodeResourcesBalancedAllocation 50×1=50

NODE   REFUSED BY        REASON, AND WHAT WOULD HAVE TO
                         CHANGE
c      TaintToleration   node(s) had untolerated taint
                         {dedicated: gpu}
                         → tolerate taint
                         dedicated=gpu:NoSchedule
";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn many_nodes_are_put_together_by_their_reasons() {
    let mut nodes: Vec<_> = (0..15)
        .map(|index| fitting(&format!("fits-{index:02}"), index == 13))
        .collect();
    nodes.extend((0..30).map(|index| refused(&format!("tainted-{index:02}"))));
    let explanation = explained(nodes);
    let text = super::explanation(&explanation, false, Style::default());
    let expected = "\
fits-09     200     50×3=150          50×1=50
fits-13 *   200     50×3=150          50×1=50
… and 4 more that fit; --all shows them

NODE       REFUSED BY        REASON, AND WHAT WOULD HAVE TO CHANGE
30 nodes   TaintToleration   node(s) had untolerated taint {dedicated: gpu}
                             → the least on tainted-00: tolerate taint dedicated=gpu:NoSchedule
--all shows every node
";
    assert!(text.contains(expected), "{text}");
    let all = super::explanation(&explanation, true, Style::default());
    let lines = |what: &str| all.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!((lines("fits-"), lines("tainted-")), (15, 30), "{all}");
}

#[test]
fn what_a_pod_that_fits_nowhere_was_told_and_needs() {
    let mut explanation = explained(vec![refused("c")]);
    explanation.standing = Standing::Refused {
        message: "0/2 nodes are available: 2 Insufficient cpu.".into(),
    };
    explanation.summary = "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}.".into();
    explanation.chosen.clear();
    explanation.easiest = Some("c".into());
    let text = super::explanation(&explanation, false, Style::default());
    let expected = "\
pod         default/web waits: it fitted nowhere when it was looked at
decision    0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: gpu}.
was told    0/2 nodes are available: 2 Insufficient cpu.
easiest     c: tolerate taint dedicated=gpu:NoSchedule
";
    assert!(text.starts_with(expected), "{text}");
}
