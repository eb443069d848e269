//! What Docker shows of a pod, in our own words. Plain data.

use std::net::IpAddr;

use jiff::Timestamp;

/// A pod's sandboxes and containers, dead ones included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Newest (highest attempt) first.
    pub sandboxes: Vec<Sandbox>,
    /// Newest (highest attempt) first.
    pub containers: Vec<Container>,
}

/// A container that holds a pod's namespaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Sandbox {
    /// Docker's id.
    pub id: String,
    /// Counts the sandboxes of this pod from 0.
    pub attempt: u32,
    /// Whether its process lives, so that containers may join it.
    pub ready: bool,
    /// Whether it was created and not yet started.
    pub fresh: bool,
    /// Its addresses; none on the host's network.
    pub ips: Vec<IpAddr>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Docker's id.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// The sandbox it joined.
    pub sandbox: String,
    /// How many starts of this container came before.
    pub attempt: u32,
    /// The spec hash it was made from.
    pub hash: String,
    /// Seconds to wait after its end before the next start.
    pub backoff_seconds: u32,
    /// Seconds its graceful stop may take, as its pod said when it was made.
    pub grace_seconds: u32,
    /// The image as the pod named it.
    pub image: String,
    /// The image as the status shows it.
    pub image_id: String,
    /// JSON of its preStop hook, as its pod said when it was made.
    pub pre_stop: Option<String>,
    /// Whether its memory is limited.
    pub memory_limited: bool,
    /// What it does.
    pub state: State,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Created, not started.
    Created,
    /// Its process lives.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// Its process ended, or could not be started.
    Exited(Exit),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Exit {
    /// The exit code, 128 + n for a signal n.
    pub code: i32,
    /// `None` where it never ran.
    pub started_at: Option<Timestamp>,
    /// When it ended, or when its start failed.
    pub finished_at: Timestamp,
    /// Whether the kernel ended it for want of memory.
    pub oom_killed: bool,
    /// What the container left as its termination message, or why Docker could not start it.
    pub message: Option<String>,
}

impl Exit {
    /// The reason that the status shows.
    pub fn reason(&self) -> &'static str {
        match self {
            Self { oom_killed: true, .. } => "OOMKilled",
            Self {
                started_at: None, code, ..
            } if *code != 0 => "ContainerCannotRun",
            Self { code: 0, .. } => "Completed",
            _ => "Error",
        }
    }
}

impl Container {
    /// Whether its process lives.
    pub fn running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// How it ended, if it did.
    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            State::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}

impl Observed {
    /// The newest container of that name.
    pub fn newest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The newest container of that name in that sandbox.
    pub fn newest_in(&self, name: &str, sandbox: &str) -> Option<&Container> {
        self.containers
            .iter()
            .find(|container| container.name == name && container.sandbox == sandbox)
    }

    /// The sandbox that containers may join.
    pub fn ready_sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.iter().find(|sandbox| sandbox.ready)
    }

    /// Whether Docker knows nothing of the pod.
    pub fn is_empty(&self) -> bool {
        self.sandboxes.is_empty() && self.containers.is_empty()
    }
}
