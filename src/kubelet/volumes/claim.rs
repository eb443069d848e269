//! What a pod's claim comes to on this host: the volume that it is bound to. Reads the API, decides purely, binds
//! nothing.

use std::path::Path;

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, Node, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, Pod, Volume,
};
use kube::ResourceExt;
use tokio::fs;

use super::{MountSource, Prepared, Tools, VolumeError, host_path};
use crate::object::node_selector;
use crate::object::volume::claims::{Used, is_owned_by, not_owned, of_volume};
use crate::object::volume::{is_fully_bound, volume_name};

/// What is to be mounted.
#[derive(Debug, PartialEq)]
enum Storage<'a> {
    /// This path, which may be made.
    HostPath(&'a HostPathVolumeSource),
    /// This path, which must be there.
    Local(&'a str),
}

/// The volume where it is a claim's; `None` for any other.
pub async fn prepare(tools: Tools<'_>, pod: &Pod, volume: &Volume) -> Result<Option<Prepared>, VolumeError> {
    let of_pod = pod.name_any();
    let Some(used) = of_volume(volume, &of_pod) else {
        return Ok(None);
    };
    let name = volume.name.as_str();
    let api = |source| VolumeError::Api {
        volume: name.to_owned(),
        source,
    };
    let refused = |reason: String| VolumeError::source(name, reason);
    let namespace = pod.namespace().unwrap_or_default();
    let claim = tools.sources.claim(&namespace, &used.name()).await.map_err(api)?;
    let bound = bound_volume(pod, &used, claim.as_ref()).map_err(refused)?;
    let found = tools.sources.volume(bound).await.map_err(api)?;
    let found = found.ok_or_else(|| refused(format!("persistentvolume {bound:?} not found")))?;
    let node = tools.sources.node(&tools.config.node_name).await.map_err(api)?;
    let source = match storage(&found, claim.as_ref(), node.as_deref()).map_err(refused)? {
        Storage::HostPath(host) => {
            host_path::check(name, host).await?;
            host.path.clone()
        }
        Storage::Local(path) => {
            must_be_there(name, path).await?;
            path.to_owned()
        }
    };
    Ok(Some(Prepared {
        source: MountSource::Path(source),
        read_only: asks_to_read(volume),
    }))
}

/// Whether the pod wants nothing more than to read.
fn asks_to_read(volume: &Volume) -> bool {
    let source = volume.persistent_volume_claim.as_ref();
    source.is_some_and(|source| source.read_only == Some(true))
}

/// The name of the volume that the claim is bound to, or why the pod cannot have it yet.
fn bound_volume<'a>(pod: &Pod, used: &Used<'_>, claim: Option<&'a PersistentVolumeClaim>) -> Result<&'a str, String> {
    let name = used.name();
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    if used.template.is_some() && !is_owned_by(claim, uid) {
        return Err(not_owned(&pod.namespace().unwrap_or_default(), &pod.name_any(), &name));
    }
    // A claim stays for the pods that have begun, which may have to start containers again.
    if claim.metadata.deletion_timestamp.is_some() && !has_begun(pod) {
        return Err(format!(
            "can't start pod because persistentvolumeclaim {name:?} is being deleted"
        ));
    }
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    // The phase is the last thing that is written of a binding.
    match (phase, volume_name(claim)) {
        (Some("Lost"), _) => Err(format!("persistentvolumeclaim {name:?} is Lost")),
        (phase, Some(volume)) if phase == Some("Bound") || is_fully_bound(claim) => Ok(volume),
        _ => Err(format!("persistentvolumeclaim {name:?} is not bound")),
    }
}

/// What the volume is on this node, or why the pod cannot have it.
fn storage<'a>(
    volume: &'a PersistentVolume,
    claim: Option<&PersistentVolumeClaim>,
    node: Option<&Node>,
) -> Result<Storage<'a>, String> {
    let refused = |why: &str| Err(format!("persistentvolume {:?} {why}", volume.name_any()));
    let Some(spec) = &volume.spec else {
        return refused("has no spec");
    };
    let claimed_by = spec.claim_ref.as_ref().and_then(|claim| claim.uid.as_ref());
    if claimed_by != claim.and_then(|claim| claim.metadata.uid.as_ref()) {
        return refused("is not bound to this claim");
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return refused("is a block device (volumeMode: Block), which is not supported");
    }
    if !is_for_node(spec, node) {
        return refused("is not for this node: no matching NodeSelectorTerms");
    }
    match (&spec.host_path, &spec.local) {
        (Some(host), _) => Ok(Storage::HostPath(host)),
        (None, Some(local)) => Ok(Storage::Local(&local.path)),
        (None, None) => {
            let kind = kind(spec).unwrap_or("unknown");
            refused(&format!(
                "is of kind {kind}, which is not supported: use hostPath or local"
            ))
        }
    }
}

fn is_for_node(spec: &PersistentVolumeSpec, node: Option<&Node>) -> bool {
    let required = spec
        .node_affinity
        .as_ref()
        .and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|selector| {
        node.is_some_and(|node| {
            let mut terms = selector.node_selector_terms.iter();
            terms.any(|term| node_selector::term_matches(term, node.labels(), &node.name_any()))
        })
    })
}

/// What the volume lies on, where that is nothing of this host.
fn kind(spec: &PersistentVolumeSpec) -> Option<&'static str> {
    let kinds = [
        ("awsElasticBlockStore", spec.aws_elastic_block_store.is_some()),
        ("azureDisk", spec.azure_disk.is_some()),
        ("azureFile", spec.azure_file.is_some()),
        ("cephfs", spec.cephfs.is_some()),
        ("cinder", spec.cinder.is_some()),
        ("csi", spec.csi.is_some()),
        ("fc", spec.fc.is_some()),
        ("flexVolume", spec.flex_volume.is_some()),
        ("flocker", spec.flocker.is_some()),
        ("gcePersistentDisk", spec.gce_persistent_disk.is_some()),
        ("glusterfs", spec.glusterfs.is_some()),
        ("iscsi", spec.iscsi.is_some()),
        ("nfs", spec.nfs.is_some()),
        ("photonPersistentDisk", spec.photon_persistent_disk.is_some()),
        ("portworxVolume", spec.portworx_volume.is_some()),
        ("quobyte", spec.quobyte.is_some()),
        ("rbd", spec.rbd.is_some()),
        ("scaleIO", spec.scale_io.is_some()),
        ("storageos", spec.storageos.is_some()),
        ("vsphereVolume", spec.vsphere_volume.is_some()),
    ];
    kinds.iter().find(|(_, is_that)| *is_that).map(|(name, _)| *name)
}

/// Whether a container of the pod was ever made.
fn has_begun(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let init = status
        .into_iter()
        .flat_map(|status| status.init_container_statuses.iter().flatten());
    let all = init.chain(
        status
            .into_iter()
            .flat_map(|status| status.container_statuses.iter().flatten()),
    );
    all.into_iter().any(|container| container.container_id.is_some())
}

/// A local volume is a disk that somebody mounted there: a directory in its place would take what the disk is for.
async fn must_be_there(volume: &str, path: &str) -> Result<(), VolumeError> {
    match fs::metadata(path).await {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(VolumeError::source(
            volume,
            format!("local path {path:?} is no directory"),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(VolumeError::source(
            volume,
            format!("local path {path:?} does not exist on this node"),
        )),
        Err(error) => Err(VolumeError::io(volume, Path::new(path))(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    fn from<T: DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("it is written right")
    }

    fn pod(begun: bool) -> Pod {
        let id = if begun { json!("docker://1") } else { Value::Null };
        let containers =
            json!([{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "containerID": id}]);
        from(json!({"metadata": {"name": "p", "uid": "uid-p"}, "status": {"containerStatuses": containers}}))
    }

    fn claim(phase: &str, volume: &str, going: bool, owner: &str) -> PersistentVolumeClaim {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": owner, "controller": true});
        let going = going.then_some("2026-01-01T00:00:00Z");
        from(json!({
            "metadata": {"name": "c", "uid": "uid-c", "deletionTimestamp": going, "ownerReferences": [owner]},
            "spec": {"volumeName": volume},
            "status": {"phase": phase},
        }))
    }

    #[test]
    fn a_pod_waits_until_its_claim_is_bound() {
        let template = json!({"volumeClaimTemplate": {"spec": {}}});
        let own: Volume = from(json!({"name": "c", "ephemeral": template}));
        let named: Volume = from(json!({"name": "v", "persistentVolumeClaim": {"claimName": "p-c"}}));
        let of = |own_one: bool| of_volume(if own_one { &own } else { &named }, "p").expect("it has a claim");
        let bound = || Some(claim("Bound", "v", false, "uid-p"));
        let mut completed = claim("Pending", "v", false, "");
        completed.metadata.annotations = from(json!({"pv.kubernetes.io/bind-completed": "yes"}));
        for (name, used, claim, begun, said) in [
            ("bound", of(false), bound(), false, Ok("v")),
            ("its own", of(true), bound(), false, Ok("v")),
            ("not there", of(false), None, false, Err("not found")),
            (
                "pending",
                of(false),
                Some(claim("Pending", "", false, "")),
                false,
                Err("is not bound"),
            ),
            (
                "half bound",
                of(false),
                Some(claim("Pending", "v", false, "")),
                false,
                Err("is not bound"),
            ),
            (
                "lost",
                of(false),
                Some(claim("Lost", "v", false, "")),
                false,
                Err("is Lost"),
            ),
            ("all but the phase", of(false), Some(completed), false, Ok("v")),
            (
                "another's",
                of(true),
                Some(claim("Bound", "v", false, "uid-q")),
                false,
                Err("was not created for pod"),
            ),
            (
                "going",
                of(false),
                Some(claim("Bound", "v", true, "")),
                false,
                Err("is being deleted"),
            ),
            (
                "going, in use",
                of(false),
                Some(claim("Bound", "v", true, "")),
                true,
                Ok("v"),
            ),
        ] {
            match (bound_volume(&pod(begun), &used, claim.as_ref()), said) {
                (Ok(volume), Ok(said)) => assert_eq!(volume, said, "{name}"),
                (Err(why), Err(said)) => assert!(why.contains(said), "{name}: {why}"),
                (other, said) => panic!("{name}: {other:?}, not {said:?}"),
            }
        }
    }

    #[test]
    fn only_paths_of_this_node_can_be_mounted() {
        let claim = claim("Bound", "v", false, "");
        let node: Node = from(json!({"metadata": {"name": "n", "labels": {"disk": "ssd"}}}));
        let affinity = |value: &str| {
            let expression = json!({"key": "disk", "operator": "In", "values": [value]});
            json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}})
        };
        let mine = json!({"uid": "uid-c"});
        for (name, spec, said) in [
            (
                "hostPath",
                json!({"claimRef": mine, "hostPath": {"path": "/a"}}),
                Ok("/a"),
            ),
            (
                "local",
                json!({"claimRef": mine, "local": {"path": "/b"}, "nodeAffinity": affinity("ssd")}),
                Ok("/b"),
            ),
            (
                "elsewhere",
                json!({"claimRef": mine, "local": {"path": "/b"}, "nodeAffinity": affinity("hdd")}),
                Err("not for this node: no matching NodeSelectorTerms"),
            ),
            (
                "of nobody",
                json!({"hostPath": {"path": "/a"}}),
                Err("not bound to this claim"),
            ),
            (
                "another's",
                json!({"claimRef": {"uid": "uid-d"}, "hostPath": {"path": "/a"}}),
                Err("not bound to this claim"),
            ),
            (
                "a device",
                json!({"claimRef": mine, "local": {"path": "/b"}, "volumeMode": "Block"}),
                Err("Block"),
            ),
            (
                "a share",
                json!({"claimRef": mine, "nfs": {"server": "s", "path": "/c"}}),
                Err("of kind nfs, which is not supported: use hostPath or local"),
            ),
        ] {
            let volume: PersistentVolume = from(json!({"metadata": {"name": "v"}, "spec": spec}));
            match (storage(&volume, Some(&claim), Some(&node)), said) {
                (Ok(Storage::HostPath(HostPathVolumeSource { path, .. })), Ok(said)) => {
                    assert_eq!(path, said, "{name}")
                }
                (Ok(Storage::Local(path)), Ok(said)) => assert_eq!(path, said, "{name}"),
                (Err(why), Err(said)) => assert!(why.contains(said), "{name}: {why}"),
                (other, said) => panic!("{name}: {other:?}, not {said:?}"),
            }
        }
    }
}
