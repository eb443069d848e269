//! The fault table: a cluster whose objects run, something that goes wrong, and what must hold. Nothing that should stay
//! is deleted or made anew, everything that is right is applied in the same pass, everything that is wrong is told in
//! that pass with its place, and when the fault is gone, all is as intended.

mod api;
mod cut;
mod folder;
mod git;
mod live;
mod manifests;
mod store;
mod wire;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use reconcile::gitops::Config;
use reconcile::gitops::report::Verdict;
use serde_json::{Value, json};

use super::harness::{World, config_map, pod, problems};
use super::state::{State, is_going};

/// The files of the source, as they are when all is well.
const TWO: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: two\ndata:\n  key: \"2\"\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: three\ndata:\n  key: \"3\"\n---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: keys\nstringData:\n  key: \"4\"\n";
const LIST: &str = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: four\n  data: {key: \"4\"}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: five\n  data: {key: \"5\"}\n";
const SHOP: &str = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: stock\n  namespace: shop\ndata:\n  key: \"1\"\n";

/// The files and their texts.
fn files() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("one.yaml", config_map("one", "1")),
        ("two.yaml", TWO.to_owned()),
        ("sub/list.yaml", LIST.to_owned()),
        ("shop.yaml", SHOP.to_owned()),
        ("web.yaml", pod("web", "hello")),
    ])
}

/// How many objects they hold.
const OBJECTS: usize = 9;

/// A cluster that was synced and runs.
struct Case {
    world: World,
    config: Config,
    /// What is owned, by its key, with its uid.
    uids: BTreeMap<String, Value>,
    /// Makes every piece of news another.
    news: AtomicU32,
}

impl Case {
    /// Its source is a directory.
    async fn new() -> Case {
        let world = World::new().await;
        write_all(&world);
        let config = world.config();
        Case::of(world, config).await
    }

    /// As the source is now; its pod runs.
    async fn of(world: World, config: Config) -> Case {
        let case = Case::with(world, config, OBJECTS).await;
        case.world.bind("web").await;
        case.world.merge_status("web", running()).await;
        case
    }

    /// As the source is now: that many objects.
    async fn with(world: World, config: Config, objects: usize) -> Case {
        let outcome = world.sync_with(&config).await;
        assert_eq!(outcome.counts.create, objects, "{outcome:?}");
        let state = State::of(world.store.as_ref()).await;
        let owned = state.0.into_iter().filter(|(_, kept)| is_owned(&kept.object));
        let uids = owned.map(|(key, kept)| (key, kept.object["metadata"]["uid"].clone()));
        let case = Case {
            world,
            config,
            uids: uids.collect(),
            news: AtomicU32::new(0),
        };
        assert_eq!(case.uids.len(), objects);
        case
    }

    /// Saves something new and right in the source; what it must come to.
    fn news(&self) -> String {
        let value = format!("news {}", self.news.fetch_add(1, Ordering::Relaxed) + 1);
        self.world.write("news.yaml", &config_map("news", &value));
        value
    }

    /// Everything that was there is there, untouched in what it is.
    async fn unharmed(&self, case: &str) {
        let state = State::of(self.world.store.as_ref()).await;
        for (key, uid) in &self.uids {
            let now = state.get(key).unwrap_or_else(|| panic!("{case}: {key} is gone"));
            assert_eq!(&now["metadata"]["uid"], uid, "{case}: {key} was made anew");
            assert!(!is_going(now), "{case}: {key} is being deleted");
        }
    }

    /// A ConfigMap of `default` says this.
    async fn holds(&self, case: &str, name: &str, value: &str) {
        let found = self.world.get("ConfigMap", name).await;
        let found = found.unwrap_or_else(|| panic!("{case}: there is no {name}"));
        assert_eq!(found["data"]["key"], value, "{case}: {name}");
    }

    /// Syncs with a fault in the source, and something right beside it: exactly these problems are told, each beginning
    /// as given, what is right is applied, and nothing is harmed.
    async fn goes_wrong(&self, case: &str, expected: &[&str]) {
        let news = self.news();
        let plan = self.world.dry_run_with(&self.config).await;
        let told = problems(&plan.problems);
        let fits = told.len() == expected.len()
            && told
                .iter()
                .zip(expected)
                .all(|(told, expected)| told.starts_with(expected));
        assert!(fits, "{case}: told was {told:#?}, not {expected:#?}");
        assert_eq!(
            plan.verdict(),
            if expected.is_empty() {
                Verdict::Differs
            } else {
                Verdict::Error
            },
            "{case}"
        );
        assert_eq!(plan.counts.delete, 0, "{case}: {:?}", plan.entries);
        let outcome = self.world.sync_with(&self.config).await;
        assert_eq!(problems(&outcome.problems), told, "{case}: a sync tells the same");
        assert_eq!(outcome.counts.delete, 0, "{case}");
        self.unharmed(case).await;
        self.holds(case, "news", &news).await;
    }

    /// The fault is gone: a sync leaves nothing to do and nothing wrong.
    async fn recovers(&self, case: &str) {
        let outcome = self.world.sync_with(&self.config).await;
        assert_eq!(problems(&outcome.problems), [""; 0], "{case}: and back");
        let plan = self.world.dry_run_with(&self.config).await;
        assert_eq!(
            (plan.verdict(), problems(&plan.problems)),
            (Verdict::Same, Vec::new()),
            "{case}: and back"
        );
        self.unharmed(case).await;
    }

    /// Puts every file back as it was.
    fn restore(&self) {
        write_all(&self.world);
    }
}

fn write_all(world: &World) {
    for (name, text) in files() {
        world.write(name, &text);
    }
}

fn is_owned(object: &Value) -> bool {
    !object["metadata"]["labels"]["applyset.kubernetes.io/part-of"].is_null()
}

/// The status of a pod that runs and is ready.
fn running() -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
}
