//! What the texts of a spec mean: for the API server, which refuses those that mean nothing, and for the reconciler.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use chrono_tz::Tz;
use cron::Schedule;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use semver::VersionReq;

/// The longest that a window may be open: a schedule whose windows overlap by more is written otherwise.
const MAX_WINDOW: Duration = Duration::from_secs(366 * 24 * 3600);

/// What a condition on versions begins with.
const OPERATORS: [char; 5] = ['<', '>', '=', '~', '^'];

/// Reads a duration of more than nothing, such as `30s`, `5m` or `1h30m`; or says what is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "write a duration as 30s, 5m or 1h30m".to_owned())?;
    let duration = Duration::try_from(parsed).map_err(|_| "must not be negative".to_owned())?;
    match duration.is_zero() {
        true => Err("must be more than zero".to_owned()),
        false => Ok(duration),
    }
}

/// Reads how long a window is open each time, at most a year; or says what is wrong with it.
pub fn window(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        long if long > MAX_WINDOW => Err("must not be more than a year".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads a cron expression of six fields (second, minute, hour, day of month, month, day of week), or seven with a year;
/// or says what is wrong with it.
pub fn schedule(expression: &str) -> Result<Schedule, String> {
    Schedule::from_str(expression).map_err(|error| {
        let fields = expression.split_whitespace().count();
        let hint = match fields {
            5 => format!("; it has five fields and needs the seconds first: \"0 {expression}\""),
            _ => "; it needs six fields: second minute hour day-of-month month day-of-week".to_owned(),
        };
        let reason = error.to_string();
        let reason = reason.lines().next().unwrap_or("not a cron expression");
        format!("{reason}{hint}")
    })
}

/// Finds a time zone by its name, or says that there is none.
pub fn zone(name: &str) -> Result<Tz, String> {
    Tz::from_str(name).map_err(|_| "there is no such zone; write a name such as Europe/Berlin".to_owned())
}

/// Reads a range of versions, with commas or spaces between conditions and `||` between alternatives, of which one must
/// match; or says what is wrong with it.
pub fn versions(text: &str) -> Result<Vec<VersionReq>, String> {
    text.split("||")
        .map(|part| VersionReq::parse(&with_commas(part)))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{error}; write for example 1.x, ~1.4 or \">=1.2 <2\""))
}

/// Puts a comma between conditions that only a space stands between.
fn with_commas(part: &str) -> String {
    let mut text = String::new();
    for word in part.split([' ', ',']).filter(|word| !word.is_empty()) {
        // An operator may stand apart from its version.
        if !text.is_empty() && !text.ends_with(OPERATORS) {
            text.push_str(", ");
        }
        let (operator, version) = word.split_at(word.find(|letter| !OPERATORS.contains(&letter)).unwrap_or(word.len()));
        text.push_str(operator);
        text.push_str(version.strip_prefix('v').unwrap_or(version));
    }
    text
}

/// Reads patterns in the syntax of `.gitignore`, or says which is none.
pub fn patterns<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new("");
    // A bracket that is not closed is a mistake to be told of.
    builder.allow_unclosed_class(false);
    for line in lines {
        builder
            .add_line(None, line)
            .map_err(|error| format!("{line:?} is no pattern: {error}"))?;
    }
    builder.build().map_err(|error| error.to_string())
}

/// The folder that a path names below a source, or what is wrong with it.
pub fn folder(path: &Path) -> Result<PathBuf, String> {
    let mut folder = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => folder.push(part),
            Component::CurDir => {}
            _ => return Err("must lie below the source, without .. and not absolute".to_owned()),
        }
    }
    Ok(folder)
}
