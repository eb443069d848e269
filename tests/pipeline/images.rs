//! A pod is replaced once its images are on its node: with a real registry that has them, or not.

use std::time::Duration;

use super::manifest::pod;
use super::source::{Kind, Source};
use crate::support::cluster::{Backend, CHANGE, Cluster};
use crate::support::docker;
use crate::support::images::BUSYBOX;
use crate::support::registry::Registry;

/// Both sides try again for a minute and a half at most, each later than before.
const TRIED_AGAIN: Duration = Duration::from_secs(120);

#[test]
fn the_old_pod_runs_until_the_images_of_the_new_one_are_there() {
    let registry = Registry::start();
    let mut cluster = Cluster::new("prepull", Backend::Embedded);
    let source = Source::new(Kind::Directory, &cluster.path("source"));
    source.write("web.yaml", &pod("web").yaml());
    cluster.start(&source.arguments());
    let before = cluster.running_pod("web", |_| Ok(()));

    let image = registry.name("later:1");
    let mark = cluster.reconciler().line_count();
    source.write("web.yaml", &pod("web").image(&image).greeting("good day").yaml());
    source.publish("an image that is not there");
    let line = cluster.reconciler().line_after(mark, "the old one stays", CHANGE);
    assert!(line.contains(&image) && line.contains("Pod default/web"), "{line}");
    let now = cluster.running_pod("web", |_| Ok(()));
    assert_eq!((now.uid(), now.container_id()), (before.uid(), before.container_id()));
    assert_eq!(docker::running(&cluster.node).len(), 1, "the old container runs");

    registry.publish(BUSYBOX, "later:1");
    cluster.reconciler().line_after(mark, "replaced", TRIED_AGAIN);
    let after = cluster.running_pod("web", |pod| match pod.uid() == before.uid() {
        true => Err("it is still the old one".to_owned()),
        false => Ok(()),
    });
    assert_eq!(after.image(), image);
    cluster.stop();
    cluster.down();
    docker::docker(&["rmi", "-f", &image]);
}
