//! The labels of series, each with all the values that it can have.

use std::hash::Hash;

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};

use crate::gitops::report::Action;

/// The source alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Of {
    source: String,
}

impl Of {
    pub fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
        }
    }
}

/// The source and one more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct With<L> {
    source: String,
    label: L,
}

impl<L> With<L> {
    pub fn new(source: &str, label: L) -> Self {
        let source = source.to_owned();
        Self { source, label }
    }
}

impl<L: Each> EncodeLabelSet for With<L> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        ("source", self.source.as_str()).encode(encoder.encode_label())?;
        (L::NAME, self.label.text()).encode(encoder.encode_label())
    }
}

/// A label that has few values.
pub trait Each: Copy + std::fmt::Debug + Eq + Hash + Send + Sync + 'static {
    /// What it is called.
    const NAME: &'static str;
    /// All its values.
    const ALL: &'static [Self];
    /// How a value is written.
    fn text(self) -> &'static str;
}

/// An enumeration of a label's values, each with its text.
macro_rules! each {
    ($(#[$doc:meta])* $kind:ident, $name:literal, $($value:ident = $text:literal),+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind {
            $($value),+
        }

        impl Each for $kind {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn text(self) -> &'static str {
                match self {
                    $(Self::$value => $text),+
                }
            }
        }
    };
}

each!(
    /// How a sync ended.
    Synced, "result", Success = "success", Problems = "problems", Failure = "failure"
);
each!(
    /// How a fetch ended.
    Fetched, "result", Success = "success", Failure = "failure"
);
each!(
    /// What was done with an object.
    ActionLabel, "action", Create = "create", Update = "update", Replace = "replace", Delete = "delete"
);
each!(
    /// How a webhook was answered.
    Webhook, "outcome",
    Accepted = "accepted", Ignored = "ignored", Unauthorized = "unauthorized", Repeated = "repeated", Refused = "refused"
);
each!(
    /// What became of a message to others.
    Outcome, "outcome", Delivered = "delivered", Failed = "failed", Dropped = "dropped"
);

impl ActionLabel {
    /// None for what writes nothing.
    pub fn of(action: Action) -> Option<Self> {
        match action {
            Action::Create => Some(Self::Create),
            Action::Update => Some(Self::Update),
            Action::Replace => Some(Self::Replace),
            Action::Delete => Some(Self::Delete),
            Action::Keep | Action::Blocked | Action::Drifted | Action::Unchanged => None,
        }
    }
}

impl Webhook {
    pub fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::ACCEPTED => Self::Accepted,
            StatusCode::OK => Self::Ignored,
            StatusCode::UNAUTHORIZED => Self::Unauthorized,
            StatusCode::CONFLICT => Self::Repeated,
            _ => Self::Refused,
        }
    }
}
