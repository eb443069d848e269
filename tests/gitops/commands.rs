//! What people type: the built binary's commands about sources, against a reconciler in a process of its own.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::elsewhere;
use super::harness::{config_map, pod};
use crate::support::eventually;
use crate::support::process::{self, Ended, Process};
use crate::support::tools;

/// How long anything here may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// An API server, a directory that is followed, and what follows it.
struct Running {
    root: tempfile::TempDir,
    // Dropped in this order.
    _reconciler: Process,
    _server: Process,
}

impl Running {
    fn start() -> Running {
        let root = tempfile::tempdir().expect("a directory");
        let data = root.path().join("server");
        let server = elsewhere::serve(&data, None);
        std::fs::create_dir(root.path().join("apps")).expect("made");
        std::fs::write(root.path().join("apps/a.yaml"), config_map("a", "1")).expect("written");
        let mut follow = tools::reconcile();
        follow
            .arg(root.path().join("apps"))
            .arg("--kubeconfig")
            .arg(elsewhere::kubeconfig(&data));
        follow.arg("--data-dir").arg(root.path().join("reconciler"));
        let mut reconciler = Process::start(&mut follow);
        reconciler.line_with("1 created", PATIENCE);
        Running {
            root,
            _reconciler: reconciler,
            _server: server,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tools::reconcile();
        command
            .args(arguments)
            .arg("--kubeconfig")
            .arg(elsewhere::kubeconfig(&self.root.path().join("server")));
        command.arg("--data-dir").arg(self.root.path().join("command"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        process::run(&mut self.command(arguments), PATIENCE)
    }

    /// The same command line for a shell.
    fn line(&self, arguments: &[&str]) -> String {
        let command = self.command(arguments);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words
            .map(|word| format!("'{}'", word.to_str().expect("text")))
            .collect();
        words.join(" ")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.root.path().join("apps").join(name), text).expect("written");
    }
}

#[test]
fn a_watch_of_the_status_adds_a_line_for_each_change() {
    let running = Running::start();
    let mut watch = Process::start(&mut running.command(&["status", "--watch"]));
    watch.line_with("in sync", PATIENCE);
    let mark = watch.line_count();
    assert_eq!(running.run(&["suspend"]).ok(), "suspended   apps\n");
    watch.line_after(mark, "suspended", PATIENCE);
    let mark = watch.line_count();
    assert_eq!(running.run(&["resume"]).ok(), "resumed     apps\n");
    watch.line_after(mark, "in sync", PATIENCE);
    let all = watch.output();
    assert_eq!(all.matches("REVISION").count(), 1, "{all}");
    watch.terminate(PATIENCE);
}

#[test]
fn a_sync_waits_for_health_where_that_is_asked_for() {
    let running = Running::start();
    assert_eq!(running.run(&["sync", "--wait"]).code, Some(0));
    // Nothing runs pods here.
    running.write("web.yaml", &pod("web", "hello"));
    eventually("the pod is applied", PATIENCE, || match running.run(&["sync"]) {
        ended if ended.code == Some(0) && ended.stdout.contains(" 2 ") => Ok(()),
        ended => Err(ended.to_string()),
    });
    let late = running.run(&["sync", "--wait", "--timeout", "2s"]);
    assert_eq!(late.code, Some(1), "{late}");
    assert!(late.stdout.contains("Pod default/web: "), "{late}");
    assert_eq!(late.stderr, "", "nobody watches, and nothing is shown of the wait");
    let data = running.run(&["sync", "-o", "json"]).ok();
    let data: Value = serde_json::from_str(&data).expect("one JSON document");
    assert_eq!(
        (&data["name"], &data["objects"], &data["healthy"]),
        (&"apps".into(), &2.into(), &1.into())
    );
    // What is wrong is wrong with and without.
    running.write("bad.yaml", "\t");
    eventually("what is wrong is told", PATIENCE, || {
        match running.run(&["sync", "--wait"]) {
            ended if ended.code == Some(2) && ended.stdout.contains("bad.yaml:1:1") => Ok(()),
            ended => Err(ended.to_string()),
        }
    });
}

#[test]
fn a_person_at_a_terminal_sees_what_is_waited_for() {
    let running = Running::start();
    running.write("web.yaml", &pod("web", "hello"));
    let line = running.line(&["sync", "--wait", "--timeout", "3s"]);
    let mut terminal = Command::new(tools::installed("script", "bsdutils"));
    terminal.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
    eventually("the wait is shown, and gone at the end", PATIENCE, || {
        let ended = process::run(&mut terminal, PATIENCE);
        let shown = ended.stdout.contains("1 of 2 healthy; Pod default/web: ");
        let last = ended
            .stdout
            .trim_end()
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .to_owned();
        match shown && !last.contains("of 2 healthy") {
            true => Ok(()),
            false => Err(ended.to_string()),
        }
    });
}
