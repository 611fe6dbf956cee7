//! `code:text` over a whole hospital. Words may stand anywhere in a text, which no index finds; but
//! texts of codes are few, however many resources have them: the index tells which there are, one step
//! for each, and those with the words lead.

use super::SearchError;
use super::extract::{MAX_NORM, normalize};
use super::plan::Plan;
use super::query::{Condition, StringMode, Types};
use super::run::Context;
use super::sql::string::WORD_STARTS;
use crate::fhir::definitions::{ParamKind, TypeId};
use crate::sql::Sql;
use crate::store::Select;

/// Different texts that are looked through. Where there are more, every row is asked.
const MOST_TEXTS: usize = 5_000;
/// Texts with the words that one statement names.
const MOST_FOUND: usize = 200;

/// The plan of a search.
///
/// # Errors
/// [`SearchError::Forbidden`] when no scope opens any of the types, [`SearchError::Store`].
pub(super) async fn plan<C: Select>(
    context: &Context<'_>,
    connection: &C,
    types: &Types,
    mut conditions: Vec<Condition>,
) -> Result<Plan, SearchError> {
    let Types::One(type_id) = types else {
        return Ok(context.plan(types, conditions)?);
    };
    if !conditions.iter().any(is_text) {
        return Ok(context.plan(types, conditions)?);
    }
    let plan = context.plan(types, conditions.clone())?;
    // One patient's rows are soon looked through.
    if plan.pin.is_some() {
        return Ok(plan);
    }
    for condition in conditions.iter_mut().filter(|one| is_text(one)) {
        if let Some(named) = named(connection, *type_id, condition).await? {
            *condition = named;
        }
    }
    Ok(context.plan(types, conditions)?)
}

fn is_text(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::String { param, mode: StringMode::Words, .. } if param.kind == ParamKind::Token
    )
}

/// The same as a list of whole texts, if there are few enough.
async fn named<C: Select>(
    connection: &C,
    type_id: TypeId,
    condition: &Condition,
) -> Result<Option<Condition>, SearchError> {
    let Condition::String { param, values, .. } = condition else {
        return Ok(None);
    };
    let sought: Vec<String> = values.iter().map(|value| normalize(value)).collect();
    if sought
        .iter()
        .any(|one| one.is_empty() || one.chars().count() >= MAX_NORM)
    {
        return Ok(None);
    }
    let of = format!("type = {type_id} AND param = {}", param.id);
    let sql = Sql::new(format!(
        "WITH RECURSIVE texts (norm) AS (\
         SELECT (SELECT MIN(norm) FROM idx_string WHERE {of}) \
         UNION ALL SELECT (SELECT MIN(s.norm) FROM idx_string s WHERE s.{} AND s.norm > t.norm) \
         FROM texts t WHERE t.norm IS NOT NULL) \
         SELECT norm FROM texts WHERE norm IS NOT NULL LIMIT {}",
        of.replace(" AND ", " AND s."),
        MOST_TEXTS + 1
    ));
    let rows = connection.select(sql).await.map_err(SearchError::from)?;
    if rows.len() > MOST_TEXTS {
        return Ok(None);
    }
    let mut found = Vec::new();
    for row in &rows {
        let text: String = row.get(0).map_err(SearchError::from)?;
        if text.chars().count() >= MAX_NORM {
            return Ok(None);
        }
        if sought.iter().any(|words| has_words(&text, words)) {
            found.push(text);
        }
    }
    Ok((found.len() <= MOST_FOUND).then_some(Condition::String {
        param: *param,
        mode: StringMode::Is,
        values: found,
    }))
}

/// Whether the words begin a word of the text. Both are folded.
pub(super) fn has_words(text: &str, words: &str) -> bool {
    let mut starts = WORD_STARTS.iter();
    text.starts_with(words) || starts.any(|before| text.contains(&format!("{before}{words}")))
}

#[cfg(test)]
mod tests {
    use super::has_words;

    #[test]
    fn words_begin_words() {
        for (text, words, expected) in [
            ("glucose [mass/volume] in blood", "glucose", true),
            ("glucose [mass/volume] in blood", "mass", true),
            ("glucose [mass/volume] in blood", "volume] in", true),
            ("glucose [mass/volume] in blood", "lucose", false),
            ("blood glucose", "glucose", true),
            ("bloodglucose", "glucose", false),
        ] {
            assert_eq!(has_words(text, words), expected, "{text}: {words}");
        }
    }
}
