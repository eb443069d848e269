//! Tables of volumes, claims and storage classes.

use serde_json::{Value, json};

use super::{AGE, NAME, Table, column, created, items, name, text, wide};

/// What stands for a class of attributes, or a mode, that is not set.
const UNSET: &str = "<unset>";
const OLD_CLASS: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";

pub(in crate::object) const PERSISTENT_VOLUMES: Table = Table {
    columns: &[
        NAME,
        column("Capacity", "string", "How much it holds."),
        column("Access Modes", "string", "The ways in which it may be used."),
        column("Reclaim Policy", "string", "What becomes of it once its claim is gone."),
        column(
            "Status",
            "string",
            "Whether it is free, taken, or left behind by its claim.",
        ),
        column("Claim", "string", "The claim that it is for."),
        column("StorageClass", "string", "The class that it is of."),
        column("VolumeAttributesClass", "string", "The class of its attributes."),
        column("Reason", "string", "Why it failed."),
        AGE,
        wide("VolumeMode", "Whether it holds files or is a device."),
    ],
    row: |object, now| {
        let claim = text(object, "/spec/claimRef/name").map(|claim| {
            let namespace = text(object, "/spec/claimRef/namespace").unwrap_or("");
            format!("{namespace}/{claim}")
        });
        vec![
            name(object),
            json!(text(object, "/spec/capacity/storage").unwrap_or("0")),
            json!(access_modes(object, "/spec/accessModes")),
            json!(text(object, "/spec/persistentVolumeReclaimPolicy").unwrap_or("")),
            phase(object),
            json!(claim.unwrap_or_default()),
            class(object),
            attributes_class(object),
            json!(text(object, "/status/reason").unwrap_or("")),
            created(object, now),
            json!(text(object, "/spec/volumeMode").unwrap_or(UNSET)),
        ]
    },
};

pub(in crate::object) const PERSISTENT_VOLUME_CLAIMS: Table = Table {
    columns: &[
        NAME,
        column("Status", "string", "Whether it has its volume."),
        column("Volume", "string", "The volume that it has, or asks for."),
        column("Capacity", "string", "How much its volume holds."),
        column("Access Modes", "string", "The ways in which its volume may be used."),
        column("StorageClass", "string", "The class that it asks for."),
        column(
            "VolumeAttributesClass",
            "string",
            "The class of attributes that it asks for.",
        ),
        AGE,
        wide("VolumeMode", "Whether it asks for files or a device."),
    ],
    row: |object, now| {
        let volume = text(object, "/spec/volumeName");
        let (capacity, modes) = match volume {
            Some(_) => (
                text(object, "/status/capacity/storage").unwrap_or("0"),
                access_modes(object, "/status/accessModes"),
            ),
            None => ("", String::new()),
        };
        vec![
            name(object),
            phase(object),
            json!(volume.unwrap_or("")),
            json!(capacity),
            json!(modes),
            class(object),
            attributes_class(object),
            created(object, now),
            json!(text(object, "/spec/volumeMode").unwrap_or(UNSET)),
        ]
    },
};

pub(in crate::object) const STORAGE_CLASSES: Table = Table {
    columns: &[
        NAME,
        column("Provisioner", "string", "Who makes its volumes."),
        column(
            "ReclaimPolicy",
            "string",
            "What becomes of its volumes once their claims are gone.",
        ),
        column("VolumeBindingMode", "string", "When a claim gets its volume."),
        column("AllowVolumeExpansion", "string", "Whether claims may grow."),
        AGE,
    ],
    row: |object, now| {
        let is_default = ["storageclass", "storageclass.beta"].into_iter().any(|prefix| {
            let pointer = format!("/metadata/annotations/{prefix}.kubernetes.io~1is-default-class");
            text(object, &pointer) == Some("true")
        });
        let mark = if is_default { " (default)" } else { "" };
        vec![
            json!(format!("{}{mark}", text(object, "/metadata/name").unwrap_or(""))),
            json!(text(object, "/provisioner").unwrap_or("")),
            json!(text(object, "/reclaimPolicy").unwrap_or("Delete")),
            json!(text(object, "/volumeBindingMode").unwrap_or("Immediate")),
            json!(object["allowVolumeExpansion"] == true),
            created(object, now),
        ]
    },
};

fn phase(object: &Value) -> Value {
    match text(object, "/metadata/deletionTimestamp") {
        Some(_) => json!("Terminating"),
        None => json!(text(object, "/status/phase").unwrap_or("")),
    }
}

fn class(object: &Value) -> Value {
    let class = text(object, OLD_CLASS).or_else(|| text(object, "/spec/storageClassName"));
    json!(class.unwrap_or(""))
}

fn attributes_class(object: &Value) -> Value {
    json!(text(object, "/spec/volumeAttributesClassName").unwrap_or(UNSET))
}

/// As short as kubectl says it, and in its order.
fn access_modes(object: &Value, pointer: &str) -> String {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let modes = items(object, pointer);
    let named = short
        .into_iter()
        .filter(|(mode, _)| modes.iter().any(|has| has == mode));
    named.map(|(_, short)| short).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::{columns, row};
    use super::*;
    use crate::object::Kind;

    #[test]
    fn rows() {
        let now = "2020-01-01T00:01:00Z".parse().unwrap();
        let created = "2020-01-01T00:00:00Z";
        let modes = json!(["ReadWriteMany", "ReadWriteOnce", "ReadWriteOnce"]);
        for (name, plural, object, wanted) in [
            (
                "a volume that is taken",
                "persistentvolumes",
                json!({"spec": {"capacity": {"storage": "5Gi"}, "accessModes": modes, "volumeMode": "Filesystem",
                    "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "local",
                    "claimRef": {"namespace": "n", "name": "c"}}, "status": {"phase": "Bound"}}),
                json!([
                    "a",
                    "5Gi",
                    "RWO,RWX",
                    "Retain",
                    "Bound",
                    "n/c",
                    "local",
                    "<unset>",
                    "",
                    "60s",
                    "Filesystem"
                ]),
            ),
            (
                "a volume on its way out",
                "persistentvolumes",
                json!({"metadata": {"deletionTimestamp": created}, "status": {"phase": "Failed", "reason": "Gone"}}),
                json!([
                    "a",
                    "0",
                    "",
                    "",
                    "Terminating",
                    "",
                    "",
                    "<unset>",
                    "Gone",
                    "60s",
                    "<unset>"
                ]),
            ),
            (
                "a claim with its volume",
                "persistentvolumeclaims",
                json!({"spec": {"volumeName": "v", "storageClassName": "local", "volumeMode": "Block",
                    "resources": {"requests": {"storage": "1Gi"}}},
                    "status": {"phase": "Bound", "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOncePod"]}}),
                json!(["a", "Bound", "v", "5Gi", "RWOP", "local", "<unset>", "60s", "Block"]),
            ),
            (
                "a claim without",
                "persistentvolumeclaims",
                json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Pending"}}),
                json!(["a", "Pending", "", "", "", "", "<unset>", "60s", "<unset>"]),
            ),
            (
                "a class",
                "storageclasses",
                json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                    "provisioner": "p", "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer",
                    "allowVolumeExpansion": true}),
                json!(["a (default)", "p", "Retain", "WaitForFirstConsumer", true, "60s"]),
            ),
        ] {
            let kind = Kind::all().iter().find(|kind| kind.plural == plural).unwrap();
            let mut object = object;
            object["metadata"]["name"] = json!("a");
            object["metadata"]["creationTimestamp"] = json!(created);
            assert_eq!(json!(row(kind, &object, now)), wanted, "{name}");
            assert_eq!(columns(kind).len(), wanted.as_array().unwrap().len(), "{name}");
        }
    }
}
