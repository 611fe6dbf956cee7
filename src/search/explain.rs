//! `_explain=true`: how the database will answer a search, for those who run the server. Values are
//! left out: statements have placeholders, and what a plan quotes becomes `?`.

use std::sync::LazyLock;

use regex::Regex;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::{Value, json};

use super::query::Condition;
use super::run::{Context, page_sql};
use super::sql::Lower;
use super::{SearchError, SearchRequest, amounts, prepare, terminology, walk};
use crate::store::Store;
use crate::visibility::{Access, Viewer, ViewerClass, Visibility};

/// Whether a viewer may see plans: staff, auditors, administrators and the hospital's own systems.
#[must_use]
pub fn may(viewer: &Viewer) -> bool {
    matches!(
        viewer.class,
        ViewerClass::System | ViewerClass::Staff | ViewerClass::Auditor | ViewerClass::Admin
    )
}

/// The plan of a search as a Parameters resource. The request comes without `_explain`.
///
/// # Errors
/// As [`search`](super::search()).
pub async fn explain(
    store: &Store,
    viewer: &Viewer,
    request: &SearchRequest<'_>,
) -> Result<Value, SearchError> {
    let now = store.clock().now();
    let visibility = Visibility::of(viewer, store.keys(), now, now);
    let context = Context {
        keys: store.keys(),
        visibility: &visibility,
    };
    let super::Prepared {
        types,
        mut query,
        compartment: mut conditions,
        ..
    } = prepare(store, request).await?;
    conditions.append(&mut query.conditions);
    let reader = store.reader();
    terminology::resolve(&context, reader, &mut conditions).await?;
    amounts::resolve(store.keys(), reader, &mut conditions).await?;
    let plan = super::texts::plan(&context, reader, &types, conditions).await?;
    let plan = super::sound::sound(&context, reader, &plan, &query)
        .await?
        .unwrap_or(plan);
    let lower = || Lower::new(store.keys(), &visibility, Access::Search);
    let limit = query.count.unwrap_or(super::parse::limit::DEFAULT_COUNT);
    let rows = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let mut statements = Vec::new();
    let walked = walk::of(&plan, &query);
    let leads = match (&walked, &plan.driver) {
        (Some(_), _) => "the index that has the order of '_sort'".to_owned(),
        (None, Some(driver)) => kind(driver),
        (None, None) if plan.pin.is_some() => "the resources of the patient".to_owned(),
        (None, None) => "the resources of the type, in order of their ids".to_owned(),
    };
    if let Some(walk) = walked {
        let mut first = lower();
        first.sql.text = walk.sql(&mut first, None, rows)?;
        statements.push(first.sql);
        if walk.has_rest() {
            let mut rest = lower();
            rest.sql.text = walk.rest_sql(&mut rest, &query, None, rows)?;
            statements.push(rest.sql);
        }
    } else {
        let mut page = lower();
        page.sql.text = page_sql(&mut page, &plan, &query, None, rows)?.0;
        statements.push(page.sql);
    }
    let mut parameters = vec![
        json!({"name": "database", "valueString": match store.backend() {
            DbBackend::Postgres => "PostgreSQL",
            _ => "SQLite",
        }}),
        json!({"name": "leads", "valueString": leads}),
    ];
    for sql in statements {
        let statement = sql.statement(store.backend());
        let mut parts = vec![json!({"name": "statement", "valueString": statement.sql})];
        for step in steps(reader, statement).await? {
            parts.push(json!({"name": "step", "valueString": step}));
        }
        parameters.push(json!({"name": "plan", "part": parts}));
    }
    Ok(json!({"resourceType": "Parameters", "parameter": parameters}))
}

/// What kind of condition it is, and of which parameter.
fn kind(condition: &Condition) -> String {
    let of = |name: &str, param: &super::query::Param| format!("{name} '{}'", param.code);
    match condition {
        Condition::Id(_) => "'_id'".to_owned(),
        Condition::LastUpdated(_) => "'_lastUpdated'".to_owned(),
        Condition::Token { param, .. } => of("the token", param),
        Condition::String { param, .. } => of("the string", param),
        Condition::Date { param, .. } => of("the date", param),
        Condition::Number { param, .. } => of("the number", param),
        Condition::Quantity { param, .. } => of("the quantity", param),
        Condition::Uri { param, .. } => of("the uri", param),
        Condition::Reference { param, .. } | Condition::Hierarchy { param, .. } => {
            of("the reference", param)
        }
        Condition::Near { param, .. } => of("the position", param),
        Condition::Composite { param, .. } => of("the composite", param),
        Condition::Chain { param, .. } => of("the chain through", param),
        Condition::Has { param, .. } => of("'_has' through", param),
        Condition::Text { .. } => "the full text".to_owned(),
        Condition::Compartment(_) => "the compartment".to_owned(),
        _ => "another condition".to_owned(),
    }
}

async fn steps<C: ConnectionTrait>(
    connection: &C,
    statement: Statement,
) -> Result<Vec<String>, SearchError> {
    static QUOTED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("'[^']*'").ok());
    let backend = connection.get_database_backend();
    let (explain, column) = match backend {
        DbBackend::Postgres => ("EXPLAIN", 0),
        _ => ("EXPLAIN QUERY PLAN", 3),
    };
    let explain = Statement {
        sql: format!("{explain} {}", statement.sql),
        ..statement
    };
    let rows = connection.query_all_raw(explain).await?;
    rows.iter()
        .map(|row| {
            let step: String = row.try_get_by_index(column)?;
            Ok(match QUOTED.as_ref() {
                Some(quoted) => quoted.replace_all(&step, "?").into_owned(),
                None => String::new(),
            })
        })
        .collect()
}
