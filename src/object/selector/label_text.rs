//! The text form of label selectors: a lexer and a parser. Checks form only; `label` checks keys and values.

use super::SelectorError;
use super::label::{Operator, Requirement};

/// Reads comma-separated requirements.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    Parser {
        tokens: tokens(text),
        next: 0,
    }
    .requirements()
}

/// A word or one of `( ) , ! = == != < >`.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '=' | '!' if rest[1..].starts_with('=') => 2,
            '(' | ')' | ',' | '!' | '=' | '<' | '>' => 1,
            _ => rest
                .find(|c: char| c.is_whitespace() || "(),!=<>".contains(c))
                .unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(token);
        rest = behind.trim_start();
    }
    tokens
}

/// Whether it is a key or a value, not one of the signs.
fn is_word(token: &str) -> bool {
    !token.is_empty() && !token.starts_with(|c| "(),!=<>".contains(c))
}

struct Parser<'t> {
    tokens: Vec<&'t str>,
    next: usize,
}

impl<'t> Parser<'t> {
    /// The next token, empty at the end.
    fn peek(&self) -> &'t str {
        self.tokens.get(self.next).copied().unwrap_or("")
    }

    fn take(&mut self) -> &'t str {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn expected<T>(found: &str, expected: &str) -> Result<T, SelectorError> {
        Err(SelectorError(format!(
            "unable to parse requirement: found '{found}', expected: {expected}"
        )))
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        while !self.peek().is_empty() {
            requirements.push(self.requirement()?);
            match self.take() {
                "" => break,
                "," if is_word(self.peek()) || self.peek() == "!" => {}
                "," => {
                    let found = self.peek();
                    return Err(SelectorError(format!(
                        "found '{found}', expected: identifier after ','"
                    )));
                }
                found => {
                    return Err(SelectorError(format!(
                        "found '{found}', expected: ',' or 'end of string'"
                    )));
                }
            }
        }
        Ok(requirements)
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let absent = self.peek() == "!";
        if absent {
            self.take();
        }
        let key = self.take();
        if !is_word(key) {
            return Self::expected(key, "identifier");
        }
        if absent {
            return wrap(Requirement::new(key, Operator::DoesNotExist, []));
        }
        if matches!(self.peek(), "" | ",") {
            return wrap(Requirement::new(key, Operator::Exists, []));
        }
        let operator = self.take();
        let (operator, values) = match operator {
            "=" | "==" => (Operator::In, self.value()),
            "!=" => (Operator::NotIn, self.value()),
            ">" => (Operator::GreaterThan, self.value()),
            "<" => (Operator::LessThan, self.value()),
            "in" => (Operator::In, self.values()?),
            "notin" => (Operator::NotIn, self.values()?),
            found => return Self::expected(found, "in, notin, =, ==, !=, gt, lt"),
        };
        wrap(Requirement::new(key, operator, values))
    }

    /// After an operator; a missing one is the empty value.
    fn value(&mut self) -> Vec<String> {
        match self.peek() {
            "" | "," => vec![String::new()],
            _ => vec![self.take().to_owned()],
        }
    }

    /// `(a,b,)`: a gap between commas is the empty value.
    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        match self.take() {
            "(" => {}
            found => return Self::expected(found, "'('"),
        }
        let mut values = Vec::new();
        if self.peek() == ")" {
            self.take();
            return Ok(vec![String::new()]);
        }
        loop {
            match self.peek() {
                "," | ")" => values.push(String::new()),
                word if is_word(word) => values.push(self.take().to_owned()),
                found => return Self::expected(found, "',', ')' or identifier"),
            }
            match self.take() {
                "," => {}
                ")" => return Ok(values),
                found => return Self::expected(found, "',' or ')'"),
            }
        }
    }
}

fn wrap(requirement: Result<Requirement, SelectorError>) -> Result<Requirement, SelectorError> {
    requirement.map_err(|error| SelectorError(format!("unable to parse requirement: {}", error.0)))
}
