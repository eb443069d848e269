//! Why a pod is on its node, or on none: a few lines that say it all, then a table of the nodes.

use std::collections::BTreeMap;

use super::{COLUMN, Ink, Style, printable, wrap};
use crate::scheduler::explain::{Explanation, NodeExplanation, Outcome, Refused, Score, Standing};

/// How many nodes that fit are shown unless all are asked for.
const FITTING_SHOWN: usize = 10;
/// With more nodes that do not fit, these are put together by their reasons.
const REFUSED_SHOWN: usize = 20;
/// How many such groups are shown, the largest ones.
const GROUPS_SHOWN: usize = 20;
/// The last column is never narrower than this, whatever the terminal.
const NARROWEST: usize = 30;
const GAP: &str = "   ";

/// The whole explanation; with every node of a large cluster where `all` is wanted.
pub fn explanation(explanation: &Explanation, all: bool, style: Style) -> String {
    let mut text = head(explanation, style);
    let (fitting, refused): (Vec<_>, Vec<_>) = explanation.nodes.iter().partition(|node| fits(node).is_some());
    text.push_str(&fitting_table(explanation, &fitting, all, style));
    text.push_str(&refused_table(&refused, all, style));
    if explanation.nodes.iter().any(|node| node.current) {
        text.push_str("\n* the pod is on this node, which is shown as if it were not there yet\n");
    }
    text
}

/// What there is to say of the pod as a whole.
fn head(explanation: &Explanation, style: Style) -> String {
    let Explanation {
        namespace,
        name,
        standing,
        nominated_node,
        summary,
        preemption,
        easiest,
        nodes,
        ..
    } = explanation;
    let mut lines = vec![(Ink::Heading, "pod", format!("{namespace}/{name} {standing}"))];
    if !summary.is_empty() {
        let ink = if easiest.is_some() { Ink::Error } else { Ink::Added };
        lines.push((ink, "decision", summary.clone()));
    }
    match standing {
        // What it was told may be about a cluster that has changed since.
        Standing::Refused { message } if message != summary => lines.push((Ink::Faint, "was told", message.clone())),
        _ => {}
    }
    let nominated = nominated_node.iter();
    lines.extend(nominated.map(|node| (Ink::Changed, "nominated", format!("{node} is being made free for it"))));
    let preemption = preemption.iter();
    lines.extend(preemption.map(|each| (Ink::Changed, "preemption", format!("{}: {each}", each.node))));
    let easiest = easiest
        .as_ref()
        .and_then(|easiest| nodes.iter().find(|node| node.name == *easiest));
    if let Some(NodeExplanation {
        name,
        outcome: Outcome::Refused(refused),
        ..
    }) = easiest
    {
        lines.push((Ink::Added, "easiest", format!("{name}: {}", words(refused).join("; "))));
    }
    let indent = COLUMN + 1;
    let mut text = String::new();
    for (ink, label, line) in lines {
        let label = style.paint(ink, &format!("{label:<COLUMN$}"));
        let wrapped = fold(&line, indent, style).join(&format!("\n{:indent$}", ""));
        text.push_str(&format!("{label} {wrapped}\n"));
    }
    text
}

/// Why the node does not take the pod.
fn reasons(refused: &Refused) -> String {
    let reasons: Vec<String> = refused.reasons.iter().map(ToString::to_string).collect();
    reasons.join(", ")
}

/// What would have to change, thing by thing.
fn words(refused: &Refused) -> Vec<String> {
    refused.changes.iter().map(ToString::to_string).collect()
}

fn fits(node: &NodeExplanation) -> Option<(i64, &[Score])> {
    match &node.outcome {
        Outcome::Fits { total, scores } => Some((*total, scores)),
        Outcome::Refused(_) => None,
    }
}

fn marked(node: &NodeExplanation) -> String {
    match node.current {
        true => format!("{} *", node.name),
        false => node.name.clone(),
    }
}

/// The nodes that fit with their scores: a column a rule where that is not too wide.
fn fitting_table(explanation: &Explanation, fitting: &[&NodeExplanation], all: bool, style: Style) -> String {
    if fitting.is_empty() {
        return String::new();
    }
    let ink = |node: &NodeExplanation| match explanation.chosen.contains(&node.name) {
        true => Ink::Added,
        false => Ink::Plain,
    };
    let (shown, hidden): (Vec<_>, Vec<_>) = fitting
        .iter()
        .enumerate()
        .partition(|(index, node)| all || *index < FITTING_SHOWN || node.current);
    let shown: Vec<&NodeExplanation> = shown.into_iter().map(|(_, node)| *node).collect();
    let mut wide = Table::new(&["NODE", "TOTAL"]);
    let rules = shown[0];
    for score in fits(rules).map_or(&[][..], |(_, scores)| scores) {
        wide.heading(score.plugin);
    }
    let mut narrow = Table::new(&["NODE", "TOTAL", "SCORES"]);
    for node in &shown {
        let (total, scores) = fits(node).unwrap_or_default();
        let begin = vec![(ink(node), marked(node)), (Ink::Plain, total.to_string())];
        let cells = scores.iter().map(|score| (Ink::Plain, product(score)));
        wide.rows.push(begin.iter().cloned().chain(cells).collect());
        let named = scores
            .iter()
            .map(|score| format!("{} {}", score.plugin, product(score)));
        let all = (Ink::Plain, named.collect::<Vec<_>>().join(", "));
        narrow.rows.push(begin.into_iter().chain([all]).collect());
    }
    let is_wide = style.width.is_none_or(|width| wide.width() <= width);
    let table = if is_wide { wide } else { narrow };
    let mut text = format!("\n{}", table.render(style));
    if !hidden.is_empty() {
        text.push_str(&format!("… and {} more that fit; --all shows them\n", hidden.len()));
    }
    text
}

fn product(score: &Score) -> String {
    format!("{}×{}={}", score.score, score.weight, score.product)
}

/// The nodes that do not fit, one by one or, where they are many, by their reasons.
fn refused_table(refused: &[&NodeExplanation], all: bool, style: Style) -> String {
    if refused.is_empty() {
        return String::new();
    }
    let is_grouped = refused.len() > REFUSED_SHOWN && !all;
    let singles = refused.iter().filter(|node| !is_grouped || node.current);
    let mut table = Table::new(&["NODE", "REFUSED BY", "REASON, AND WHAT WOULD HAVE TO CHANGE"]);
    for node in singles {
        if let Outcome::Refused(refused) = &node.outcome {
            table.rows.push(row(marked(node), refused, &words(refused)));
        }
    }
    let mut hidden = 0;
    if is_grouped {
        let mut groups = groups(refused);
        hidden = groups.len().saturating_sub(GROUPS_SHOWN);
        groups.truncate(GROUPS_SHOWN);
        for nodes in groups {
            let [first, ..] = nodes[..] else { continue };
            if let Outcome::Refused(refused) = &first.outcome {
                let easiest = format!("the least on {}: {}", first.name, words(refused).join("; "));
                table
                    .rows
                    .push(row(format!("{} nodes", nodes.len()), refused, &[easiest]));
            }
        }
    }
    let mut text = format!("\n{}", table.render(style));
    if hidden > 0 {
        text.push_str(&format!("… and nodes with {hidden} other reasons\n"));
    }
    if is_grouped {
        text.push_str("--all shows every node\n");
    }
    text
}

/// Reasons and changes one below the other.
fn row(name: String, refused: &Refused, changes: &[String]) -> Row {
    let mut last = vec![reasons(refused)];
    last.extend(changes.iter().map(|change| format!("→ {change}")));
    last.extend(refused.preemption.iter().map(|preemption| format!("→ or {preemption}")));
    vec![
        (Ink::Changed, name),
        (Ink::Plain, refused.filter.to_owned()),
        (Ink::Plain, last.join("\n")),
    ]
}

/// Nodes with the same reasons, the largest group first; in each, those that lack least first.
fn groups<'a>(refused: &[&'a NodeExplanation]) -> Vec<Vec<&'a NodeExplanation>> {
    let mut groups = BTreeMap::<String, Vec<&NodeExplanation>>::new();
    for node in refused {
        if let Outcome::Refused(refused) = &node.outcome {
            groups.entry(reasons(refused)).or_default().push(node);
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|nodes| std::cmp::Reverse(nodes.len()));
    groups
}

type Row = Vec<(Ink, String)>;

/// Columns as wide as their widest cell; the last one is broken into lines where the terminal ends.
struct Table {
    headings: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    fn new(headings: &[&str]) -> Self {
        Self {
            headings: headings.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    fn heading(&mut self, heading: &str) {
        self.headings.push(heading.to_owned());
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(column, heading): (usize, &String)| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let cells = cells.map(|(_, cell)| printable(cell).chars().count());
            cells.chain([heading.chars().count()]).max().unwrap_or_default()
        };
        self.headings.iter().enumerate().map(width).collect()
    }

    /// With nothing broken.
    fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1)
    }

    fn render(&self, style: Style) -> String {
        let widths = self.widths();
        let last = widths.len() - 1;
        let indent: usize = widths[..last].iter().map(|width| width + GAP.len()).sum();
        let headings = self.headings.iter().map(|heading| (Ink::Heading, heading.clone()));
        let mut text = String::new();
        for row in [headings.collect()].iter().chain(&self.rows) {
            for (column, (ink, cell)) in row.iter().enumerate() {
                if column < last {
                    let padded = format!("{:<width$}{GAP}", printable(cell), width = widths[column]);
                    text.push_str(&style.paint(*ink, &padded));
                    continue;
                }
                let lines = cell.split('\n').flat_map(|line| fold(line, indent, style));
                let lines: Vec<String> = lines.map(|line| style.paint(*ink, &line)).collect();
                text.push_str(&lines.join(&format!("\n{:indent$}", "")));
            }
            text.push('\n');
        }
        text
    }
}

/// Broken into lines for what the terminal has beside so many columns.
fn fold(text: &str, indent: usize, style: Style) -> Vec<String> {
    let text = printable(text);
    match style.width {
        Some(width) => wrap(&text, width.saturating_sub(indent).max(NARROWEST)),
        None => vec![text],
    }
}

#[cfg(test)]
mod tests;
