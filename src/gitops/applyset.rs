//! What a source owns, by the ApplySet convention (KEP-3659): members carry a label, a parent object says where to look.
//!
//! The parent is a ConfigMap. It also remembers the file of every member, so that a file that cannot be read any more
//! keeps its objects. What belongs to the set is decided by the label alone, which is written in one with the object.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use sha2::{Digest, Sha256};

use super::error::Error;
use super::fieldset::MANAGER;
use super::report::ObjectKey;

/// The label of members.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// The label of the parent.
const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// The annotation that says which source the parent is for.
const SOURCE: &str = "reconcile.dev/source";

/// Every cluster has this namespace, and people do not trip over what lies in it.
pub const NAMESPACE: &str = "kube-system";

/// How large the memory of files may grow; a ConfigMap holds 1 MiB.
const MAX_DATA_BYTES: usize = 900_000;

/// How often a write of the parent is decided again after another writer came first.
const MAX_CONFLICTS: usize = 5;

/// Which set, derived from the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplySet {
    /// The parent's name.
    pub name: String,
    /// The value of the label on members.
    pub id: String,
    source: String,
}

impl ApplySet {
    /// The set of this source.
    pub fn of(source: &str) -> Self {
        let hash = Sha256::digest(source.as_bytes());
        let short: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let name = format!("reconcile-{short}");
        // The form of the id is the KEP's: a hash of the parent's name, namespace, kind and group.
        let hash = Sha256::digest(format!("{name}.{NAMESPACE}.ConfigMap.").as_bytes());
        let id = format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hash));
        Self {
            name,
            id,
            source: source.to_owned(),
        }
    }
}

/// A member's kind, with the version it was last applied with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberKind {
    /// e.g. `v1`, `coordination.k8s.io/v1`.
    pub api_version: String,
    /// e.g. `Pod`.
    pub kind: String,
}

impl MemberKind {
    fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// `Pod.v1`, `Lease.v1.coordination.k8s.io`: a ConfigMap's key takes no slash.
    fn data_key(&self) -> String {
        match self.api_version.split_once('/') {
            Some((group, version)) => format!("{}.{version}.{group}", self.kind),
            None => format!("{}.{}", self.kind, self.api_version),
        }
    }

    fn from_data_key(key: &str) -> Option<Self> {
        let (kind, rest) = key.split_once('.')?;
        let api_version = match rest.split_once('.') {
            Some((version, group)) => format!("{group}/{version}"),
            None => rest.to_owned(),
        };
        Some(Self {
            api_version,
            kind: kind.to_owned(),
        })
    }
}

/// What is known of a set's members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// By kind, then by namespace and name: the file each was last read from, empty if unknown.
    kinds: BTreeMap<MemberKind, BTreeMap<(Option<String>, String), String>>,
}

impl Members {
    /// Adds a member or moves it to another file.
    pub fn insert(&mut self, api_version: &str, key: &ObjectKey, file: &str) {
        let kind = MemberKind {
            api_version: api_version.to_owned(),
            kind: key.kind.clone(),
        };
        // One object, one entry, also when its manifest moves to another version of the kind.
        for (other, members) in &mut self.kinds {
            if *other != kind && other.kind == key.kind && other.group() == key.group {
                members.remove(&(key.namespace.clone(), key.name.clone()));
            }
        }
        self.kinds
            .entry(kind)
            .or_default()
            .insert((key.namespace.clone(), key.name.clone()), file.replace('\n', " "));
        self.kinds.retain(|_, members| !members.is_empty());
    }

    /// The file a member was last read from.
    pub fn file(&self, key: &ObjectKey) -> Option<&str> {
        self.kinds
            .iter()
            .filter(|(kind, _)| kind.kind == key.kind && kind.group() == key.group)
            .find_map(|(_, members)| members.get(&(key.namespace.clone(), key.name.clone())))
            .map(String::as_str)
            .filter(|file| !file.is_empty())
    }

    /// Everything both know; where they differ, `self` is right.
    pub fn with(&self, other: &Self) -> Self {
        let mut both = other.clone();
        for (kind, members) in &self.kinds {
            for ((namespace, name), file) in members {
                let key = ObjectKey {
                    group: kind.group().to_owned(),
                    kind: kind.kind.clone(),
                    namespace: namespace.clone(),
                    name: name.clone(),
                };
                both.insert(&kind.api_version, &key, file);
            }
        }
        both
    }

    /// The kinds that have, or had, members.
    pub fn kinds(&self) -> impl Iterator<Item = &MemberKind> {
        self.kinds.keys()
    }

    /// Whether the object is one.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        self.kinds
            .iter()
            .filter(|(kind, _)| kind.kind == key.kind && kind.group() == key.group)
            .any(|(_, members)| members.contains_key(&(key.namespace.clone(), key.name.clone())))
    }

    /// Those of some kinds.
    pub fn of_kinds(&self, wanted: impl Fn(&MemberKind) -> bool) -> Self {
        let kinds = self.kinds.iter().filter(|(kind, _)| wanted(kind));
        Self {
            kinds: kinds.map(|(kind, members)| (kind.clone(), members.clone())).collect(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kinds.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn to_data(&self) -> BTreeMap<String, String> {
        let write = |with_files: bool| -> BTreeMap<String, String> {
            self.kinds
                .iter()
                .map(|(kind, members)| {
                    let lines = members.iter().map(|((namespace, name), file)| {
                        let place = namespace.as_deref().unwrap_or_default();
                        match with_files {
                            true => format!("{place}/{name} {file}\n"),
                            false => format!("{place}/{name} \n"),
                        }
                    });
                    (kind.data_key(), lines.collect())
                })
                .collect()
        };
        let data = write(true);
        match data.values().map(String::len).sum::<usize>() > MAX_DATA_BYTES {
            // Without files, what cannot be read holds back more deletions than it would have to.
            true => write(false),
            false => data,
        }
    }

    fn from_data(data: &BTreeMap<String, String>) -> Self {
        let mut members = Self::default();
        for (key, lines) in data {
            let Some(kind) = MemberKind::from_data_key(key) else {
                continue;
            };
            let entries = lines.lines().filter_map(|line| {
                let (place, file) = line.split_once(' ')?;
                let (namespace, name) = place.split_once('/')?;
                let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
                Some(((namespace, name.to_owned()), file.to_owned()))
            });
            members.kinds.entry(kind).or_default().extend(entries);
        }
        members
    }

    fn group_kinds(&self) -> String {
        let kinds: BTreeSet<String> = self
            .kinds
            .keys()
            .map(|kind| match kind.group() {
                "" => kind.kind.clone(),
                group => format!("{}.{group}", kind.kind),
            })
            .collect();
        kinds.into_iter().collect::<Vec<_>>().join(",")
    }

    fn namespaces(&self) -> String {
        let namespaces: BTreeSet<&str> = self
            .kinds
            .values()
            .flat_map(BTreeMap::keys)
            .filter_map(|(namespace, _)| namespace.as_deref())
            .filter(|namespace| *namespace != NAMESPACE)
            .collect();
        namespaces.into_iter().collect::<Vec<_>>().join(",")
    }
}

/// The parent as last seen in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    parent: Option<ConfigMap>,
    /// What it says.
    pub members: Members,
}

impl Inventory {
    /// Reads the parent; an absent one is empty.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn load(client: &Client, set: &ApplySet) -> Result<Self, Error> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let parent = api
            .get_opt(&set.name)
            .await
            .map_err(|error| Error::api("reading what this source owns", error))?;
        let members = parent
            .as_ref()
            .and_then(|parent| parent.data.as_ref())
            .map(Members::from_data)
            .unwrap_or_default();
        Ok(Self { parent, members })
    }

    /// Writes the parent if it says anything else, by compare-and-swap.
    ///
    /// # Errors
    /// Where the API server does not answer or refuses.
    pub async fn store(&mut self, client: &Client, set: &ApplySet, members: &Members) -> Result<(), Error> {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        let failed = |error| Error::api("recording what this source owns", error);
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        for _ in 0..MAX_CONFLICTS {
            let wanted = parent(set, members, self.parent.as_ref());
            if self.parent.as_ref() == Some(&wanted) {
                return Ok(());
            }
            let written = match &self.parent {
                None => api.create(&params, &wanted).await,
                Some(_) => api.replace(&set.name, &params, &wanted).await,
            };
            match written {
                Ok(parent) => {
                    self.members = members.clone();
                    self.parent = Some(parent);
                    return Ok(());
                }
                // Another writer, or somebody deleted it: look again.
                Err(kube::Error::Api(status))
                    if status.code == 409 || (status.code == 404 && self.parent.is_some()) =>
                {
                    self.parent = api.get_opt(&set.name).await.map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(Error::Source(format!(
            "ConfigMap {NAMESPACE}/{} is being written by somebody else; are two reconcilers following this source?",
            set.name
        )))
    }
}

fn parent(set: &ApplySet, members: &Members, old: Option<&ConfigMap>) -> ConfigMap {
    let mut parent = old.cloned().unwrap_or_else(|| ConfigMap {
        metadata: ObjectMeta {
            name: Some(set.name.clone()),
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    });
    parent.labels_mut().insert(ID.to_owned(), set.id.clone());
    let annotations = parent.annotations_mut();
    for (key, value) in [
        (TOOLING, concat!("reconcile/v", env!("CARGO_PKG_VERSION")).to_owned()),
        (GROUP_KINDS, members.group_kinds()),
        (NAMESPACES, members.namespaces()),
        (SOURCE, set.source.clone()),
    ] {
        annotations.insert(key.to_owned(), value);
    }
    parent.data = Some(members.to_data()).filter(|data| !data.is_empty());
    parent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> ObjectKey {
        ObjectKey {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
        }
    }

    fn members() -> Members {
        let mut members = Members::default();
        members.insert("v1", &key("", "Pod", Some("shop"), "web"), "pods/web app.yaml");
        members.insert("v1", &key("", "Namespace", None, "shop"), "ns.yaml");
        members.insert(
            "coordination.k8s.io/v1",
            &key("coordination.k8s.io", "Lease", Some("kube-system"), "l"),
            "",
        );
        members
    }

    #[test]
    fn what_is_written_is_read_back() {
        let data = members().to_data();
        assert_eq!(data["Pod.v1"], "shop/web pods/web app.yaml\n");
        assert_eq!(Members::from_data(&data), members());
        assert_eq!(
            members().file(&key("", "Pod", Some("shop"), "web")),
            Some("pods/web app.yaml")
        );
        assert_eq!(
            members().file(&key("coordination.k8s.io", "Lease", Some("kube-system"), "l")),
            None
        );
    }

    #[test]
    fn the_parent_follows_the_convention() {
        let set = ApplySet::of("/srv/apps");
        let parent = parent(&set, &members(), None);
        assert_eq!(
            parent.annotations()[GROUP_KINDS],
            "Lease.coordination.k8s.io,Namespace,Pod"
        );
        assert_eq!(parent.annotations()[NAMESPACES], "shop");
        assert!(
            set.id.starts_with("applyset-") && set.id.ends_with("-v1") && set.id.len() <= 63,
            "{}",
            set.id
        );
        assert_eq!(parent.labels()[ID], set.id);
        assert_ne!(ApplySet::of("/srv/apps/other").id, set.id);
    }

    #[test]
    fn an_object_has_one_entry_whatever_its_version() {
        let mut members = Members::default();
        let lease = key("coordination.k8s.io", "Lease", Some("a"), "l");
        members.insert("coordination.k8s.io/v1beta1", &lease, "old.yaml");
        members.insert("coordination.k8s.io/v1", &lease, "new.yaml");
        assert_eq!((members.len(), members.file(&lease)), (1, Some("new.yaml")));
    }

    #[test]
    fn ten_thousand_members_fit() {
        let mut members = Members::default();
        for app in 0..10_000 {
            let name = format!("application-number-{app}");
            members.insert(
                "v1",
                &key("", "Pod", Some(&name), &name),
                &format!("apps/{name}/manifests.yaml"),
            );
        }
        let data = members.to_data();
        assert!(data.values().map(String::len).sum::<usize>() < 1 << 20);
    }
}
