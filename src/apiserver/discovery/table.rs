//! What discovery lists: the kinds table, subresources, and the reviews that are only posted.

use crate::apiserver::reviews;
use crate::object::Kind;

/// A resource as discovery shows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// API group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Name in paths.
    pub plural: &'static str,
    /// Name of one.
    pub singular: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// Whether it lives in a namespace.
    pub namespaced: bool,
    /// What may be done with it.
    pub verbs: &'static [&'static str],
    /// Abbreviations.
    pub short_names: &'static [&'static str],
    /// e.g. `all`.
    pub categories: &'static [&'static str],
    /// Whether it has `/status`.
    pub status: bool,
}

/// A part of a resource that has a path of its own.
#[derive(Clone, Copy, Debug)]
pub struct Subresource {
    /// Last segment of its path.
    pub name: &'static str,
    /// Group of what is sent there.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// What may be done with it.
    pub verbs: &'static [&'static str],
}

const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
const ALL_BUT_COLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

/// Whether all of a kind's objects may be deleted at once; not namespaces, as in Kubernetes.
pub fn allows_delete_collection(kind: &Kind) -> bool {
    kind.kind != "Namespace"
}

/// Every resource served.
pub fn entries() -> Vec<Entry> {
    let kinds = Kind::all().iter().map(|kind| Entry {
        group: kind.group,
        version: kind.version,
        plural: kind.plural,
        singular: kind.singular,
        kind: kind.kind,
        namespaced: kind.namespaced,
        verbs: if allows_delete_collection(kind) {
            ALL_VERBS
        } else {
            ALL_BUT_COLLECTION
        },
        short_names: kind.short_names,
        categories: kind.categories,
        status: kind.status,
    });
    let reviews = reviews::ALL.iter().map(|review| Entry {
        group: review.group,
        version: review.version,
        plural: review.plural,
        singular: review.singular,
        kind: review.kind,
        namespaced: false,
        verbs: &["create"],
        short_names: &[],
        categories: &[],
        status: false,
    });
    kinds.chain(reviews).collect()
}

/// The parts of a resource that have paths of their own.
pub fn subresources(entry: &Entry) -> Vec<Subresource> {
    let own = |name, verbs| Subresource {
        name,
        group: entry.group,
        version: entry.version,
        kind: entry.kind,
        verbs,
    };
    let mut found = Vec::new();
    if entry.status {
        found.push(own("status", &["get", "patch", "update"]));
    }
    match (entry.group, entry.plural) {
        ("", "pods") => {
            found.push(Subresource {
                name: "binding",
                group: "",
                version: "v1",
                kind: "Binding",
                verbs: &["create"],
            });
            found.push(Subresource {
                name: "eviction",
                group: "policy",
                version: "v1",
                kind: "Eviction",
                verbs: &["create"],
            });
            found.push(own("log", &["get"]));
        }
        ("", "namespaces") => found.push(own("finalize", &["update"])),
        ("", "serviceaccounts") => found.push(Subresource {
            name: "token",
            group: "authentication.k8s.io",
            version: "v1",
            kind: "TokenRequest",
            verbs: &["create"],
        }),
        _ => {}
    }
    found
}
