//! Parameters that shape the answer instead of choosing resources: `_sort`, `_count`, `_total`,
//! `_summary`, `_elements`, `_type`, `_contained`, `_include`, `_revinclude`, `_cursor`.

use super::{Problem, Reader, include, limit};
use crate::fhir::definitions::{ParamKind, definitions};
use crate::search::query::{Contained, Param, Query, Sort, SortBy, Summary, Total, Types, View};
use crate::visibility::record_types;

/// Takes `name=value` if it is one of these; None when it is not.
pub fn read(
    reader: &Reader<'_>,
    query: &mut Query,
    types: &Types,
    name: &str,
    value: &str,
) -> Option<Result<(), Problem>> {
    Some(match name {
        "_sort" => sort(reader, query, types, value),
        "_count" => count(query, value),
        "_total" => total(query, value),
        "_summary" => summary(query, value),
        "_elements" => elements(query, value),
        "_contained" => contained(query, value),
        "_containedType" => match value {
            "container" | "contained" => {
                query.shows_contained = value == "contained";
                Ok(())
            }
            _ => Err(Problem::value(name, value, "container or contained")),
        },
        // Already taken by `types`; a type in the path leaves it no meaning.
        "_type" if matches!(types, Types::Many(_)) => Ok(()),
        "_cursor" => {
            query.cursor = Some(value.to_owned());
            Ok(())
        }
        // How the answer is written: the HTTP layer's, kept for the links.
        "_format" | "_pretty" => Ok(()),
        _ => match name
            .split_once(':')
            .map_or((name, None), |(a, b)| (a, Some(b)))
        {
            ("_include", modifier) => include::read(reader, query, false, modifier, value),
            ("_revinclude", modifier) => include::read(reader, query, true, modifier, value),
            _ => return None,
        },
    })
}

/// The types of a search over the whole system: `_type`, else all.
pub fn types(pairs: &[(String, String)]) -> Result<Types, Problem> {
    let mut types = Vec::new();
    for (_, value) in pairs.iter().filter(|(name, _)| name == "_type") {
        for name in value.split(',') {
            let type_id = definitions()
                .type_id(name)
                .ok_or_else(|| Problem::value("_type", name, "names of resource types"))?;
            types.push(type_id);
        }
    }
    if types.is_empty() {
        types = record_types().collect();
    }
    types.sort_unstable();
    types.dedup();
    Ok(Types::Many(types))
}

fn sort(reader: &Reader<'_>, query: &mut Query, types: &Types, value: &str) -> Result<(), Problem> {
    for key in value.split(',') {
        let (code, descending) = match key.strip_prefix('-') {
            Some(code) => (code, true),
            None => (key, false),
        };
        let keys = match code {
            "_id" => vec![SortBy::Id],
            "_lastUpdated" => vec![SortBy::LastUpdated],
            _ => by_param(reader, types, code)?,
        };
        for by in keys {
            if !query.sort.iter().any(|own| own.by == by) {
                query.sort.push(Sort { by, descending });
            }
        }
    }
    if query.sort.len() > limit::SORTS {
        return Err(Problem::refused(format!(
            "'_sort' has more than {} keys",
            limit::SORTS
        )));
    }
    Ok(())
}

/// A composite sorts by its components, in their order.
fn by_param(reader: &Reader<'_>, types: &Types, code: &str) -> Result<Vec<SortBy>, Problem> {
    let own = |code: &str| reader.param(types.as_slice(), code);
    let param = own(code).map_err(|problem| match problem {
        Problem::Unknown(_) => {
            Problem::value("_sort", code, "search parameters of the type searched")
        }
        problem => problem,
    })?;
    let unsupported = || Problem::unsupported(format!("'{code}' cannot be sorted by"));
    match param.kind {
        ParamKind::Special => Err(unsupported()),
        ParamKind::Composite => param
            .components
            .iter()
            .map(|(component, _)| {
                let param = own(&component.code).map_err(|_| unsupported())?;
                Ok(SortBy::Param(Param(param)))
            })
            .collect(),
        _ => Ok(vec![SortBy::Param(Param(param))]),
    }
}

fn count(query: &mut Query, value: &str) -> Result<(), Problem> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::value("_count", value, "a whole number, 0 or more"));
    }
    // More than fits is more than a page holds.
    let count = value
        .parse()
        .unwrap_or(limit::MAX_COUNT)
        .min(limit::MAX_COUNT);
    if count == 0 {
        query.view = View::Count;
    }
    query.count = Some(count);
    Ok(())
}

fn total(query: &mut Query, value: &str) -> Result<(), Problem> {
    query.total = match value {
        "none" => Total::None,
        "estimate" => Total::Estimate,
        "accurate" => Total::Accurate,
        _ => {
            return Err(Problem::value(
                "_total",
                value,
                "none, estimate or accurate",
            ));
        }
    };
    Ok(())
}

fn summary(query: &mut Query, value: &str) -> Result<(), Problem> {
    let view = match value {
        "true" => View::Summary(Summary::True),
        "text" => View::Summary(Summary::Text),
        "data" => View::Summary(Summary::Data),
        "count" => View::Count,
        "false" => return Ok(()),
        _ => {
            return Err(Problem::value(
                "_summary",
                value,
                "true, text, data, count or false",
            ));
        }
    };
    set_view(query, view)
}

fn elements(query: &mut Query, value: &str) -> Result<(), Problem> {
    let mut names = Vec::new();
    for name in value.split(',') {
        // `Patient.name` is `name` of patients alone; parts of elements are not told apart.
        let own = match name.split_once('.') {
            Some((type_name, own)) if definitions().type_id(type_name).is_some() => own,
            _ => name,
        };
        let is_name = !own.is_empty()
            && own.len() <= 64
            && own
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name {
            return Err(Problem::value(
                "_elements",
                name,
                "names of elements at the top of the resource",
            ));
        }
        names.push(name.to_owned());
    }
    if let View::Elements(own) = &mut query.view {
        own.append(&mut names);
        return Ok(());
    }
    set_view(query, View::Elements(names))
}

/// Refuses elements of types that the answer cannot hold: neither searched nor, perhaps, included.
pub(super) fn check_elements(query: &Query, types: &Types) -> Result<(), Problem> {
    let View::Elements(names) = &query.view else {
        return Ok(());
    };
    let is_searched = |type_name: &str| {
        let mut all = types.as_slice().iter();
        all.any(|own| definitions().type_name(*own) == type_name)
    };
    let stray = names
        .iter()
        .find(|name| matches!(name.split_once('.'), Some((of, _)) if !is_searched(of)));
    match stray.filter(|_| query.includes.is_empty()) {
        None => Ok(()),
        Some(name) => Err(Problem::value(
            "_elements",
            name,
            "elements of the type searched, or of what is included",
        )),
    }
}

fn contained(query: &mut Query, value: &str) -> Result<(), Problem> {
    query.contained = match value {
        "false" => Contained::No,
        "true" => Contained::Only,
        "both" => Contained::Both,
        _ => return Err(Problem::value("_contained", value, "true, false or both")),
    };
    Ok(())
}

fn set_view(query: &mut Query, view: View) -> Result<(), Problem> {
    match (&query.view, &view) {
        (View::Count, _) => return Ok(()),
        (View::Full, _) | (_, View::Count) => {}
        (own, new) if own == new => {}
        _ => {
            return Err(Problem::refused(
                "'_summary' and '_elements' contradict each other: use one of them",
            ));
        }
    }
    query.view = view;
    Ok(())
}
