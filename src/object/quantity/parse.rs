//! Reads a quantity's text. Exact up to the cap; a number of any length is read without computing with all of it.

use super::{BINARY, DECIMAL, Format, NANOS, Quantity, QuantityError};

/// The most units an amount may be; larger ones are capped here (a thousand times Kubernetes' own cap of 2^63-1).
const MAX_UNITS: i128 = 9_223_372_036_854_775_807_000;

/// Digits beyond this many cannot change a capped amount; a longer text is not computed with.
const MAX_DIGITS: usize = 38;

/// What a suffix multiplies by.
enum Scale {
    Ten(i32),
    Two(u32),
}

fn suffix(text: &str) -> Result<(Scale, Format), QuantityError> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == text) {
        return Ok((Scale::Ten(*power), Format::DecimalSi));
    }
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == text) {
        return Ok((Scale::Two(*power), Format::BinarySi));
    }
    let exponent = text.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let power = exponent.parse::<i32>().map_err(|_| QuantityError::Suffix)?;
    Ok((Scale::Ten(power), Format::DecimalExponent))
}

/// `digits × 10^power`, away from zero where it does not come out even, capped.
fn scale_ten(digits: i128, power: i32) -> i128 {
    let cap = MAX_UNITS * NANOS;
    if digits == 0 {
        return 0;
    }
    match u32::try_from(power) {
        Ok(power) => 10_i128
            .checked_pow(power)
            .and_then(|factor| digits.checked_mul(factor))
            .unwrap_or(cap)
            .min(cap),
        Err(_) => match 10_i128.checked_pow(power.unsigned_abs()) {
            Some(divisor) => divide_up(digits, divisor).min(cap),
            None => 1,
        },
    }
}

/// Of two positive numbers.
fn divide_up(amount: i128, divisor: i128) -> i128 {
    amount / divisor + i128::from(amount % divisor != 0)
}

impl std::str::FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, unit) = rest.split_at(end);
        if number.is_empty() || !unit.chars().all(|c| c.is_ascii_digit() || "eEinumkKMGTP+-".contains(c)) {
            return Err(QuantityError::Malformed);
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(QuantityError::Number);
        }
        let (scale, format) = suffix(unit)?;
        let nanos = amount(whole, fraction, &scale);
        let format = if format == Format::BinarySi && nanos < NANOS {
            Format::DecimalSi
        } else {
            format
        };
        Ok(Self {
            nanos: if negative { -nanos } else { nanos },
            format,
        })
    }
}

/// The positive number `whole.fraction` at that scale, in nanos.
fn amount(whole: &str, fraction: &str, scale: &Scale) -> i128 {
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let cap = MAX_UNITS * NANOS;
    // Digits behind the last that counts only tell that there is a rest, which rounds up.
    let kept = fraction.len().min(MAX_DIGITS.saturating_sub(whole.len()));
    let Ok(digits) = format!("0{whole}{}", &fraction[..kept]).parse::<i128>() else {
        return cap;
    };
    let digits = if kept < fraction.len() {
        digits.saturating_add(1)
    } else {
        digits
    };
    let places = i32::try_from(kept).expect("at most MAX_DIGITS");
    match scale {
        Scale::Ten(power) => scale_ten(digits, power.saturating_sub(places).saturating_add(9)),
        Scale::Two(power) => {
            let binary_cap = i128::from(i64::MAX) * NANOS;
            match digits.checked_mul(1_i128 << power) {
                Some(product) => scale_ten(product, 9 - places).min(binary_cap),
                None => binary_cap,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Every text is refused or read, and its canonical form is the same amount and its own canonical form.
        #[test]
        fn canonical_forms_are_stable(text in "[+-]?[0-9.]{0,24}([eE][+-]?[0-9]{1,4}|[numkMGTPE]|[KMGTPE]i|[a-z])?") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                let canonical = quantity.to_string();
                let again: Quantity = canonical.parse().expect("a canonical form is a quantity");
                prop_assert_eq!(quantity, again, "{} is {}", text, &canonical);
                prop_assert_eq!(again.to_string(), canonical);
            }
        }
    }
}
