//! How much one sync may delete before a person has to agree.

use std::fmt;
use std::str::FromStr;

/// A source with no more objects than this may be emptied: half of a few is soon reached.
const FEW: usize = 5;

/// How many of its objects a source may lose in one sync without approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// As many as it likes.
    Unlimited,
    /// So many.
    Count(usize),
    /// So many of a hundred, where it has more than five.
    Percent(usize),
}

impl Default for Budget {
    fn default() -> Self {
        Self::Percent(50)
    }
}

impl Budget {
    /// Whether deleting so many of the owned objects needs approval.
    pub fn is_exceeded(self, deletes: usize, owned: usize) -> bool {
        match self {
            Self::Unlimited => false,
            Self::Count(most) => deletes > most,
            Self::Percent(most) => owned > FEW && deletes * 100 > owned * most,
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write 50%, a number of objects, or none".to_owned();
        if text == "none" {
            return Ok(Self::Unlimited);
        }
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => formatter.write_str("none"),
            Self::Count(most) => write!(formatter, "{most}"),
            Self::Percent(most) => write!(formatter, "{most}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets() {
        for (text, deletes, owned, exceeded) in [
            ("50%", 3, 6, false),
            ("50%", 4, 6, true),
            ("50%", 5, 5, false),
            ("50%", 6, 6, true),
            ("0%", 1, 6, true),
            ("100%", 6, 6, false),
            ("2", 2, 2, false),
            ("2", 3, 100, true),
            ("0", 1, 1, true),
            ("none", 100, 100, false),
        ] {
            let budget: Budget = text.parse().expect(text);
            assert_eq!(budget.is_exceeded(deletes, owned), exceeded, "{text} {deletes}/{owned}");
            assert_eq!(budget.to_string(), text);
        }
        for text in ["", "-1", "101%", "half", "5 %"] {
            assert!(text.parse::<Budget>().is_err(), "{text:?}");
        }
    }
}
