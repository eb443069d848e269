//! The scheduler's memory in a made-up world: events come late or never, bindings get lost, nodes come, change and go.
//!
//! Whatever happens, no decision gives away more of a node than the node had when it was last heard of, what is kept up to
//! date is what building it anew gives, and once the world is quiet every pod that fits is bound within a minute.

mod objects;
mod world;

use proptest::prelude::*;

use objects::{Shape, Wish};
use world::{Fate, Op, World};

const NODES: usize = 4;

fn wishes() -> impl Strategy<Value = Wish> {
    let amounts = (0..5_i64, 0..4_i64, 0..3_i64, 0..2_i64);
    let port = prop::option::weighted(0.3, (8080..8082, any::<bool>(), any::<bool>()));
    let rare = || prop::bool::weighted(0.2);
    (amounts, port, 0..3, rare(), rare(), any::<bool>()).prop_map(
        |(amounts, port, priority, lonely, choosy, tolerant)| {
            let (halves, memory, storage, gpus) = amounts;
            Wish {
                cpu_millis: halves * 500,
                memory_gi: memory,
                storage_gi: storage,
                gpus,
                port,
                priority,
                lonely,
                choosy,
                tolerant,
            }
        },
    )
}

fn shapes() -> impl Strategy<Value = Shape> {
    let amounts = (1..5_i64, 2..6_i64, 1..5_i64, 0..3_i64, 2..6_usize);
    let rare = || prop::bool::weighted(0.2);
    (amounts, rare(), rare(), any::<bool>()).prop_map(|(amounts, cordoned, tainted, fast)| {
        let (cores, memory, storage, gpus, pods) = amounts;
        Shape {
            cpu_millis: cores * 1000,
            memory_gi: memory,
            storage_gi: storage,
            gpus,
            pods,
            cordoned,
            tainted,
            fast,
        }
    })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let fate = prop_oneof![4 => Just(Fate::Done), 1 => Just(Fate::Lost), 1 => Just(Fate::Unanswered)];
    let op = prop_oneof![
        3 => (0..NODES, shapes()).prop_map(|(index, shape)| Op::SetNode(index, shape)),
        1 => (0..NODES).prop_map(Op::RemoveNode),
        6 => wishes().prop_map(Op::AddPod),
        2 => (0..100_usize).prop_map(Op::DeletePod),
        5 => (1..5_usize).prop_map(Op::DeliverPods),
        3 => (1..3_usize).prop_map(Op::DeliverNodes),
        1 => any::<bool>().prop_map(Op::Lose),
        1 => Just(Op::Relist),
        6 => (1..4_usize).prop_map(Op::Decide),
        5 => (0..10_usize, fate).prop_map(|(index, fate)| Op::Resolve(index, fate)),
        3 => (0..15_000_u64).prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn nothing_is_over_committed_and_nothing_is_lost(ops in ops()) {
        let mut world = World::new();
        for op in &ops {
            world.carry_out(op);
            world.check_kept_right();
        }
        world.settle();
        world.check_kept_right();
        world.check_settled();
    }
}

/// Of two pods that drive others out of one node the second must not count on the room that is made for the first.
#[test]
fn room_that_is_being_made_for_one_is_not_counted_on_for_another() {
    let wish = |cpu_millis, priority| Wish {
        cpu_millis,
        memory_gi: 0,
        storage_gi: 0,
        gpus: 0,
        port: None,
        priority,
        lonely: false,
        choosy: false,
        tolerant: false,
    };
    let shape = Shape {
        cpu_millis: 2000,
        memory_gi: 5,
        storage_gi: 4,
        gpus: 0,
        pods: 2,
        cordoned: false,
        tainted: false,
        fast: false,
    };
    let mut world = World::new();
    for op in [
        Op::SetNode(0, shape),
        Op::AddPod(wish(0, 0)),
        Op::Relist,
        Op::AddPod(wish(2000, 0)),
        Op::DeliverPods(1),
        Op::Decide(1),
        Op::AddPod(wish(0, 1)),
        Op::AddPod(wish(0, 1)),
    ] {
        world.carry_out(&op);
    }
    world.settle();
    world.check_settled();
}
