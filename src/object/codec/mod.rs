//! Reads JSON into typed objects as a Kubernetes API server's decoder does, and writes them back as it prints them.
//!
//! Its types distinguish pointers from plain values: a plain empty string, zero, `false`, empty list or map is left
//! out when printed, a pointer to one is kept; a plain struct is printed even when empty. [`shape`] holds that
//! knowledge, so that an object that went through here looks like the real server's answer.

mod decode;
mod encode;
mod shape;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kind::DecodeError;

/// A typed object and the paths of what its type has no field for.
pub(crate) struct Read<T> {
    /// The object.
    pub object: T,
    /// e.g. `spec.containers[0].imge`.
    pub unknown: Vec<String>,
}

/// Reads `value` as a `T`.
///
/// # Errors
/// Where a field has the wrong type, naming its path.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<Read<T>, DecodeError> {
    let tracker = decode::Tracker::default();
    match T::deserialize(decode::Reader::new(value, &tracker)) {
        Ok(object) => Ok(Read {
            object,
            unknown: tracker.into_unknown(),
        }),
        Err(error) => Err(DecodeError(tracker.explain(&error))),
    }
}

/// Writes an object in the API server's form.
///
/// # Errors
/// Where a type refuses to be written, e.g. a time outside of the calendar.
pub(crate) fn write<T: Serialize>(object: &T) -> Result<Value, DecodeError> {
    object
        .serialize(encode::Writer)
        .map_err(|error| DecodeError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Event, Pod};
    use serde_json::json;

    use super::*;

    fn pod(value: Value) -> Result<(Value, Vec<String>), String> {
        let read = read::<Pod>(&value).map_err(|error| error.0)?;
        Ok((write(&read.object).expect("a pod can be written"), read.unknown))
    }

    #[test]
    fn zero_values_are_left_out_and_pointers_kept() {
        let (pod, unknown) = pod(json!({
            "metadata": {"name": "a", "labels": {}, "creationTimestamp": null, "annotations": {"a": ""}},
            "spec": {"hostNetwork": false, "automountServiceAccountToken": false, "nodeName": "", "tolerations": [],
                     "terminationGracePeriodSeconds": 0,
                     "containers": [{"name": "c", "tty": false, "resources": null, "env": [null],
                                     "securityContext": {"privileged": false}}]},
        }))
        .unwrap();
        assert_eq!(
            pod,
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "a", "annotations": {"a": ""}},
                "spec": {"automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                         "containers": [{"name": "c", "resources": {}, "env": [{"name": ""}],
                                         "securityContext": {"privileged": false}}]},
                "status": {},
            })
        );
        assert_eq!(unknown, Vec::<String>::new());
    }

    #[test]
    fn unknown_fields_are_listed_with_their_paths() {
        let (_, unknown) = pod(json!({
            "metadata": {"nmae": "a", "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c"}, {"name": "d", "imge": "x", "env": [{"nam": {"deep": 1}}]}]},
            "extra": [],
        }))
        .unwrap();
        assert_eq!(
            unknown,
            [
                "extra",
                "metadata.nmae",
                "spec.containers[1].env[0].nam",
                "spec.containers[1].imge"
            ]
        );
    }

    #[test]
    fn wrong_types_name_their_field() {
        for (name, body, wanted) in [
            (
                "string for int",
                json!({"spec": {"terminationGracePeriodSeconds": "ten"}}),
                "cannot unmarshal string into field spec.terminationGracePeriodSeconds of type int64",
            ),
            (
                "object for list",
                json!({"spec": {"containers": {"name": "c"}}}),
                "cannot unmarshal object into field spec.containers of type list",
            ),
            (
                "number for string",
                json!({"spec": {"containers": [{"name": "a"}, {"image": 5}]}}),
                "cannot unmarshal number into field spec.containers[1].image of type string",
            ),
            (
                "fraction for int",
                json!({"spec": {"priority": 1.5}}),
                "cannot unmarshal number 1.5 into field spec.priority of type int32",
            ),
            (
                "too large",
                json!({"spec": {"priority": 5_000_000_000_i64}}),
                "cannot unmarshal number 5000000000 into field spec.priority of type int32",
            ),
            (
                "string for bool",
                json!({"spec": {"hostNetwork": "yes"}}),
                "cannot unmarshal string into field spec.hostNetwork of type bool",
            ),
            (
                "number as a label",
                json!({"metadata": {"labels": {"a/b": 1}}}),
                "cannot unmarshal number into field metadata.labels.a/b of type string",
            ),
            (
                "list for struct",
                json!({"spec": []}),
                "cannot unmarshal array into field spec of type PodSpec",
            ),
            (
                "not a time",
                json!({"metadata": {"creationTimestamp": "noon"}}),
                "metadata.creationTimestamp: ",
            ),
            (
                "not a quantity",
                json!({"spec": {"overhead": {"cpu": "x"}}}),
                "spec.overhead.cpu: quantities must match",
            ),
            (
                "neither int nor string",
                json!({"spec": {"containers": [{"livenessProbe": {"tcpSocket": {"port": true}}}]}}),
                "spec.containers[0].livenessProbe.tcpSocket.port: ",
            ),
        ] {
            let error = pod(body).expect_err(name);
            assert!(error.contains(wanted), "{name}: {error}");
        }
    }

    #[test]
    fn quantities_are_canonical_and_may_be_numbers() {
        let (pod, _) =
            pod(json!({"spec": {"overhead": {"a": 1, "b": 0.1, "c": "1.5Gi", "d": null, "e": "0.0001"}}})).unwrap();
        assert_eq!(
            pod["spec"]["overhead"],
            json!({"a": "1", "b": "100m", "c": "1536Mi", "d": "0", "e": "100u"})
        );
    }

    #[test]
    fn plain_structs_and_times_are_always_there() {
        let event = read::<Event>(&json!({})).unwrap().object;
        assert_eq!(
            write(&event).unwrap(),
            json!({"apiVersion": "v1", "kind": "Event", "metadata": {}, "involvedObject": {}, "source": {},
                   "eventTime": null, "firstTimestamp": null, "lastTimestamp": null,
                   "reportingComponent": "", "reportingInstance": ""})
        );
    }
}
