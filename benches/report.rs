//! Rows of the table: what was measured, beside what, and whether a goal is met. Measures nothing.

use std::time::Duration;

/// One line of the table.
pub struct Row {
    pub what: String,
    pub ours: String,
    pub beside: String,
    pub ratio: Option<f64>,
    pub goal: String,
}

impl Row {
    /// A time of ours and the time that a peer or floor took in the same run.
    pub fn times(what: &str, ours: Duration, peer: &str, theirs: Duration, most: Option<f64>) -> Row {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        Row {
            what: what.to_owned(),
            ours: millis(ours),
            beside: format!("{peer}: {}", millis(theirs)),
            ratio: Some(ratio),
            goal: most
                .map(|most| goal(&format!("≤ {most:.1}"), ratio <= most))
                .unwrap_or_default(),
        }
    }

    /// Times of ours and of a floor in the same run, and the most that the middle one may be.
    pub fn latency(what: &str, ours: Vec<Duration>, floor: &str, theirs: &[Duration], most: Duration) -> Row {
        let (middle, theirs) = (median(ours.clone()), median(theirs.to_vec()));
        Row {
            what: what.to_owned(),
            ours: format!("{} (p99 {})", millis(middle), millis(percentile(ours, 99))),
            beside: format!("{floor}: {}", millis(theirs)),
            ratio: Some(middle.as_secs_f64() / theirs.as_secs_f64()),
            goal: goal(&format!("≤ {}", millis(most)), middle <= most),
        }
    }

    /// A rate of ours and that of a floor in the same run; the ratio is how much longer one takes.
    pub fn rates(what: &str, ours: f64, floor: &str, theirs: f64) -> Row {
        Row {
            what: what.to_owned(),
            ours: format!("{ours:.0}/s"),
            beside: format!("{floor}: {theirs:.0}/s"),
            ratio: Some(theirs / ours),
            goal: String::new(),
        }
    }
}

/// The goal, and whether it is met.
pub fn goal(text: &str, met: bool) -> String {
    format!("{text} {}", if met { "met" } else { "MISSED" })
}

/// The middle one.
pub fn median(times: Vec<Duration>) -> Duration {
    percentile(times, 50)
}

/// The one that so many of a hundred do not exceed.
pub fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// The rows as Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from("| what | reconcile | beside it | ratio | goal |\n|---|---|---|---|---|\n");
    for Row {
        what,
        ours,
        beside,
        ratio,
        goal,
    } in rows
    {
        let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        text.push_str(&format!("| {what} | {ours} | {beside} | {ratio} | {goal} |\n"));
    }
    text
}

/// What it was measured on.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let docker = crate::support::docker::docker(&["version", "--format", "{{.Server.Version}}"]);
    format!("{cores} cores, Linux {}, Docker {}\n", kernel.trim(), docker.trim())
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}
