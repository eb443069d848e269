//! Which taints a pod tolerates. Pure: no I/O, no clock.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// The key of the taint on a node that is not ready, or has not yet said so.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Keeps new pods away.
pub const NO_SCHEDULE: &str = "NoSchedule";
/// Keeps new pods away where there is a choice.
pub const PREFER_NO_SCHEDULE: &str = "PreferNoSchedule";
/// Keeps new pods away and drives running ones out.
pub const NO_EXECUTE: &str = "NoExecute";

/// The first of these tolerations that tolerates the taint.
pub fn tolerating<'a>(tolerations: &'a [Toleration], taint: &Taint) -> Option<&'a Toleration> {
    tolerations.iter().find(|toleration| tolerates(toleration, taint))
}

/// The first taint that keeps a pod with these tolerations away for certain.
pub fn untolerated<'a>(taints: &'a [Taint], tolerations: &[Toleration]) -> Option<&'a Taint> {
    taints.iter().find(|taint| {
        matches!(taint.effect.as_str(), NO_SCHEDULE | NO_EXECUTE) && tolerating(tolerations, taint).is_none()
    })
}

/// Whether this toleration tolerates this taint: an empty effect or key stands for any, `Lt` and `Gt`
/// compare whole numbers (the taint's value to the toleration's).
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    let wanted = toleration.value.as_deref().unwrap_or_default();
    let value = taint.value.as_deref().unwrap_or_default();
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => wanted == value,
        "Exists" => true,
        "Lt" => compare(value, wanted).is_some_and(|(value, wanted)| value < wanted),
        "Gt" => compare(value, wanted).is_some_and(|(value, wanted)| value > wanted),
        _ => false,
    }
}

fn compare(value: &str, wanted: &str) -> Option<(i64, i64)> {
    Some((value.parse().ok()?, wanted.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Toleration {
            key: some(key),
            operator: some(operator),
            value: some(value),
            effect: some(effect),
            ..Toleration::default()
        }
    }

    #[test]
    fn tolerations_match_as_kubernetes_matches_them() {
        let taint = Taint {
            key: "level".into(),
            value: Some("5".into()),
            effect: NO_SCHEDULE.into(),
            time_added: None,
        };
        for (name, key, operator, value, effect, wanted) in [
            ("equal by default", "level", "", "5", "", true),
            ("another value", "level", "Equal", "6", "", false),
            ("another key", "tier", "Exists", "", "", false),
            ("exists ignores the value", "level", "Exists", "9", "", true),
            ("everything", "", "Exists", "", "", true),
            ("the same effect", "level", "Exists", "", NO_SCHEDULE, true),
            ("another effect", "level", "Exists", "", NO_EXECUTE, false),
            ("less", "level", "Lt", "6", "", true),
            ("not less", "level", "Lt", "5", "", false),
            ("greater", "level", "Gt", "4", "", true),
            ("not greater", "level", "Gt", "5", "", false),
            ("no number", "level", "Gt", "four", "", false),
            ("an unknown operator", "level", "Like", "5", "", false),
        ] {
            assert_eq!(
                tolerates(&toleration(key, operator, value, effect), &taint),
                wanted,
                "{name}"
            );
        }
    }
}
