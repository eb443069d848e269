//! How long ago something was, as short as kubectl says it.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The time from an RFC 3339 text until now; `<unknown>` where there is none.
pub(super) fn age(since: Option<&str>, now: Timestamp) -> String {
    match since.and_then(|since| since.parse::<Timestamp>().ok()) {
        Some(since) => duration(now.as_second() - since.as_second()),
        None => "<unknown>".to_owned(),
    }
}

/// Two units where they are close to each other, else one. Clocks may differ by a second.
fn duration(seconds: i64) -> String {
    let two = |unit: i64, name: &str, next: i64, next_name: &str| match (seconds % unit) / next {
        0 => format!("{}{name}", seconds / unit),
        rest => format!("{}{name}{rest}{next_name}", seconds / unit),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two(MINUTE, "m", 1, "s"),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two(HOUR, "h", MINUTE, "m"),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two(DAY, "d", HOUR, "h"),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(YEAR, "y", DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, wanted) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (3 * HOUR - 1, "179m"),
            (3 * HOUR, "3h"),
            (3 * HOUR + 61, "3h1m"),
            (8 * HOUR, "8h"),
            (2 * DAY, "2d"),
            (2 * DAY + HOUR, "2d1h"),
            (9 * DAY, "9d"),
            (2 * YEAR, "2y"),
            (2 * YEAR + DAY, "2y1d"),
            (9 * YEAR, "9y"),
        ] {
            assert_eq!(duration(seconds), wanted, "{seconds}");
        }
        let now = "2020-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(age(Some("2020-01-01T00:00:00Z"), now), "60s");
        assert_eq!(age(Some("2020-01-01T00:00:00.000000Z"), now), "60s");
        assert_eq!(age(None, now), "<unknown>");
    }
}
