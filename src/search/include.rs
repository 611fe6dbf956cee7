//! `_include` and `_revinclude`: one statement for each round, whatever is asked; rounds repeat
//! while `:iterate` finds more. What is included must exist for the viewer like any match, and a
//! type that no scope opens adds nothing.

use std::collections::HashSet;

use super::extract::finds_canonicals;
use super::parse::Reader;
use super::query::{Condition, Include, Param, Types};
use super::run::{Found, columns};
use super::sql::{Lower, Row, canonical, ranges};
use super::{Mode, SearchError, plan};
use crate::fhir::definitions::TypeId;
use crate::fhir::outcome::Issue;
use crate::keys::Keys;
use crate::sql::Sql;
use crate::store::Select;
use crate::visibility::{Access, Visibility, record_types};

/// Resources that one page may bring along.
const MAX_INCLUDED: usize = 1_000;
/// Rounds of `:iterate`.
const MAX_ROUNDS: usize = 4;

/// Everything that comes along with the matches of a page; says in an issue when it is not all.
///
/// # Errors
/// [`SearchError::Store`] when the database fails.
pub async fn find<C: Select>(
    connection: &C,
    keys: &Keys,
    visibility: &Visibility,
    includes: &[Include],
    matches: &[Found],
    issues: &mut Vec<Issue>,
) -> Result<Vec<Found>, SearchError> {
    let mut seen: HashSet<i64> = matches.iter().map(|found| found.id).collect();
    let mut all: Vec<Found> = Vec::new();
    let mut round_start = 0;
    let mut cut = false;
    for round in 0..=MAX_ROUNDS {
        let from = if round == 0 {
            matches
        } else {
            all.get(round_start..).unwrap_or_default()
        };
        let asked = includes
            .iter()
            .filter(|include| round == 0 || include.iterate);
        let statements = statements(connection.is_near(), keys, visibility, asked, from);
        if statements.is_empty() {
            break;
        }
        if round == MAX_ROUNDS {
            cut = true;
            break;
        }
        round_start = all.len();
        'statements: for sql in statements {
            for row in connection.select(sql).await? {
                let found = Found::read(&row, Mode::Include)?;
                if all.len() >= MAX_INCLUDED {
                    if !seen.contains(&found.id) {
                        cut = true;
                        break 'statements;
                    }
                    continue;
                }
                if seen.insert(found.id) {
                    all.push(found);
                }
            }
        }
        if all.len() == round_start || cut {
            break;
        }
    }
    if cut {
        issues.push(
            Issue::error(
                "incomplete",
                format!(
                    "not everything that _include and _revinclude ask for is in this page: at \
                     most {MAX_INCLUDED} resources and {MAX_ROUNDS} rounds of :iterate come along"
                ),
            )
            .warning(),
        );
    }
    Ok(all)
}

/// The includes as statements: one each, or all in one.
fn statements<'i>(
    each: bool,
    keys: &Keys,
    visibility: &Visibility,
    includes: impl Iterator<Item = &'i Include>,
    from: &[Found],
) -> Vec<Sql> {
    let open = || Lower::new(keys, visibility, Access::Search);
    if each {
        return includes
            .filter_map(|include| {
                let mut lower = open();
                lower.sql.text = arm(&mut lower, include, from)?;
                Some(lower.sql)
            })
            .collect();
    }
    let mut lower = open();
    let arms: Vec<String> = includes
        .filter_map(|include| {
            let arm = arm(&mut lower, include, from)?;
            Some(format!("SELECT * FROM ({arm}) {}", lower.alias()))
        })
        .collect();
    lower.sql.text = arms.join(" UNION ALL ");
    if arms.is_empty() {
        Vec::new()
    } else {
        vec![lower.sql]
    }
}

/// One include as a SELECT; None when it has nothing to start from or nothing it may show.
fn arm(lower: &mut Lower<'_>, include: &Include, from: &[Found]) -> Option<String> {
    let types = shown_types(include)?;
    let mut plan = plan::open(lower.visibility, lower.access, &types).ok()?;
    // A wildcard is no question about who wrote what.
    if include.reverse && include.source.is_none() {
        plan.conditions.push(Condition::Unnoted);
    }
    let k = Row {
        alias: "k".to_owned(),
        types: plan.types.clone(),
        is_resource: true,
        pin: None,
        is_link: false,
    };
    let bound = lower.sql.values.len();
    let reached = if include.reverse {
        // Sources of these types refer to what was found.
        let targets: Vec<i64> = from
            .iter()
            .filter(|found| include.target.is_none_or(|target| target == found.type_id))
            .map(|found| found.key)
            .collect();
        if targets.is_empty() {
            return None;
        }
        let targets = lower.sql.bind_list(targets);
        let by_url = include
            .param
            .and_then(|param| by_url(lower, include, param, from));
        let of = match include.source {
            Some(source) => vec![format!(" AND c.type = {source}")],
            None => ranges(plan.types.as_slice(), "c"),
        };
        let of: Vec<String> = of
            .iter()
            .map(|of| {
                format!(
                    "SELECT c.id FROM idx_reference c WHERE c.target IN {targets}{of}{}",
                    param_is(include)
                )
            })
            .collect();
        or_by_url(format!("k.id IN ({})", of.join(" UNION ")), by_url)
    } else {
        let sources: Vec<i64> = from
            .iter()
            .filter(|found| include.source.is_none_or(|source| source == found.type_id))
            .map(|found| found.id)
            .collect();
        if sources.is_empty() {
            return None;
        }
        let by_url = include
            .param
            .and_then(|param| by_url(lower, include, param, from));
        let sources = lower.sql.bind_list(sources);
        let mut reached =
            format!("k.key IN (SELECT c.target FROM idx_reference c WHERE c.id IN {sources}");
        reached.push_str(&param_is(include));
        if let Some(target) = include.target {
            reached.push_str(&format!(" AND c.target_type = {target}"));
        }
        or_by_url(reached + ")", by_url)
    };
    let Ok(restricted) = lower.restrict(&plan, &k) else {
        lower.sql.values.truncate(bound);
        return None;
    };
    Some(format!(
        "SELECT {} FROM resource k WHERE {reached} AND {restricted} ORDER BY k.id LIMIT {}",
        columns("k"),
        MAX_INCLUDED + 1,
    ))
}

fn or_by_url(reached: String, by_url: Option<String>) -> String {
    match by_url {
        Some(by_url) => format!("({reached} OR {by_url})"),
        None => reached,
    }
}

/// What refers by canonical URL; None where the parameter does not.
fn by_url(
    lower: &mut Lower<'_>,
    include: &Include,
    param: Param,
    from: &[Found],
) -> Option<String> {
    let source = include.source?;
    if !finds_canonicals(source, param.0) {
        return None;
    }
    let targets = match include.target {
        Some(target) => vec![target],
        None => Reader::new("").target_types(&[source], param.0),
    };
    let mut arms = Vec::new();
    for target in targets {
        let Some(url) = canonical::url_of(target) else {
            continue;
        };
        let meets = canonical::meets("c", "u", target, url);
        let (own, end) = if include.reverse {
            (target, ("c", "u"))
        } else {
            (source, ("u", "c"))
        };
        let ids: Vec<i64> = from
            .iter()
            .filter(|found| found.type_id == own)
            .map(|found| found.id)
            .collect();
        if ids.is_empty() {
            continue;
        }
        let ids = lower.sql.bind_list(ids);
        arms.push(format!(
            "k.id IN (SELECT {}.id FROM idx_uri c CROSS JOIN idx_uri u WHERE {}.id IN {ids} \
             AND c.type = {source} AND c.param = {} AND {meets})",
            end.0, end.1, param.id
        ));
    }
    (!arms.is_empty()).then(|| arms.join(" OR "))
}

/// `*` follows every search parameter, not the links that only the store follows.
fn param_is(include: &Include) -> String {
    match include.param {
        Some(param) => format!(" AND c.param = {}", param.id),
        None => " AND c.param >= 0".to_owned(),
    }
}

/// The types that an include may show.
fn shown_types(include: &Include) -> Option<Types> {
    let many = |mut types: Vec<TypeId>| {
        types.sort_unstable();
        types.dedup();
        match types.as_slice() {
            [] => None,
            [one] => Some(Types::One(*one)),
            _ => Some(Types::Many(types)),
        }
    };
    let shown = if include.reverse {
        include.source
    } else {
        include.target
    };
    match (shown, include.reverse, include.source, include.param) {
        (Some(one), ..) => many(vec![one]),
        (None, false, Some(source), Some(param)) => {
            many(Reader::new("").target_types(&[source], param.0))
        }
        _ => many(record_types().collect()),
    }
}
