//! Waves: an order within a stage that annotations ask for. A wave begins when what lies before it is healthy.

use serde_json::Value;

/// The annotation with the number of an object's wave; those without it are of wave 0.
pub const WAVE: &str = "reconcile.dev/wave";

/// The wave of an object; or what is wrong with its annotation.
pub fn of(object: &Value) -> Result<i32, String> {
    let text = &object["metadata"]["annotations"][WAVE];
    match text.as_str() {
        Some(text) => text.trim().parse().map_err(|_| {
            format!("the annotation {WAVE} must be a whole number in quotes, such as \"1\"; it is {text:?}")
        }),
        None => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn waves_are_whole_numbers() {
        for (text, wave) in [
            (json!("1"), Some(1)),
            (json!("-5"), Some(-5)),
            (json!(null), Some(0)),
            (json!("one"), None),
            (json!("1.5"), None),
            (json!(""), None),
        ] {
            let object = json!({"metadata": {"annotations": {WAVE: text}}});
            assert_eq!(of(&object).ok(), wave, "{text}");
        }
        assert_eq!(of(&json!({"metadata": {}})), Ok(0));
    }
}
