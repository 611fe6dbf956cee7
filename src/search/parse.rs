//! From the decoded query string to a [`Query`]. Nothing is ignored silently: a parameter that
//! the type does not have is left out and named in an issue (strict: refused), whatever else is
//! not understood is refused with 400.

pub mod date;
mod filter;
pub mod include;
pub mod limit;
mod list;
pub mod near;
pub mod number;
mod own;
pub mod reference;
pub mod result;
pub mod split;
#[cfg(test)]
mod tests;
pub mod value;
mod words;

use std::cell::Cell;

use super::error::SearchError;
use super::extract::custom::{Custom, Found};
use super::query::{Condition, Param, Prefix, Query, SpanTest, Types};
use crate::fhir::definitions::{ParamId, ParamKind, SearchParam, TypeId, definitions};
use crate::fhir::outcome::Issue;

/// Why one parameter was not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// No such parameter here: left out in lenient handling.
    Unknown(String),
    /// A parameter of this server whose index is not yet built: left out in lenient handling, for
    /// what it would find now is not all there is.
    Building(String),
    /// Refused in any handling.
    Refused(Issue),
}

impl Problem {
    fn refused(words: impl Into<String>) -> Self {
        Self::Refused(Issue::error("invalid", words))
    }

    fn unsupported(words: impl Into<String>) -> Self {
        Self::Refused(Issue::error("not-supported", words))
    }

    fn modifier(name: &str, modifier: &str) -> Self {
        Self::unsupported(format!(
            "the modifier ':{}' is not supported on the search parameter '{name}'",
            excerpt(modifier)
        ))
    }

    fn value(name: &str, value: &str, expected: &str) -> Self {
        Self::Refused(Issue::error(
            "value",
            format!(
                "'{}' is no value for the search parameter '{name}'; expected {expected}",
                excerpt(value)
            ),
        ))
    }
}

/// The beginning of something a client sent, for an error message.
fn excerpt(text: &str) -> String {
    text.chars()
        .take(60)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Parses a search over `type_id`, or over the whole system with its `_type`. `base` is this
/// server's FHIR base URL without a slash at the end, `custom` its own search parameters.
///
/// # Errors
/// [`SearchError::Invalid`] with one issue for each parameter that is at fault.
pub fn parse(
    type_id: Option<TypeId>,
    pairs: &[(String, String)],
    strict: bool,
    base: &str,
    custom: &Custom,
) -> Result<(Types, Query), SearchError> {
    if pairs.len() > limit::PARAMS {
        return Err(SearchError::invalid(Issue::error(
            "too-costly",
            format!("more than {} search parameters", limit::PARAMS),
        )));
    }
    let mut query = Query::default();
    let mut errors = Vec::new();
    let types = match type_id {
        Some(one) => Types::One(one),
        None => match result::types(pairs) {
            Ok(types) => types,
            Err(problem) => return Err(SearchError::Invalid(vec![problem_issue(problem)])),
        },
    };
    if type_id.is_none() && !pairs.iter().any(|(name, _)| name == "_type") {
        query.conditions.push(Condition::Unnoted);
    }
    let mut reader = Reader::with(base, custom);
    for (name, value) in pairs {
        if name.len() > limit::LENGTH || value.len() > limit::LENGTH {
            errors.push(Issue::error(
                "too-long",
                format!("a search parameter is longer than {} bytes", limit::LENGTH),
            ));
            continue;
        }
        if value.contains('\0') {
            errors.push(Issue::error(
                "value",
                format!("'{}' holds U+0000", excerpt(name)),
            ));
            continue;
        }
        if value.is_empty() && name != "_cursor" {
            unknown(
                format!("the search parameter '{}' has no value", excerpt(name)),
                strict,
                &mut query.issues,
                &mut errors,
            );
            continue;
        }
        let taken = match result::read(&reader, &mut query, &types, name, value) {
            Some(taken) => taken,
            None => reader
                .condition(types.as_slice(), name, value)
                .map(|condition| query.conditions.push(condition)),
        };
        match taken {
            Ok(()) if name == "_cursor" => {}
            // Those that were used, not those that were asked for.
            Ok(()) if name == "_count" => {
                let used = query
                    .count
                    .map_or_else(String::new, |count| count.to_string());
                query.used.push((name.clone(), used));
            }
            Ok(()) => query.used.push((name.clone(), value.clone())),
            Err(Problem::Building(code)) => {
                query.missed = true;
                let words = format!(
                    "the index of the search parameter '{}' is not yet built, see $reindex-status",
                    excerpt(&code)
                );
                unknown(words, strict, &mut query.issues, &mut errors);
            }
            Err(Problem::Unknown(name)) => {
                query.missed = true;
                let whose = match &types {
                    Types::One(one) => definitions().type_name(*one),
                    Types::Many(_) => "all of the types searched",
                };
                unknown(
                    format!(
                        "the search parameter '{}' is unknown for {whose}",
                        excerpt(&name)
                    ),
                    strict,
                    &mut query.issues,
                    &mut errors,
                );
            }
            Err(Problem::Refused(issue)) => errors.push(issue),
        }
    }
    if let Err(problem) = result::check_elements(&query, &types) {
        errors.push(problem_issue(problem));
    }
    query.uses_custom = reader.uses_custom.get();
    if errors.is_empty() {
        Ok((types, query))
    } else {
        Err(SearchError::Invalid(errors))
    }
}

/// Parses the narrowing of a granular scope: plain parameters of one type, no chains.
///
/// # Errors
/// The first problem; the caller must treat the scope as opening nothing.
pub fn narrowing(type_id: TypeId, query: &str) -> Result<Vec<Condition>, Problem> {
    let mut reader = Reader::new("");
    let mut conditions = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let condition = reader.condition(&[type_id], &name, &value)?;
        // What looks at other resources depends on who asks.
        if matches!(
            condition,
            Condition::Chain { .. }
                | Condition::Has { .. }
                | Condition::Hierarchy { .. }
                | Condition::ValueSet { .. }
                | Condition::Subsumed { .. }
                | Condition::Any(_)
                | Condition::All(_)
                | Condition::Not(_)
        ) {
            return Err(Problem::unsupported(
                "a scope cannot hold a chain, a hierarchy, a value set or '_filter'",
            ));
        }
        // `ap` depends on the time of asking; what a scope opens does not.
        let approximate = |tests: &[SpanTest]| tests.iter().any(|t| t.prefix == Prefix::Ap);
        if let Condition::Date { values, .. } | Condition::LastUpdated(values) = &condition
            && approximate(values)
        {
            return Err(Problem::unsupported("a scope cannot hold the prefix 'ap'"));
        }
        conditions.push(condition);
    }
    if conditions.is_empty() {
        return Err(Problem::refused("a scope's query is empty"));
    }
    Ok(conditions)
}

fn unknown(words: String, strict: bool, issues: &mut Vec<Issue>, errors: &mut Vec<Issue>) {
    if strict {
        errors.push(Issue::error("not-supported", words));
    } else {
        let words = format!("{words}; it was left out");
        issues.push(Issue::error("not-supported", words).warning());
    }
}

fn problem_issue(problem: Problem) -> Issue {
    match problem {
        Problem::Refused(issue) => issue,
        Problem::Unknown(name) | Problem::Building(name) => Issue::error(
            "not-supported",
            format!("the search parameter '{}' is unknown", excerpt(&name)),
        ),
    }
}

/// Reads conditions, counting what they ask for.
#[derive(Debug)]
pub struct Reader<'a> {
    base: &'a str,
    custom: Option<&'a Custom>,
    /// A parameter of this server took part.
    uses_custom: Cell<bool>,
    /// Those of its parameters that may not be repeated and were seen.
    once: Vec<ParamId>,
    values: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// A reader for one query.
    #[must_use]
    pub fn new(base: &'a str) -> Self {
        Self {
            base,
            custom: None,
            uses_custom: Cell::new(false),
            once: Vec::new(),
            values: 0,
            depth: 0,
        }
    }

    /// A reader for one query that knows this server's own parameters too.
    #[must_use]
    pub fn with(base: &'a str, custom: &'a Custom) -> Self {
        Self {
            custom: Some(custom),
            ..Self::new(base)
        }
    }

    /// The parameter with this code, if all of the types have it and mean the same.
    ///
    /// # Errors
    /// [`Problem::Unknown`] and [`Problem::Building`].
    fn param(&self, types: &[TypeId], code: &str) -> Result<&'static SearchParam, Problem> {
        let unknown = || Problem::Unknown(code.to_owned());
        let (first, rest) = types.split_first().ok_or_else(unknown)?;
        let param = self.param_of(*first, code)?;
        for other in rest {
            let same = self.param_of(*other, code)?;
            if same.id != param.id || same.kind != param.kind {
                return Err(unknown());
            }
        }
        Ok(param)
    }

    fn param_of(&self, type_id: TypeId, code: &str) -> Result<&'static SearchParam, Problem> {
        if let Some(param) = definitions().search_param(type_id, code) {
            if param.is_whole_resource() {
                return Err(Problem::Unknown(code.to_owned()));
            }
            return Ok(param);
        }
        match self.custom.and_then(|custom| custom.find(type_id, code)) {
            Some(Found::Ready(param)) => {
                self.uses_custom.set(true);
                Ok(param)
            }
            Some(Found::Building) => Err(Problem::Building(code.to_owned())),
            None => Err(Problem::Unknown(code.to_owned())),
        }
    }

    /// The condition that `name=raw` says about resources of these types.
    ///
    /// # Errors
    /// [`Problem::Unknown`] when the types do not have the parameter (or a chained one does not
    /// exist on any target), [`Problem::Refused`] for everything else that is not understood.
    pub fn condition(
        &mut self,
        types: &[TypeId],
        name: &str,
        raw: &str,
    ) -> Result<Condition, Problem> {
        if let Some(rest) = name.strip_prefix("_has:") {
            return self.has(types, rest, raw);
        }
        match name {
            "_list" => return self.list(types, raw),
            "_filter" => return self.filter(types, raw),
            "_text" | "_content" => return self.words(name, raw),
            _ => {}
        }
        if let Some((head, rest)) = name.split_once('.') {
            return self.chain(types, head, rest, raw);
        }
        let (code, modifier) = match name.split_once(':') {
            Some((code, modifier)) => (code, Some(modifier)),
            None => (name, None),
        };
        let param = self.param(types, code).map_err(renamed(name))?;
        if let Some(rules) = &param.rules {
            self.allow(param, rules, modifier, raw)?;
        }
        let condition = value::condition(self, types, param, modifier, raw)?;
        match &param.rules {
            Some(rules) => own::compare(param, rules, condition),
            None => Ok(condition),
        }
    }

    /// `subject:Patient.name=x`, `subject.name=x`, `encounter.service-provider.name=x`.
    fn chain(
        &mut self,
        types: &[TypeId],
        head: &str,
        rest: &str,
        raw: &str,
    ) -> Result<Condition, Problem> {
        let (code, type_name) = match head.split_once(':') {
            Some((code, type_name)) => (code, Some(type_name)),
            None => (head, None),
        };
        let whole = || Problem::Unknown(format!("{head}.{rest}"));
        let param = self
            .param(types, code)
            .map_err(renamed(&format!("{head}.{rest}")))?;
        if let Some(rules) = &param.rules {
            own::chain(param, rules, rest)?;
        }
        if param.kind != ParamKind::Reference {
            return Err(Problem::refused(format!(
                "the search parameter '{code}' is no reference and cannot start a chain"
            )));
        }
        let mut targets = self.target_types(types, param);
        if let Some(type_name) = type_name {
            let only = definitions()
                .type_id(type_name)
                .ok_or_else(|| Problem::modifier(code, type_name))?;
            targets.retain(|target| *target == only);
            if targets.is_empty() {
                return Err(Problem::refused(format!(
                    "the search parameter '{code}' never refers to {type_name}"
                )));
            }
        }
        self.deeper()?;
        let mut links = Vec::new();
        for target in targets {
            match self.condition(&[target], rest, raw) {
                Ok(condition) => links.push((target, condition)),
                Err(Problem::Unknown(_)) => {}
                Err(refused) => return Err(refused),
            }
            if links.len() > MAX_LINKS {
                return Err(Problem::refused(format!(
                    "'{code}' may refer to more than {MAX_LINKS} types that have '{}'; name one: \
                     '{code}:Patient.{}'",
                    excerpt(rest),
                    excerpt(rest)
                )));
            }
        }
        self.depth -= 1;
        if links.is_empty() {
            return Err(whole());
        }
        Ok(Condition::Chain {
            param: Param(param),
            links,
        })
    }

    /// `_has:Observation:patient:code=x`; `rest` may be another `_has`.
    fn has(&mut self, types: &[TypeId], rest: &str, raw: &str) -> Result<Condition, Problem> {
        let mut parts = rest.splitn(3, ':');
        let (Some(type_name), Some(code), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Problem::refused(
                "'_has' is written _has:Type:reference-parameter:parameter=value",
            ));
        };
        let source = definitions().type_id(type_name).ok_or_else(|| {
            Problem::refused(format!(
                "'_has': '{}' is no resource type",
                excerpt(type_name)
            ))
        })?;
        let param = self.reference_param(source, code, "_has")?;
        let targets = self.target_types(&[source], param);
        if !types.iter().any(|own| targets.contains(own)) {
            return Err(Problem::refused(format!(
                "'_has': '{type_name}.{code}' never refers to the type searched"
            )));
        }
        self.deeper()?;
        let condition = self.condition(&[source], name, raw);
        self.depth -= 1;
        let condition = match condition {
            Err(Problem::Unknown(name)) => {
                return Err(Problem::Unknown(format!("_has:{type_name}:{code}:{name}")));
            }
            other => Box::new(other?),
        };
        Ok(Condition::Has {
            source,
            param: Param(param),
            condition,
        })
    }

    /// A reference parameter of `source`, for `_has` and the includes.
    fn reference_param(
        &self,
        source: TypeId,
        code: &str,
        name: &str,
    ) -> Result<&'static SearchParam, Problem> {
        let none = || {
            Problem::refused(format!(
                "'{name}': '{}' is no reference parameter of {}",
                excerpt(code),
                definitions().type_name(source)
            ))
        };
        match self.param(&[source], code) {
            Ok(param) if param.kind == ParamKind::Reference => Ok(param),
            Ok(_) | Err(Problem::Unknown(_)) => Err(none()),
            Err(problem) => Err(problem),
        }
    }

    /// Counts one more value.
    fn count_value(&mut self, name: &str) -> Result<(), Problem> {
        self.pieces(name, "x").map(|_| ())
    }

    fn deeper(&mut self) -> Result<(), Problem> {
        self.depth += 1;
        if self.depth > limit::DEPTH {
            return Err(Problem::refused(format!(
                "a chain has more than {} hops",
                limit::DEPTH
            )));
        }
        Ok(())
    }

    /// The alternatives of a value, still escaped.
    fn pieces<'r>(&mut self, name: &str, raw: &'r str) -> Result<Vec<&'r str>, Problem> {
        let pieces = split::split(raw, ',');
        self.values += pieces.len();
        if pieces.len() > limit::VALUES || self.values > limit::ALL_VALUES {
            return Err(Problem::Refused(Issue::error(
                "too-costly",
                format!(
                    "'{name}' has too many alternatives: at most {} in one parameter, {} in all",
                    limit::VALUES,
                    limit::ALL_VALUES
                ),
            )));
        }
        if pieces.iter().any(|piece| piece.is_empty()) {
            return Err(Problem::refused(format!(
                "'{name}' has an empty alternative"
            )));
        }
        Ok(pieces)
    }
}

/// Target types that one untyped chain may fan out to.
const MAX_LINKS: usize = 40;

/// [`Problem::Unknown`] with the name as it was sent.
fn renamed(name: &str) -> impl FnOnce(Problem) -> Problem + '_ {
    move |problem| match problem {
        Problem::Unknown(_) => Problem::Unknown(name.to_owned()),
        problem => problem,
    }
}
