//! What a SearchParameter of this server says of its use: comparators, modifiers, chains,
//! alternatives, repetition (R4 SearchParameter). What it does not list is refused, as the
//! CapabilityStatement of a server with no such parameter would lead a client to expect.

use super::split::split;
use super::{Problem, Reader, excerpt};
use crate::fhir::definitions::{Rules, SearchParam, definitions};
use crate::search::query::{Condition, Prefix};

impl Reader<'_> {
    /// Refuses a modifier, alternatives or a repetition that the definition does not have.
    pub(super) fn allow(
        &mut self,
        param: &SearchParam,
        rules: &Rules,
        modifier: Option<&str>,
        raw: &str,
    ) -> Result<(), Problem> {
        let code = &param.code;
        if let Some(modifier) = modifier
            && !rules.modifiers.is_empty()
        {
            let own = match definitions().type_id(modifier) {
                Some(_) => "type",
                None => modifier,
            };
            if !rules.modifiers.iter().any(|one| one == own) {
                return Err(Problem::modifier(code, modifier));
            }
        }
        if !rules.multiple_or && split(raw, ',').len() > 1 {
            return Err(Problem::refused(format!(
                "'{code}' takes one value: its definition has multipleOr false"
            )));
        }
        if !rules.multiple_and {
            if self.once.contains(&param.id) {
                return Err(Problem::refused(format!(
                    "'{code}' stands once in a query: its definition has multipleAnd false"
                )));
            }
            self.once.push(param.id);
        }
        Ok(())
    }
}

/// Refuses a prefix that the definition does not have.
pub(super) fn compare(
    param: &SearchParam,
    rules: &Rules,
    condition: Condition,
) -> Result<Condition, Problem> {
    if rules.comparators.is_empty() {
        return Ok(condition);
    }
    let prefixes: Vec<Prefix> = match &condition {
        Condition::Date { values, .. } => values.iter().map(|test| test.prefix).collect(),
        Condition::Number { values, .. } => values.iter().map(|test| test.prefix).collect(),
        Condition::Quantity { values, .. } => {
            values.iter().map(|test| test.number.prefix).collect()
        }
        _ => Vec::new(),
    };
    for prefix in prefixes {
        let word = word(prefix);
        if !rules.comparators.iter().any(|own| own == word) {
            return Err(Problem::unsupported(format!(
                "the prefix '{word}' is not among the comparators of the search parameter '{}'",
                param.code
            )));
        }
    }
    Ok(condition)
}

/// Refuses to go on from a reference to a parameter that the definition does not have.
pub(super) fn chain(param: &SearchParam, rules: &Rules, rest: &str) -> Result<(), Problem> {
    let listed = |own: &String| {
        let tail = rest.strip_prefix(own.as_str());
        tail.is_some_and(|tail| tail.is_empty() || tail.starts_with([':', '.']))
    };
    if rules.chains.is_empty() || rules.chains.iter().any(listed) {
        return Ok(());
    }
    Err(Problem::unsupported(format!(
        "the search parameter '{}' has no chain to '{}'",
        param.code,
        excerpt(rest)
    )))
}

fn word(prefix: Prefix) -> &'static str {
    match prefix {
        Prefix::Eq => "eq",
        Prefix::Ne => "ne",
        Prefix::Gt => "gt",
        Prefix::Lt => "lt",
        Prefix::Ge => "ge",
        Prefix::Le => "le",
        Prefix::Sa => "sa",
        Prefix::Eb => "eb",
        Prefix::Ap => "ap",
        Prefix::Po => "po",
    }
}
