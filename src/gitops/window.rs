//! Sync windows: when syncs are allowed or denied, by cron expression, duration and time zone. Pure: the time comes in
//! as an argument.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use cron::Schedule;
use jiff::Timestamp;

use super::record::Closed;
use crate::object::source::{WindowSpec, terms};

/// How many openings and closings are looked at for the next moment at which syncs are allowed.
const MAX_STEPS: usize = 1000;

/// A time that comes again and again, in which syncs are allowed or denied.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    allows: bool,
    schedule: Schedule,
    duration: TimeDelta,
    zone: Tz,
    text: String,
}

impl Window {
    /// A window as a Source has it.
    ///
    /// # Errors
    /// What is wrong with it, and in which field.
    pub fn of(spec: &WindowSpec) -> Result<Self, String> {
        let allows = match spec.kind.as_str() {
            "allow" => true,
            "deny" => false,
            other => return Err(format!("kind: {other:?} is none; write allow or deny")),
        };
        let expression = spec.schedule.trim();
        let parsed = terms::schedule(expression).map_err(|error| format!("schedule: {expression:?}: {error}"))?;
        let duration =
            terms::window(&spec.duration).map_err(|error| format!("duration: {:?}: {error}", spec.duration))?;
        let name = spec.time_zone.as_deref().unwrap_or("UTC");
        let zone = terms::zone(name).map_err(|error| format!("timeZone: {name:?}: {error}"))?;
        Ok(Self {
            allows,
            schedule: parsed,
            duration: TimeDelta::from_std(duration).map_err(|error| format!("duration: {error}"))?,
            zone,
            text: format!("{} {expression} for {} in {zone}", spec.kind, spec.duration),
        })
    }

    /// Whether it is open at that time.
    fn is_open(&self, at: DateTime<Utc>) -> bool {
        // An opening at that very moment counts, and a closing does too.
        let since = (at - self.duration).with_timezone(&self.zone);
        self.schedule.after(&since).next().is_some_and(|opening| opening <= at)
    }

    /// When it opens or closes next.
    fn turns(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = |since: DateTime<Utc>| {
            let opening = self.schedule.after(&since.with_timezone(&self.zone)).next()?;
            Some(opening.with_timezone(&Utc))
        };
        let closing = next(after - self.duration).map(|opening| opening + self.duration);
        next(after).into_iter().chain(closing).min()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for Window {
    type Err = String;

    /// `allow 0 0 22 * * * for 8h in Europe/Berlin`; UTC where no zone is given.
    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write it as: allow 0 0 22 * * * for 8h in Europe/Berlin";
        let (kind, rest) = text.trim().split_once(' ').ok_or(FORM)?;
        let (schedule, rest) = rest.split_once(" for ").ok_or(FORM)?;
        let (duration, zone) = match rest.split_once(" in ") {
            Some((duration, zone)) => (duration, Some(zone.trim().to_owned())),
            None => (rest, None),
        };
        Self::of(&WindowSpec {
            kind: kind.to_owned(),
            schedule: schedule.to_owned(),
            duration: duration.trim().to_owned(),
            time_zone: zone,
        })
    }
}

/// Why syncs are not allowed now and until when, if they are not.
pub(super) fn closed(windows: &[Window], now: Timestamp) -> Option<Closed> {
    let now = DateTime::from_timestamp(now.as_second(), 0)?;
    let reason = reason(windows, now)?;
    let until = turn(windows, now, |reason| reason.is_none());
    Some(Closed { until, reason })
}

/// When syncs are not allowed any more that are now.
pub(super) fn closes(windows: &[Window], now: Timestamp) -> Option<Timestamp> {
    let now = DateTime::from_timestamp(now.as_second(), 0)?;
    let is_open = reason(windows, now).is_none();
    is_open.then(|| turn(windows, now, |reason| reason.is_some()))?
}

/// The first time after that at which a window opens or closes and it comes to this.
fn turn(windows: &[Window], after: DateTime<Utc>, is_wanted: impl Fn(Option<String>) -> bool) -> Option<Timestamp> {
    let next = |at: &DateTime<Utc>| windows.iter().filter_map(|window| window.turns(*at)).min();
    let turns = std::iter::successors(next(&after), next).take(MAX_STEPS);
    let found = turns.into_iter().find(|at| is_wanted(reason(windows, *at)));
    found.and_then(|at| Timestamp::from_second(at.timestamp()).ok())
}

/// Why syncs are not allowed at that time, if they are not: a window that denies wins, and where any allows, one must.
fn reason(windows: &[Window], at: DateTime<Utc>) -> Option<String> {
    if let Some(denies) = windows.iter().find(|window| !window.allows && window.is_open(at)) {
        return Some(format!("the window \"{denies}\" is open"));
    }
    let mut allowing = windows.iter().filter(|window| window.allows).peekable();
    allowing.peek()?;
    let names: Vec<String> = allowing.clone().map(|window| format!("\"{window}\"")).collect();
    let any = allowing.any(|window| window.is_open(at));
    (!any).then(|| match names.as_slice() {
        [one] => format!("the window {one} is not open"),
        several => format!("none of the windows {} is open", several.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(texts: &[&str]) -> Vec<Window> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn windows_open_and_close() {
        const NIGHT: &str = "allow 0 0 22 * * * for 8h in Europe/Berlin";
        const FRIDAY: &str = "deny 0 0 12 * * FRI for 60h";
        for (texts, now, until) in [
            (&[][..], "2024-01-10T12:00:00Z", None),
            // Winter: Berlin is an hour ahead.
            (&[NIGHT], "2024-01-10T20:59:59Z", Some("2024-01-10T21:00:00Z")),
            (&[NIGHT], "2024-01-10T21:00:00Z", None),
            (&[NIGHT], "2024-01-11T04:59:59Z", None),
            (&[NIGHT], "2024-01-11T05:00:00Z", Some("2024-01-11T21:00:00Z")),
            // Summer: two.
            (&[NIGHT], "2024-07-10T20:00:00Z", None),
            // The night in which clocks go forward has its eight hours too.
            (&[NIGHT], "2024-03-31T04:59:59Z", None),
            (&[NIGHT], "2024-03-31T05:00:00Z", Some("2024-03-31T20:00:00Z")),
            (&[FRIDAY], "2024-01-12T11:59:59Z", None),
            (&[FRIDAY], "2024-01-12T12:00:00Z", Some("2024-01-15T00:00:00Z")),
            // What denies wins; the first allowed moment after it lies within a night.
            (&[NIGHT, FRIDAY], "2024-01-12T22:00:00Z", Some("2024-01-15T00:00:00Z")),
            (&[NIGHT, FRIDAY], "2024-01-12T03:00:00Z", None),
        ] {
            let found = closed(&windows(texts), at(now)).map(|closed| closed.until.expect("it opens again"));
            assert_eq!(found, until.map(at), "{texts:?} at {now}");
        }
    }

    #[test]
    fn what_is_open_closes() {
        const NIGHT: &str = "allow 0 0 22 * * * for 8h";
        const LATE: &str = "deny 0 0 23 * * * for 1h";
        for (texts, now, then) in [
            (&[][..], "2024-01-10T12:00:00Z", None),
            (&[NIGHT], "2024-01-10T12:00:00Z", None),
            (&[NIGHT], "2024-01-10T22:00:00Z", Some("2024-01-11T06:00:00Z")),
            (&[NIGHT, LATE], "2024-01-10T22:30:00Z", Some("2024-01-10T23:00:00Z")),
            (&[LATE], "2024-01-11T00:00:00Z", Some("2024-01-11T23:00:00Z")),
        ] {
            assert_eq!(closes(&windows(texts), at(now)), then.map(at), "{texts:?} at {now}");
        }
    }

    #[test]
    fn what_never_opens_says_so() {
        let never = windows(&["deny * * * * * * for 1h"]);
        let never = closed(&never, at("2024-01-10T12:00:00Z")).expect("closed");
        assert_eq!(
            never.to_string(),
            "the window \"deny * * * * * * for 1h in UTC\" is open; no later time allows syncs"
        );
        let over = windows(&["allow 0 0 0 1 1 * 2020 for 1h"]);
        let over = closed(&over, at("2024-01-10T12:00:00Z")).expect("closed");
        assert!(over.until.is_none() && over.reason.contains("is not open"), "{over}");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("allow", "write it as"),
            ("allow 0 0 22 * * *", "write it as"),
            ("permit 0 0 22 * * * for 8h", "write allow or deny"),
            ("allow 0 22 * * * for 8h", "needs the seconds first"),
            ("allow 0 0 22 * * * for ever", "duration"),
            ("allow 0 0 22 * * * for 0s", "more than zero"),
            ("allow 0 0 22 * * * for 9000h", "more than a year"),
            (
                "allow 0 0 22 * * * for 8h in Middle/Earth",
                "\"Middle/Earth\": there is no such zone",
            ),
        ] {
            let error = text.parse::<Window>().expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
