//! Soundings. FHIR's vocabulary tells roughly how telling a condition is ([`driver`](super::plan::driver)),
//! not how many resources have this code or fall into this month. Where that decides between reading
//! and sorting what a condition finds, and walking an index that has the order until the page is full,
//! the database is asked first: every condition counts its rows, up to [`MANY`], in one statement.
//!
//! What is counted decides only how the page is found, never what is on it or in its total.

use sea_orm::ConnectionTrait;

use super::SearchError;
use super::extract::is_single;
use super::plan::driver::{self, SELECTIVE};
use super::plan::{Forbidden, Plan, Sounding};
use super::query::{
    CodeTest, Condition, Prefix, Query, SpanTest, StringMode, TokenTest, Types, UriMode,
};
use super::run::Context;
use super::sql::{Lower, Row, Source, composite};
use super::walk;
use crate::fhir::definitions::{TypeId, definitions};
use crate::visibility::Access;

/// So many rows are not worth reading and sorting for one page: where of two conditions each leaves one
/// row in a hundred, walking the one's until the page is full reads as many. The unit tests' worlds are
/// small, and must go both ways.
const MANY: i64 = if cfg!(test) { 5 } else { 2_000 };

/// Conditions that are asked about; more than that are rare.
const MOST: usize = 8;

/// Links that are followed to what a chain begins with.
const HOPS: usize = 4;

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// So many rows, [`MANY`] at most.
    Rows(i64),
    /// It takes away, and most likely leaves most: `:not`, `:missing`.
    Shallow,
    /// It cannot be counted by an index.
    Unknown,
}

/// The plan that the soundings advise for a page; None: the one there is.
///
/// # Errors
/// When the database fails.
pub(super) async fn sound<C: ConnectionTrait>(
    context: &Context<'_>,
    connection: &C,
    plan: &Plan,
    query: &Query,
) -> Result<Option<Plan>, SearchError> {
    if plan.pin.is_some() || plan.rank >= SELECTIVE {
        return Ok(None);
    }
    let by_id = query.sort.is_empty();
    let Types::One(type_id) = plan.types else {
        return several_types(context, connection, plan, by_id).await;
    };
    let ordered = by_id && plan.driver.as_ref().is_some_and(has_id_order);
    let all: Vec<&Condition> = plan.driver.iter().chain(&plan.conditions).collect();
    match (all.as_slice(), &plan.driver) {
        ([], _) => return Ok(None),
        // In order already.
        ([Condition::Token { .. } | Condition::Reference { .. }], Some(_)) if ordered => {
            return Ok(None);
        }
        // Each is a question about a row, and must stay one: PostgreSQL would rather join.
        (_, None) if by_id => {
            let mut walked = plan.clone();
            walked.sounding = Sounding::Many;
            return Ok(Some(walked));
        }
        (_, None) => return Ok(None),
        _ => {}
    }
    let depths = depths(context, connection, type_id, &all).await?;
    let few = depths
        .iter()
        .zip(&all)
        .enumerate()
        .filter_map(|(at, (depth, condition))| match depth {
            Depth::Rows(rows) if *rows < MANY && can_lead(&plan.types, condition) => {
                Some((*rows, at))
            }
            _ => None,
        })
        .min();
    if let Some((_, at)) = few {
        let mut led = plan.clone();
        if let Some(other) = at.checked_sub(1) {
            let new = led.conditions.remove(other);
            led.conditions.extend(led.driver.replace(new));
        }
        led.sounding = Sounding::Few;
        return Ok(Some(led));
    }
    let all_deep = depths
        .iter()
        .all(|depth| matches!(depth, Depth::Rows(_) | Depth::Shallow));
    let mut walked = plan.clone();
    walked.sounding = Sounding::Many;
    if ordered {
        let by_code = matches!(plan.driver, Some(Condition::Composite { .. }));
        return Ok(by_code.then_some(walked));
    }
    let leads_poorly = plan
        .driver
        .as_ref()
        .is_some_and(|leads| driver::is_exception(&plan.types, leads));
    if !all_deep && !leads_poorly {
        return Ok(None);
    }
    if by_id {
        walked.conditions.extend(walked.driver.take());
        return Ok(Some(walked));
    }
    Ok(walk::of(&walked, query).is_some().then_some(walked))
}

/// Whether a condition has an index to lead by.
fn can_lead(types: &Types, condition: &Condition) -> bool {
    driver::rank(condition, false) > 0 || driver::is_exception(types, condition)
}

/// Over several types the resources are walked in the order of their ids, unless a condition finds few: the
/// time of change, for polling, a tag, a profile, what a `_has` begins with, the mark of a container.
async fn several_types<C: ConnectionTrait>(
    context: &Context<'_>,
    connection: &C,
    plan: &Plan,
    by_id: bool,
) -> Result<Option<Plan>, SearchError> {
    if plan.driver.is_some() || !by_id {
        return Ok(None);
    }
    let mut lower = Lower::new(context.keys, context.visibility, Access::Search);
    let (mut counts, mut asked) = (Vec::new(), Vec::new());
    for (at, condition) in plan.conditions.iter().enumerate() {
        if counts.len() == MOST {
            break;
        }
        let row = new_row(&mut lower, plan.types.clone());
        let selects = match condition {
            Condition::LastUpdated(_) => {
                // Its index does not begin with the type.
                let row = Row {
                    types: Types::Many(Vec::new()),
                    ..row
                };
                let source = lower.source(condition, &row)?;
                source.map(|source| {
                    let all = source.conditions.join(" AND ");
                    vec![format!(
                        "SELECT 1 FROM {} {} WHERE {all}",
                        source.table, row.alias
                    )]
                })
            }
            Condition::Token {
                values, not: false, ..
            } if values.iter().all(|value| value.code.is_some()) => lower
                .source(condition, &row)?
                .map(|found| vec![select(found, &row)]),
            Condition::Uri {
                mode: UriMode::Exact,
                ..
            } => lower
                .source(condition, &row)?
                .map(|found| vec![select(found, &row)]),
            Condition::Has { source, .. } => bottom(context, &mut lower, *source, condition, HOPS)?,
            _ => None,
        };
        if let Some(selects) = selects.filter(|selects| !selects.is_empty()) {
            asked.push(at);
            counts.push(counted(&selects));
        }
    }
    if counts.is_empty() {
        return Ok(None);
    }
    let wanted = counts.len();
    lower.sql.text = format!("SELECT {}", counts.join(", "));
    let rows = ask(connection, lower, wanted).await?;
    let few = rows
        .into_iter()
        .zip(asked)
        .filter(|(rows, _)| *rows < MANY)
        .min();
    let Some((_, at)) = few else {
        return Ok(None);
    };
    let mut led = plan.clone();
    led.driver = Some(led.conditions.remove(at));
    led.sounding = Sounding::Few;
    Ok(Some(led))
}

/// Whether a source yields ids in their order.
fn has_id_order(condition: &Condition) -> bool {
    match condition {
        Condition::Token {
            values, not: false, ..
        } => matches!(
            values.as_slice(),
            [TokenTest {
                code: Some(CodeTest::Is(_)),
                ..
            }]
        ),
        Condition::Reference { values, .. } => values.len() == 1,
        Condition::Composite { values, .. } => composite::is_counted(values),
        _ => false,
    }
}

async fn depths<C: ConnectionTrait>(
    context: &Context<'_>,
    connection: &C,
    type_id: TypeId,
    all: &[&Condition],
) -> Result<Vec<Depth>, SearchError> {
    let mut lower = Lower::new(context.keys, context.visibility, Access::Search);
    let (mut counts, mut asked) = (Vec::new(), Vec::new());
    let mut depths = Vec::with_capacity(all.len());
    for (at, condition) in all.iter().enumerate() {
        let (before, after) = all.split_at(at);
        if before
            .iter()
            .any(|other| is_one_range(type_id, other, condition))
        {
            // Counted with the first of them, which leads for all.
            depths.push(Depth::Rows(MANY));
            continue;
        }
        let shallow = matches!(
            condition,
            Condition::Token { not: true, .. } | Condition::Missing { .. } | Condition::Unsorted(_)
        );
        if shallow && !driver::is_exception(&Types::One(type_id), condition) {
            depths.push(Depth::Shallow);
            continue;
        }
        let range: Vec<&[SpanTest]> = after
            .iter()
            .filter(|other| is_one_range(type_id, condition, other))
            .filter_map(|other| match other {
                Condition::Date { values, .. } => Some(values.as_slice()),
                _ => None,
            })
            .collect();
        let selects = match condition {
            _ if counts.len() >= MOST => None,
            Condition::Date { param, .. } if range.len() > 1 => {
                let row = new_row(&mut lower, Types::One(type_id));
                let source = lower.date_range_source(param.0, &range, &row);
                Some(vec![select(source, &row)])
            }
            _ => bottom(context, &mut lower, type_id, condition, HOPS)?,
        };
        match selects {
            Some(selects) if !selects.is_empty() => {
                asked.push(depths.len());
                counts.push(counted(&selects));
                depths.push(Depth::Rows(MANY));
            }
            _ => depths.push(Depth::Unknown),
        }
    }
    if counts.is_empty() {
        return Ok(depths);
    }
    let wanted = counts.len();
    lower.sql.text = format!("SELECT {}", counts.join(", "));
    let rows = ask(connection, lower, wanted).await?;
    for (at, rows) in asked.into_iter().zip(rows) {
        if let Some(depth) = depths.get_mut(at) {
            *depth = Depth::Rows(rows);
        }
    }
    Ok(depths)
}

/// Whether two conditions bound the one value of a date: a range of its index.
fn is_one_range(type_id: TypeId, one: &Condition, other: &Condition) -> bool {
    match (one, other) {
        (Condition::Date { param: one, .. }, Condition::Date { param: other, .. }) => {
            one == other && is_single(type_id, one.0)
        }
        _ => false,
    }
}

/// `(SELECT COUNT(*) …)` of selects together, up to [`MANY`].
fn counted(selects: &[String]) -> String {
    format!(
        "(SELECT COUNT(*) FROM ({} LIMIT {MANY}) n)",
        selects.join(" UNION ALL ")
    )
}

async fn ask<C: ConnectionTrait>(
    connection: &C,
    lower: Lower<'_>,
    wanted: usize,
) -> Result<Vec<i64>, SearchError> {
    let statement = lower.sql.statement(connection.get_database_backend());
    let row = connection.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| sea_orm::DbErr::RecordNotFound("COUNT".to_owned()))?;
    (0..wanted)
        .map(|at| Ok(row.try_get_by_index(at)?))
        .collect()
}

/// What a condition begins with, as selects of its rows: its own index, or that of the far end of a
/// chain. None: no index counts it.
fn bottom(
    context: &Context<'_>,
    lower: &mut Lower<'_>,
    type_id: TypeId,
    condition: &Condition,
    hops: usize,
) -> Result<Option<Vec<String>>, SearchError> {
    let links: Vec<(TypeId, &Condition)> = match condition {
        Condition::Chain { links, .. } => links.iter().map(|(own, on)| (*own, on)).collect(),
        Condition::Has {
            source, condition, ..
        } => vec![(*source, condition.as_ref())],
        Condition::PatientIs(on) => match definitions().type_id("Patient") {
            Some(patient) => vec![(patient, on.as_ref())],
            None => return Ok(None),
        },
        Condition::Compartment(of) => {
            let row = new_row(lower, Types::One(type_id));
            return Ok(Some(lower.compartment_selects(of, &row)));
        }
        own if is_counted(type_id, own) => return leaf(lower, type_id, own),
        _ => return Ok(None),
    };
    if hops == 0 {
        return Ok(None);
    }
    let mut selects = Vec::new();
    for (own, on) in links {
        let plan = match context.plan(&Types::One(own), vec![on.clone()]) {
            Ok(plan) => plan,
            // Closed to the viewer: nothing is found through it.
            Err(Forbidden(_)) => continue,
        };
        let (Some(leads), None) = (&plan.driver, &plan.pin) else {
            return Ok(None);
        };
        match bottom(context, lower, own, leads, hops - 1)? {
            Some(more) => selects.extend(more),
            None => return Ok(None),
        }
    }
    Ok(Some(selects))
}

/// Whether an index has exactly the rows of a condition, so that counting stops where it should.
fn is_counted(type_id: TypeId, condition: &Condition) -> bool {
    match condition {
        Condition::Token { not: true, .. } => driver::is_exception(&Types::One(type_id), condition),
        Condition::Token { values, .. } => values.iter().all(|value| value.code.is_some()),
        Condition::Composite { values, .. } => composite::is_counted(values),
        Condition::Id(_) | Condition::Reference { .. } | Condition::LastUpdated(_) => true,
        Condition::String { mode, .. } => {
            matches!(
                mode,
                StringMode::Exact | StringMode::Is | StringMode::Prefix
            )
        }
        Condition::Date { values, .. } => {
            matches!(values.as_slice(), [one] if !matches!(one.prefix, Prefix::Ne | Prefix::Ap))
        }
        Condition::Quantity { values, .. } => matches!(
            values.as_slice(),
            [one] if !matches!(one.number.prefix, Prefix::Ne | Prefix::Ap | Prefix::Po)
        ),
        _ => false,
    }
}

fn leaf(
    lower: &mut Lower<'_>,
    type_id: TypeId,
    condition: &Condition,
) -> Result<Option<Vec<String>>, SearchError> {
    let row = new_row(lower, Types::One(type_id));
    let Some(source) = lower.source(condition, &row)? else {
        return Ok(None);
    };
    Ok(Some(vec![select(source, &row)]))
}

/// A source's rows.
fn select(source: Source, row: &Row) -> String {
    let mut conditions = source.conditions;
    if source.table == "resource" {
        conditions.push(row.any_type(&row.alias));
    }
    let wanted = match conditions.join(" AND ") {
        none if none.is_empty() => String::new(),
        some => format!(" WHERE {some}"),
    };
    format!("SELECT 1 FROM {} {}{wanted}", source.table, row.alias)
}

fn new_row(lower: &mut Lower<'_>, types: Types) -> Row {
    Row {
        alias: lower.alias(),
        types,
        is_resource: false,
        pin: None,
        is_link: false,
    }
}
