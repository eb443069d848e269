//! A change of the source becomes a change of what runs; between the changes a dry run says the same in advance.

use super::manifest::{config_map, pod};
use super::source::{Kind, Source};
use crate::support::cluster::{Backend, CHANGE, Cluster, PodView};
use crate::support::images::BUSYBOX_2;

/// The way through every kind of change, with the cluster in one process.
fn all_in_one(kind: Kind, backend: Backend) {
    let mut cluster = Cluster::new("follow", backend);
    let source = Source::new(kind, &cluster.path("source"));
    begin(&source);
    cluster.start(&source.arguments());
    Followed { cluster, source }.through_every_change();
}

/// The same with a process for each component.
fn separate(kind: Kind, backend: Backend) {
    let mut cluster = Cluster::new("processes", backend);
    let source = Source::new(kind, &cluster.path("source"));
    begin(&source);
    cluster.start_separately(&source.arguments());
    Followed { cluster, source }.through_every_change();
}

/// The same with two nodes on one Docker, each with its own kubelet.
fn two_kubelets(kind: Kind, backend: Backend) {
    let mut cluster = Cluster::new("pair", backend);
    let source = Source::new(kind, &cluster.path("source"));
    begin(&source);
    cluster.start_apiserver();
    cluster.start_scheduler();
    let (first, second) = (cluster.node.clone(), format!("{}-b", cluster.node));
    cluster.start_kubelet(&first);
    cluster.start_kubelet(&second);
    cluster.start_reconciler(&source.arguments());
    Followed { cluster, source }.through_every_change();
}

macro_rules! follow {
    ($($name:ident: $run:ident, $kind:ident, $backend:ident;)+) => {
        $(#[test] fn $name() { $run(Kind::$kind, Backend::$backend); })+
    };
}
follow! {
    work_tree_on_the_embedded_store: all_in_one, WorkTree, Embedded;
    work_tree_on_etcd: all_in_one, WorkTree, Etcd;
    directory_on_the_embedded_store: all_in_one, Directory, Embedded;
    directory_on_etcd: all_in_one, Directory, Etcd;
    bare_repository_on_the_embedded_store: all_in_one, Bare, Embedded;
    bare_repository_on_etcd: all_in_one, Bare, Etcd;
    remote_on_the_embedded_store: all_in_one, Remote, Embedded;
    remote_on_etcd: all_in_one, Remote, Etcd;
    work_tree_with_four_processes: separate, WorkTree, Embedded;
    directory_with_four_processes_on_etcd: separate, Directory, Etcd;
    work_tree_with_two_kubelets: two_kubelets, WorkTree, Embedded;
}

/// Something that stays all the time, so that the source is never empty.
fn begin(source: &Source) {
    source.write("settings.yaml", &config_map("settings", "1"));
    source.publish("settings");
}

struct Followed {
    cluster: Cluster,
    source: Source,
}

impl Followed {
    fn through_every_change(mut self) {
        self.settled();
        let created = self.creates();
        let labelled = self.changes_a_label(&created);
        let changed = self.changes_an_image(&labelled);
        let replaced = self.replaces_for_env(&changed);
        let replaced = self.replaces_for_a_command(&replaced);
        self.keeps_what_it_cannot_read(&replaced);
        self.deletes();
        assert!(self.cluster.all_running(), "a component ended");
        self.cluster.stop();
    }

    fn creates(&mut self) -> PodView {
        self.source.write("web.yaml", &pod("web").yaml());
        self.previews("1 to create");
        self.source.publish("add web");
        let created = self.cluster.running_pod("web", |_| Ok(()));
        self.settled();
        created
    }

    fn changes_a_label(&mut self, before: &PodView) -> PodView {
        self.source.write("web.yaml", &pod("web").label("tier", "front").yaml());
        self.previews("1 to change");
        self.source.publish("label web");
        let after = self
            .cluster
            .running_pod("web", |pod| expect("label", &pod.label("tier"), "front"));
        assert_eq!(after.uid(), before.uid(), "a label changes in place");
        assert_eq!(after.container_id(), before.container_id(), "a label restarts nothing");
        self.settled();
        after
    }

    fn changes_an_image(&mut self, before: &PodView) -> PodView {
        let manifest = pod("web").label("tier", "front").image(BUSYBOX_2);
        self.source.write("web.yaml", &manifest.yaml());
        self.previews("1 to change");
        self.source.publish("another image");
        let after = self.cluster.running_pod("web", |pod| {
            expect("image", &pod.image(), BUSYBOX_2)?;
            differ("container", &pod.container_id(), &before.container_id())
        });
        assert_eq!(after.uid(), before.uid(), "an image changes in place");
        assert!(
            after.restarts() > before.restarts(),
            "the container was restarted: {:?}",
            after.0
        );
        let running = self.cluster.containers();
        let of_web = running
            .iter()
            .filter(|container| container.pod == "web" && container.running);
        assert_eq!(of_web.count(), 1, "the old container stopped: {running:?}");
        self.settled();
        after
    }

    fn replaces_for_env(&mut self, before: &PodView) -> PodView {
        let manifest = pod("web").label("tier", "front").image(BUSYBOX_2).greeting("good day");
        self.replaces(before, &manifest.yaml())
    }

    fn replaces_for_a_command(&mut self, before: &PodView) -> PodView {
        self.replaces(before, &final_web())
    }

    fn replaces(&mut self, before: &PodView, manifest: &str) -> PodView {
        self.source.write("web.yaml", manifest);
        self.previews("1 to replace");
        self.source.publish("what a live pod cannot change");
        let after = self
            .cluster
            .running_pod("web", |pod| differ("uid", &pod.uid(), &before.uid()));
        assert_eq!(after.restarts(), 0, "a new pod: {:?}", after.0);
        self.settled();
        after
    }

    /// A file that broke and one that came, in one change: the first keeps its pod, the second is applied.
    fn keeps_what_it_cannot_read(&mut self, before: &PodView) {
        let mark = self.cluster.reconciler().line_count();
        let broken = final_web().replace("  containers:", "  containers: [");
        self.source.write("web.yaml", &broken);
        self.source.write("other.yaml", &pod("other").yaml());
        if self.source.previews() {
            let preview = self.dry_run();
            assert_eq!(
                preview.code,
                Some(2),
                "a file that cannot be read is an error: {preview}"
            );
            assert!(names_a_place(&preview.all(), "web.yaml"), "{preview}");
        }
        self.source.publish("break web, add other");
        self.cluster.running_pod("other", |_| Ok(()));
        let report = self.cluster.reconciler().line_after(mark, "web.yaml:", CHANGE);
        assert!(names_a_place(&report, "web.yaml"), "path, line and column: {report}");
        let after = self.cluster.pod("web").expect("web is still there");
        assert_eq!(after.uid(), before.uid());
        assert_eq!(after.container_id(), before.container_id());
        let dry = self.dry_run();
        assert_eq!(dry.code, Some(2), "still an error: {dry}");
        self.source.write("web.yaml", &final_web());
        self.source.publish("mend web");
        self.settled();
        let mended = self.cluster.pod("web").expect("web is still there");
        assert_eq!(
            mended.container_id(),
            before.container_id(),
            "mending it changes nothing"
        );
    }

    fn deletes(&mut self) {
        self.source.remove("web.yaml");
        self.previews("1 to delete");
        self.source.publish("remove web");
        self.cluster.no_pod("web");
        self.cluster.running_pod("other", |_| Ok(()));
        self.settled();
    }

    /// Where files can be looked at before they count, a dry run shows the change and makes none.
    fn previews(&self, summary: &str) {
        if !self.source.previews() {
            return;
        }
        let intent = "jsonpath={range .items[*]}{.metadata.uid} {.metadata.labels} {.spec}{end}";
        let pods = self.cluster.kubectl().ok(&["get", "pods", "-o", intent]);
        let preview = self.dry_run();
        assert_eq!(preview.code, Some(1), "{preview}");
        assert!(preview.stdout.contains(summary), "{summary:?} in {preview}");
        let after = self.cluster.kubectl().ok(&["get", "pods", "-o", intent]);
        assert_eq!(after, pods, "a dry run writes nothing");
    }

    /// Once a change is through, a dry run finds nothing to do.
    fn settled(&self) {
        crate::support::eventually("a dry run finds nothing to do", CHANGE, || {
            let dry = self.dry_run();
            if dry.code == Some(0) {
                Ok(())
            } else {
                Err(dry.to_string())
            }
        });
    }

    fn dry_run(&self) -> crate::support::process::Ended {
        let mut arguments = self.source.arguments();
        arguments.push("--dry-run");
        self.cluster.run(&arguments)
    }
}

fn final_web() -> String {
    let manifest = pod("web").label("tier", "front").image(BUSYBOX_2).greeting("good day");
    manifest.script(&format!("echo up; {}", super::manifest::RUN)).yaml()
}

fn expect(what: &str, found: &str, wanted: &str) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what} is {found:?}, not {wanted:?}"))
    }
}

fn differ(what: &str, found: &str, old: &str) -> Result<(), String> {
    if found != old && !found.is_empty() {
        Ok(())
    } else {
        Err(format!("{what} is still {found:?}"))
    }
}

/// Whether a text says `FILE:LINE:COLUMN`.
fn names_a_place(text: &str, file: &str) -> bool {
    text.match_indices(&format!("{file}:")).any(|(at, matched)| {
        let mut numbers = text[at + matched.len()..].split(':');
        let line = numbers.next().unwrap_or_default();
        let column = numbers
            .next()
            .unwrap_or_default()
            .trim_end_matches(|c: char| !c.is_ascii_digit());
        line.parse::<u32>().is_ok()
            && column
                .split(|c: char| !c.is_ascii_digit())
                .next()
                .is_some_and(|n| n.parse::<u32>().is_ok())
    })
}
