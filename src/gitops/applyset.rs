//! What a source owns, by the ApplySet convention (KEP-3659): members carry a label, a parent object says where to look.
//!
//! The parent is a ConfigMap. It also remembers the file of every member, so that a file that cannot be read any more
//! keeps its objects. What belongs to the set is decided by the label alone, which is written in one with the object.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::report::ObjectKey;

/// The label of members.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// The label of the parent.
pub(super) const ID: &str = "applyset.kubernetes.io/id";
pub(super) const TOOLING: &str = "applyset.kubernetes.io/tooling";
pub(super) const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
pub(super) const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// The annotation that says which source the parent is for.
pub(super) const SOURCE: &str = "reconcile.dev/source";

/// Every cluster has this namespace, and people do not trip over what lies in it.
pub const NAMESPACE: &str = "kube-system";

/// How large the memory of files may grow; a ConfigMap holds 1 MiB.
const MAX_DATA_BYTES: usize = 900_000;

/// Which set, derived from the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplySet {
    /// The parent's name.
    pub name: String,
    /// The value of the label on members.
    pub id: String,
    /// What the set was derived from.
    pub source: String,
}

impl ApplySet {
    /// The set of this source.
    pub fn of(source: &str) -> Self {
        let hash = Sha256::digest(source.as_bytes());
        let name = format!("reconcile-{}", hex::encode(&hash[..6]));
        // The form of the id is the KEP's: a hash of the parent's name, namespace, kind and group.
        let hash = Sha256::digest(format!("{name}.{NAMESPACE}.ConfigMap.").as_bytes());
        let id = format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hash));
        Self {
            name,
            id,
            source: source.to_owned(),
        }
    }

    /// What people call it: the last part of the source.
    pub fn short_name(&self) -> &str {
        let last = self.source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let last = last.strip_suffix(".git").unwrap_or(last);
        if last.is_empty() { &self.name } else { last }
    }
}

/// The id of the set that a live object belongs to, if it belongs to any.
pub fn owner(object: &Value) -> Option<&str> {
    object["metadata"]["labels"][PART_OF].as_str()
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

    pub(super) fn to_data(&self) -> BTreeMap<String, String> {
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

    pub(super) fn from_data(data: &BTreeMap<String, String>) -> Self {
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

    pub(super) fn group_kinds(&self) -> String {
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

    pub(super) fn namespaces(&self) -> String {
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
