//! Orders of magnitude, so that nobody makes lists or creates slow without noticing. Real figures come from `benches/`.

use std::time::Instant;

use futures::StreamExt;

use super::world::{Backend, PODS, World, pod};

#[test]
fn many_pods_are_created_and_listed_in_little_time() {
    let world = World::start(Backend::Embedded);
    const COUNT: usize = 1000;
    let started = Instant::now();
    world.runtime.block_on(async {
        let sent = futures::stream::iter(0..COUNT).map(|index| {
            world
                .client()
                .post(format!("{}{PODS}", world.url))
                .json(&pod(&format!("p-{index:04}")))
                .send()
        });
        let codes: Vec<u16> = sent
            .buffer_unordered(32)
            .map(|answer| answer.expect("an answer").status().as_u16())
            .collect()
            .await;
        assert!(codes.iter().all(|code| *code == 201));
    });
    let created = started.elapsed();
    let started = Instant::now();
    let list = world.get(PODS);
    let listed = started.elapsed();
    assert_eq!(list.of(200)["items"].as_array().map(Vec::len), Some(COUNT));
    println!("{COUNT} creates in {created:?}, one list of them in {listed:?}");
    assert!(
        created.as_secs() < 60 && listed.as_secs() < 10,
        "creates {created:?}, list {listed:?}"
    );
}
