//! Cron expressions: when to sync next. Pure: the time comes in as an argument.

use std::time::Duration;

use chrono::{DateTime, TimeZone};
use cron::Schedule;

use super::error::Error;
use crate::object::source::terms;

/// By how much an interval grows at most: enough that many sources do not ask a remote at one moment.
const MAX_JITTER: f64 = 0.1;

/// An interval with a share (0 to 1) of the jitter added to it.
pub(super) fn jittered(interval: Duration, share: f64) -> Duration {
    let extra = interval.as_secs_f64() * MAX_JITTER * share.clamp(0.0, 1.0);
    interval.saturating_add(Duration::try_from_secs_f64(extra).unwrap_or_default())
}

/// Several cron expressions; whichever comes first counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Schedules(Vec<Schedule>);

impl Schedules {
    /// Reads expressions, or says what is wrong with one.
    pub fn parse(expressions: &[String]) -> Result<Self, Error> {
        expressions
            .iter()
            .map(|expression| {
                let wrong = |reason| Error::Config(format!("--schedule {expression:?}: {reason}"));
                terms::schedule(expression).map_err(wrong)
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How long from `now` until the next time of any; None where none will ever come.
    pub fn next<Z: TimeZone>(&self, now: &DateTime<Z>) -> Option<Duration> {
        self.0
            .iter()
            .filter_map(|schedule| schedule.after(now).next())
            .filter_map(|next| next.signed_duration_since(now.clone()).to_std().ok())
            .min()
    }

    /// Whether a time of any lies after `since` and not after `now`.
    pub fn is_due<Z: TimeZone>(&self, since: &DateTime<Z>, now: &DateTime<Z>) -> bool {
        self.0
            .iter()
            .any(|schedule| schedule.after(since).next().is_some_and(|next| next <= *now))
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    #[test]
    fn jitter_adds_a_tenth_at_most() {
        for (seconds, share, expected) in [(100, 0.0, 100), (100, 0.5, 105), (100, 1.0, 110), (100, 7.0, 110)] {
            let jittered = jittered(Duration::from_secs(seconds), share);
            assert_eq!(jittered, Duration::from_secs(expected), "{seconds} s, {share}");
        }
        assert_eq!(jittered(Duration::MAX, 1.0), Duration::MAX);
    }

    #[test]
    fn the_earliest_comes_next() {
        let schedules = Schedules::parse(&["0 */5 * * * *".to_owned(), "30 2 * * * *".to_owned()]).expect("valid");
        for (now, seconds) in [("10:00:00", 150), ("10:02:30", 150), ("10:05:00", 300), ("10:59:59", 1)] {
            let now: DateTime<Utc> = format!("2024-03-01T{now}Z").parse().expect("a time");
            assert_eq!(schedules.next(&now), Some(Duration::from_secs(seconds)), "{now}");
        }
    }

    #[test]
    fn what_lies_between_two_looks_is_due_once() {
        let schedules = Schedules::parse(&["0 * * * * *".to_owned()]).expect("valid");
        let time = |text: &str| -> DateTime<Utc> { format!("2024-03-01T{text}Z").parse().expect("a time") };
        for (since, now, due) in [
            ("10:00:00", "10:00:59", false),
            ("10:00:59", "10:01:00", true),
            ("10:01:00", "10:01:01", false),
            ("10:00:30", "12:00:00", true),
            ("12:00:00", "10:00:00", false),
        ] {
            assert_eq!(schedules.is_due(&time(since), &time(now)), due, "{since} to {now}");
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (expression, part) in [
            ("*/5 * * * *", "needs the seconds first"),
            ("hello", "six fields"),
            ("99 * * * * *", "99"),
        ] {
            let error = Schedules::parse(&[expression.to_owned()])
                .expect_err(expression)
                .to_string();
            assert!(error.contains(part) && error.contains(expression), "{error}");
        }
        assert!(Schedules::parse(&[]).expect("none").is_empty());
    }

    #[test]
    fn a_year_that_is_over_never_comes() {
        let schedules = Schedules::parse(&["0 0 0 1 1 * 2001".to_owned()]).expect("valid");
        assert_eq!(schedules.next(&Utc::now()), None);
    }
}
