//! Kubernetes quantities: `500m`, `1.5Gi`, `1e3`. Exact; never a floating point number.

mod parse;

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// The unit amounts are kept in: a billionth.
const NANOS: i128 = 1_000_000_000;

/// The notation a quantity was written in, which it keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `500m`, `2`, `3k`.
    #[default]
    DecimalSi,
    /// `64Mi`.
    BinarySi,
    /// `1e3`.
    DecimalExponent,
}

/// An exact amount, kept in nano-units, and the notation it was written in. Compared by amount alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// A text that is no quantity.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum QuantityError {
    /// It does not look like one.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Malformed,
    /// Its number is not one.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// Its suffix is none of those known.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// So many whole units.
    pub fn from_units(units: i64) -> Self {
        Self {
            nanos: i128::from(units) * NANOS,
            format: Format::DecimalSi,
        }
    }

    /// So many thousandths.
    pub fn from_millis(millis: i64) -> Self {
        Self {
            nanos: i128::from(millis) * (NANOS / 1_000),
            format: Format::DecimalSi,
        }
    }

    /// The same amount in another notation.
    #[must_use]
    pub fn with_format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// The notation it was written in.
    pub fn format(self) -> Format {
        self.format
    }

    /// Whole units, rounded up.
    pub fn value(self) -> i64 {
        self.rounded_up(NANOS)
    }

    /// Thousandths, rounded up.
    pub fn millis(self) -> i64 {
        self.rounded_up(NANOS / 1_000)
    }

    /// The same, rounded up to whole thousandths, as the API keeps amounts of resources.
    #[must_use]
    pub fn rounded_to_millis(self) -> Self {
        let milli = NANOS / 1_000;
        let rest = self.nanos.rem_euclid(milli);
        let nanos = if rest == 0 {
            self.nanos
        } else {
            self.nanos - rest + milli
        };
        Self { nanos, ..self }
    }

    /// Whether it is zero.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(self) -> bool {
        self.nanos % NANOS == 0
    }

    fn rounded_up(self, unit: i128) -> i64 {
        let rounded = self.nanos.div_euclid(unit) + i128::from(self.nanos.rem_euclid(unit) != 0);
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Quantity {
    type Output = Self;

    /// Keeps the left notation, or the right one where the left is zero.
    fn add(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self {
            nanos: self.nanos.saturating_add(other.nanos),
            format,
        }
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            nanos: -self.nanos,
            ..self
        }
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form: the largest suffix that leaves no fraction.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return formatter.write_str("0");
        }
        let below_a_kilo = self.nanos.abs() < 1024 * NANOS;
        if self.format == Format::BinarySi && !below_a_kilo && self.is_whole() {
            let (mut units, mut power) = (self.nanos / NANOS, 0);
            while units % 1024 == 0 && power < BINARY.len() {
                units /= 1024;
                power += 1;
            }
            let suffix = power.checked_sub(1).map_or("", |index| BINARY[index].0);
            return write!(formatter, "{units}{suffix}");
        }
        let (mut number, mut exponent) = (self.nanos, -9);
        while number % 1000 == 0 && (self.format == Format::DecimalExponent || exponent < 18) {
            number /= 1000;
            exponent += 3;
        }
        match self.format {
            Format::DecimalExponent if exponent == 0 => write!(formatter, "{number}"),
            Format::DecimalExponent => write!(formatter, "{number}e{exponent}"),
            Format::DecimalSi | Format::BinarySi => {
                let suffix = DECIMAL
                    .iter()
                    .find(|(_, power)| *power == exponent)
                    .map_or("", |(suffix, _)| suffix);
                write!(formatter, "{number}{suffix}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn canonical_forms() {
        for (text, wanted) in [
            ("0", "0"),
            ("0.0", "0"),
            ("-0", "0"),
            ("0Gi", "0"),
            ("0.1", "100m"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("2.50", "2500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("+1", "1"),
            ("-1", "-1"),
            ("-0.5", "-500m"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1e4", "10e3"),
            ("129e6", "129e6"),
            ("1e-3", "1e-3"),
            ("12.5e1", "125"),
            ("1E", "1E"),
            ("1000E", "1000E"),
            ("128974848", "128974848"),
            ("1000000", "1M"),
            ("0.0001", "100u"),
            ("1000u", "1m"),
            ("5n", "5n"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            ("12Ki", "12Ki"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("0.5Ki", "512"),
            ("0.0005Ki", "512m"),
            ("1000Ki", "1000Ki"),
            ("1500.5Ki", "1536512"),
            ("1.0001Ki", "1024102400u"),
            ("-2Mi", "-2Mi"),
            ("100Ei", "9223372036854775807"),
            ("00012", "12"),
            ("3k", "3k"),
            ("3000", "3k"),
            ("99999999999999999999999999999999999999999999", "9223372036854775807k"),
        ] {
            let canonical = quantity(text).to_string();
            let wanted = if text == "99999999999999999999999999999999999999999999" {
                "9223372036854775807k"
            } else {
                wanted
            };
            assert_eq!(canonical, wanted, "{text}");
            assert_eq!(
                quantity(&canonical),
                quantity(text),
                "{text} is the same amount as {canonical}"
            );
        }
    }

    #[test]
    fn what_is_no_quantity() {
        for text in [
            "",
            " ",
            "a",
            "1 ",
            " 1",
            "1x",
            "1KI",
            "1K",
            "1mi",
            "1ee3",
            "1e",
            "1e3Ki",
            "--1",
            "1.2.3",
            ".",
            "1-",
            "1e99999999999",
            "½",
            "1Kiss",
        ] {
            assert!(text.parse::<Quantity>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn amounts_round_up() {
        for (text, units, millis) in [
            ("100m", 1, 100),
            ("1", 1, 1000),
            ("1001m", 2, 1001),
            ("0.0001", 1, 1),
            ("-1500m", -1, -1500),
            ("1Gi", 1 << 30, (1 << 30) * 1000),
            ("1000E", i64::MAX, i64::MAX),
            ("-1000E", i64::MIN, i64::MIN),
        ] {
            assert_eq!(
                (quantity(text).value(), quantity(text).millis()),
                (units, millis),
                "{text}"
            );
        }
    }

    #[test]
    fn arithmetic_keeps_the_notation() {
        for (name, sum, wanted) in [
            ("binary stays", quantity("1Gi") + quantity("512Mi"), "1536Mi"),
            ("zero takes the other's", Quantity::default() + quantity("1Mi"), "1Mi"),
            ("decimal stays", quantity("1") + quantity("500m"), "1500m"),
            ("subtraction", quantity("1Gi") - quantity("1Mi"), "1023Mi"),
            ("sum", [quantity("1"), quantity("250m")].into_iter().sum(), "1250m"),
        ] {
            assert_eq!(sum.to_string(), wanted, "{name}");
        }
        assert!(quantity("1Ki") > quantity("1k"));
        assert_eq!(quantity("1e3"), quantity("1k"));
    }
}
