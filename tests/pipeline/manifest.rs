//! Manifests that the pipeline's tests write.

use std::fmt::Write;

use crate::support::images::BUSYBOX;

/// Says its greeting, then runs until it is told to stop, and stops at once then.
pub const RUN: &str = r#"trap 'exit 0' TERM; echo "greeting: $GREETING"; while true; do sleep 3600 & wait $!; done"#;

/// A pod with one container; as YAML by [`Pod::yaml`].
pub struct Pod {
    name: String,
    image: String,
    labels: Vec<(String, String)>,
    greeting: String,
    script: String,
    restart_policy: String,
    extra: String,
}

/// A pod of that name that says hello and runs.
pub fn pod(name: &str) -> Pod {
    Pod {
        name: name.to_owned(),
        image: BUSYBOX.to_owned(),
        labels: Vec::new(),
        greeting: "hello".to_owned(),
        script: RUN.to_owned(),
        restart_policy: "Always".to_owned(),
        extra: String::new(),
    }
}

impl Pod {
    pub fn image(mut self, image: &str) -> Pod {
        self.image = image.to_owned();
        self
    }

    pub fn label(mut self, name: &str, value: &str) -> Pod {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn greeting(mut self, greeting: &str) -> Pod {
        self.greeting = greeting.to_owned();
        self
    }

    pub fn script(mut self, script: &str) -> Pod {
        self.script = script.to_owned();
        self
    }

    pub fn restart_policy(mut self, policy: &str) -> Pod {
        self.restart_policy = policy.to_owned();
        self
    }

    /// Further lines of the pod's spec.
    pub fn spec(mut self, lines: &str) -> Pod {
        self.extra = lines.lines().map(|line| format!("  {line}\n")).collect();
        self
    }

    pub fn yaml(&self) -> String {
        let Self {
            name,
            image,
            labels,
            greeting,
            script,
            restart_policy,
            extra,
        } = self;
        let mut text = format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n");
        if !labels.is_empty() {
            text.push_str("  labels:\n");
        }
        for (name, value) in labels {
            writeln!(text, "    {name}: {value:?}").expect("a string takes it");
        }
        let script = serde_json::Value::from(script.as_str());
        let rest = format!(
            "spec:
  restartPolicy: {restart_policy}
  terminationGracePeriodSeconds: 5
{extra}  containers:
  - name: main
    image: {image}
    command: [sh, -c, {script}]
    env:
    - name: GREETING
      value: {greeting:?}
"
        );
        text + &rest
    }
}

/// A ConfigMap with one value.
pub fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  value: {value:?}\n")
}
