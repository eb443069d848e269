//! Label selectors, as text (`a=b,c in (d,e),!f`) and as the API's `LabelSelector`. Matches label maps only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use super::{SelectorError, label_text};
use crate::object::format;

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label is there with one of the values.
    In,
    /// The label is missing or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
    /// The label is there and an integer above the value.
    GreaterThan,
    /// The label is there and an integer below the value.
    LessThan,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: BTreeSet<String>,
}

/// A label selector: all requirements must hold. Empty matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// What must hold.
    pub requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    ///
    /// # Errors
    /// Where the text is no selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        label_text::parse(text).map(|requirements| Self { requirements })
    }

    /// The same as the API's struct; every `matchLabels` entry and expression must hold.
    ///
    /// # Errors
    /// Where an operator is unknown or its values do not fit it.
    pub fn from_spec(spec: &meta::LabelSelector) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in spec.match_labels.iter().flatten() {
            requirements.push(Requirement::new(key, Operator::In, [value.clone()])?);
        }
        for expression in spec.match_expressions.iter().flatten() {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(SelectorError(format!(
                        "\"{other}\" is not a valid label selector operator"
                    )));
                }
            };
            let values = expression.values.iter().flatten().cloned();
            requirements.push(Requirement::new(&expression.key, operator, values)?);
        }
        Ok(Self { requirements })
    }

    /// Whether these labels satisfy it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl Requirement {
    /// A checked requirement.
    ///
    /// # Errors
    /// Where the key or a value is malformed, or the values do not fit the operator.
    pub fn new(key: &str, operator: Operator, values: impl IntoIterator<Item = String>) -> Result<Self, SelectorError> {
        let values: BTreeSet<String> = values.into_iter().collect();
        let fail = |text: String| Err(SelectorError(text));
        if let Some(problem) = format::qualified_name(key).into_iter().next() {
            return fail(format!("key: Invalid value: \"{key}\": {problem}"));
        }
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return fail(
                    "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".into(),
                );
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return fail("values: Invalid value: values set must be empty for exists and does not exist".into());
            }
            Operator::GreaterThan | Operator::LessThan if !matches!(integers(&values).as_deref(), Some([_])) => {
                return fail("values: Invalid value: for 'Gt', 'Lt' operators, exactly one integer is required".into());
            }
            _ => {}
        }
        for value in &values {
            if let Some(problem) = format::label_value(value).into_iter().next() {
                return fail(format!("values[0][{key}]: Invalid value: \"{value}\": {problem}"));
            }
        }
        Ok(Self {
            key: key.to_owned(),
            operator,
            values,
        })
    }

    /// Whether these labels satisfy it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let compare = |holds: fn(i64, i64) -> bool| {
            let bound = integers(&self.values).and_then(|bounds| bounds.first().copied());
            let number = value.and_then(|value| value.parse::<i64>().ok());
            matches!((number, bound), (Some(number), Some(bound)) if holds(number, bound))
        };
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compare(|number, bound| number > bound),
            Operator::LessThan => compare(|number, bound| number < bound),
        }
    }
}

/// All of them as integers, or nothing.
fn integers(values: &BTreeSet<String>) -> Option<Vec<i64>> {
    values.iter().map(|value| value.parse().ok()).collect()
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.requirements.iter().map(Requirement::to_string).collect();
        formatter.write_str(&texts.join(","))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, operator, values } = self;
        let list = values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match (operator, values.len()) {
            (Operator::In, 1) => write!(formatter, "{key}={list}"),
            (Operator::NotIn, 1) => write!(formatter, "{key}!={list}"),
            (Operator::In, _) => write!(formatter, "{key} in ({list})"),
            (Operator::NotIn, _) => write!(formatter, "{key} notin ({list})"),
            (Operator::Exists, _) => write!(formatter, "{key}"),
            (Operator::DoesNotExist, _) => write!(formatter, "!{key}"),
            (Operator::GreaterThan, _) => write!(formatter, "{key}>{list}"),
            (Operator::LessThan, _) => write!(formatter, "{key}<{list}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn texts_match_labels() {
        let labels = labels(&[("app", "web"), ("tier", ""), ("n", "5"), ("example.com/x", "y")]);
        for (text, wanted) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("gone", false),
            ("!gone", true),
            ("! gone", true),
            ("app=web", true),
            ("app==web", true),
            ("app = db", false),
            ("app!=db", true),
            ("app!=web", false),
            ("gone!=x", true),
            ("gone=x", false),
            ("tier=", true),
            ("tier", true),
            ("tier!=", false),
            ("app in (web,db)", true),
            ("app in (db)", false),
            ("app notin (db)", true),
            ("gone notin (x)", true),
            ("app notin (web)", false),
            ("app=web,n>4", true),
            ("n>5", false),
            ("n<6,app", true),
            ("app>1", false),
            ("gone>1", false),
            ("example.com/x=y,app in (web)", true),
            ("tier in (,x)", true),
            ("tier in ()", true),
            ("x in (a,),app", false),
            ("in=a", false),
            ("app in (in,web)", true),
        ] {
            let selector = LabelSelector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(selector.matches(&labels), wanted, "{text}");
            assert_eq!(
                LabelSelector::parse(&selector.to_string()).unwrap(),
                selector,
                "{text} printed"
            );
        }
    }

    #[test]
    fn what_is_no_selector() {
        for (text, wanted) in [
            ("=a", "found '=', expected: identifier"),
            ("a=b,", "expected: identifier after ','"),
            ("a b", "found 'b', expected: in, notin"),
            ("a in b", "found 'b', expected: '('"),
            ("a in (b", "expected: ',' or ')'"),
            ("a=b c", "expected: ',' or 'end of string'"),
            ("!", "expected: identifier"),
            (",", "expected: identifier"),
            ("a b!", "expected: in"),
            ("a=-b", "a valid label must be"),
            ("a/b/c", "a qualified name must consist of"),
            ("n>x", "exactly one integer"),
            ("a=(", "a valid label must be"),
            ("!a=b", "expected: ',' or 'end of string'"),
        ] {
            let error = LabelSelector::parse(text).expect_err(text).0;
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn structs_match_labels() {
        let labels = labels(&[("app", "web")]);
        for (name, spec, wanted) in [
            ("empty", json!({}), Ok(true)),
            ("matchLabels", json!({"matchLabels": {"app": "web"}}), Ok(true)),
            (
                "both",
                json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}),
                Ok(false),
            ),
            (
                "In",
                json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}),
                Ok(true),
            ),
            (
                "NotIn",
                json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
                Ok(false),
            ),
            (
                "DoesNotExist",
                json!({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}),
                Ok(true),
            ),
            (
                "Gt is for nodes",
                json!({"matchExpressions": [{"key": "x", "operator": "Gt", "values": ["1"]}]}),
                Err(()),
            ),
            (
                "In of nothing",
                json!({"matchExpressions": [{"key": "x", "operator": "In"}]}),
                Err(()),
            ),
            (
                "Exists of something",
                json!({"matchExpressions": [{"key": "x", "operator": "Exists", "values": ["1"]}]}),
                Err(()),
            ),
        ] {
            let spec = serde_json::from_value(spec).unwrap();
            let got = LabelSelector::from_spec(&spec)
                .map(|selector| selector.matches(&labels))
                .map_err(|_| ());
            assert_eq!(got, wanted, "{name}");
        }
    }
}
