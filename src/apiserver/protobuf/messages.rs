//! Field numbers of the messages that are read, from Kubernetes' published `generated.proto` files. Only data.

/// A field of a message.
pub struct Field {
    /// Its number on the wire.
    pub number: u32,
    /// Its name in JSON.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
}

/// The fields of a message.
pub type Message = &'static [Field];

/// What a field holds.
#[derive(Clone, Copy)]
pub enum Shape {
    /// A number.
    Integer,
    /// A boolean.
    Flag,
    /// A text.
    Text,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A time.
    Time,
    /// A message.
    Message(Message),
    /// A message that means something though nothing is set in it.
    Pointer(Message),
    /// A number or a text.
    IntOrText,
    /// A list of texts.
    Texts,
    /// A list of messages.
    Messages(Message),
    /// A map of texts.
    TextMap,
    /// A map of bytes.
    BytesMap,
}

use Shape::{Bytes, BytesMap, Flag, IntOrText, Integer, Messages, Pointer, Text, TextMap, Texts, Time};

const fn f(number: u32, name: &'static str, shape: Shape) -> Field {
    Field { number, name, shape }
}

const fn m(number: u32, name: &'static str, message: Message) -> Field {
    Field {
        number,
        name,
        shape: Shape::Message(message),
    }
}

/// `apiVersion` and `kind`, in the envelope.
pub const TYPE_META: Message = &[f(1, "apiVersion", Text), f(2, "kind", Text)];
/// An entry of a map of texts.
pub const TEXT_ENTRY: Message = &[f(1, "key", Text), f(2, "value", Text)];
/// An entry of a map of bytes.
pub const BYTES_ENTRY: Message = &[f(1, "key", Text), f(2, "value", Bytes)];
/// A time.
pub const TIME: Message = &[f(1, "seconds", Integer), f(2, "nanos", Integer)];

/// A number or a text: the type is 0 for a number, 1 for a text.
pub const INT_OR_TEXT: Message = &[f(1, "type", Integer), f(2, "number", Integer), f(3, "text", Text)];

const OWNER_REFERENCE: Message = &[
    f(1, "kind", Text),
    f(3, "name", Text),
    f(4, "uid", Text),
    f(5, "apiVersion", Text),
    f(6, "controller", Flag),
    f(7, "blockOwnerDeletion", Flag),
];

const METADATA: Message = &[
    f(1, "name", Text),
    f(2, "generateName", Text),
    f(3, "namespace", Text),
    f(5, "uid", Text),
    f(6, "resourceVersion", Text),
    f(8, "creationTimestamp", Time),
    f(11, "labels", TextMap),
    f(12, "annotations", TextMap),
    f(13, "ownerReferences", Messages(OWNER_REFERENCE)),
    f(14, "finalizers", Texts),
];

const NAMESPACE: Message = &[
    m(1, "metadata", METADATA),
    m(2, "spec", &[f(1, "finalizers", Texts)]),
    m(3, "status", &[f(1, "phase", Text)]),
];

const CONFIG_MAP: Message = &[
    m(1, "metadata", METADATA),
    f(2, "data", TextMap),
    f(3, "binaryData", BytesMap),
    f(4, "immutable", Flag),
];

const SECRET: Message = &[
    m(1, "metadata", METADATA),
    f(2, "data", BytesMap),
    f(3, "type", Text),
    f(4, "stringData", TextMap),
    f(5, "immutable", Flag),
];

const OBJECT_REFERENCE: Message = &[
    f(1, "kind", Text),
    f(2, "namespace", Text),
    f(3, "name", Text),
    f(4, "uid", Text),
    f(5, "apiVersion", Text),
    f(6, "resourceVersion", Text),
    f(7, "fieldPath", Text),
];

const SERVICE_ACCOUNT: Message = &[
    m(1, "metadata", METADATA),
    f(2, "secrets", Messages(OBJECT_REFERENCE)),
    f(3, "imagePullSecrets", Messages(&[f(1, "name", Text)])),
    f(4, "automountServiceAccountToken", Flag),
];

const PRIORITY_CLASS: Message = &[
    m(1, "metadata", METADATA),
    f(2, "value", Integer),
    f(3, "globalDefault", Flag),
    f(4, "description", Text),
    f(5, "preemptionPolicy", Text),
];

const LABEL_SELECTOR: Message = &[
    f(1, "matchLabels", TextMap),
    f(
        2,
        "matchExpressions",
        Messages(&[f(1, "key", Text), f(2, "operator", Text), f(3, "values", Texts)]),
    ),
];

const POD_DISRUPTION_BUDGET: Message = &[
    m(1, "metadata", METADATA),
    m(
        2,
        "spec",
        &[
            f(1, "minAvailable", IntOrText),
            f(2, "selector", Pointer(LABEL_SELECTOR)),
            f(3, "maxUnavailable", IntOrText),
            f(4, "unhealthyPodEvictionPolicy", Text),
        ],
    ),
];

const BOUND_OBJECT: Message = &[
    f(1, "kind", Text),
    f(2, "apiVersion", Text),
    f(3, "name", Text),
    f(4, "uid", Text),
];

const TOKEN_REQUEST: Message = &[
    m(1, "metadata", METADATA),
    m(
        2,
        "spec",
        &[
            f(1, "audiences", Texts),
            m(3, "boundObjectRef", BOUND_OBJECT),
            f(4, "expirationSeconds", Integer),
        ],
    ),
];

const RESOURCE_ATTRIBUTES: Message = &[
    f(1, "namespace", Text),
    f(2, "verb", Text),
    f(3, "group", Text),
    f(4, "version", Text),
    f(5, "resource", Text),
    f(6, "subresource", Text),
    f(7, "name", Text),
];

const ACCESS_REVIEW: Message = &[
    m(1, "metadata", METADATA),
    m(
        2,
        "spec",
        &[
            m(1, "resourceAttributes", RESOURCE_ATTRIBUTES),
            m(2, "nonResourceAttributes", &[f(1, "path", Text), f(2, "verb", Text)]),
        ],
    ),
];

const SUBJECT_REVIEW: Message = &[m(1, "metadata", METADATA)];

const DELETE_OPTIONS: Message = &[
    f(1, "gracePeriodSeconds", Integer),
    m(2, "preconditions", &[f(1, "uid", Text), f(2, "resourceVersion", Text)]),
    f(3, "orphanDependents", Flag),
    f(4, "propagationPolicy", Text),
    f(5, "dryRun", Texts),
];

const EVICTION: Message = &[m(1, "metadata", METADATA), m(2, "deleteOptions", DELETE_OPTIONS)];

/// The message of a type that is read.
pub fn of(api_version: &str, kind: &str) -> Option<Message> {
    Some(match (api_version, kind) {
        ("v1", "Namespace") => NAMESPACE,
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "Secret") => SECRET,
        ("v1", "ServiceAccount") => SERVICE_ACCOUNT,
        ("scheduling.k8s.io/v1", "PriorityClass") => PRIORITY_CLASS,
        ("policy/v1", "PodDisruptionBudget") => POD_DISRUPTION_BUDGET,
        ("authentication.k8s.io/v1", "TokenRequest") => TOKEN_REQUEST,
        ("authentication.k8s.io/v1", "SelfSubjectReview") => SUBJECT_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => ACCESS_REVIEW,
        ("policy/v1" | "policy/v1beta1", "Eviction") => EVICTION,
        (_, "DeleteOptions") => DELETE_OPTIONS,
        _ => return None,
    })
}
