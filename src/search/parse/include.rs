//! `_include` and `_revinclude`: `Type:parameter[:TargetType]`, `Type:*`, `*`, with `:iterate`.

use super::{Problem, Reader, limit};
use crate::fhir::definitions::definitions;
use crate::search::query::{Include, Param, Query};

const EXPECTED: &str = "Type:parameter, Type:parameter:TargetType, Type:* or *";

pub fn read(
    reader: &Reader<'_>,
    query: &mut Query,
    reverse: bool,
    modifier: Option<&str>,
    value: &str,
) -> Result<(), Problem> {
    let name = if reverse { "_revinclude" } else { "_include" };
    let iterate = match modifier {
        None => false,
        // `:recurse` is what STU3 called it.
        Some("iterate" | "recurse") => true,
        Some(other) => return Err(Problem::modifier(name, other)),
    };
    if query.includes.len() >= limit::INCLUDES {
        return Err(Problem::refused(format!(
            "more than {} includes",
            limit::INCLUDES
        )));
    }
    let mut parts = value.split(':');
    let source = match parts.next().unwrap_or_default() {
        "*" if value == "*" => None,
        type_name => Some(
            definitions()
                .type_id(type_name)
                .ok_or_else(|| Problem::value(name, value, EXPECTED))?,
        ),
    };
    let own = match (source, parts.next()) {
        (None, _) | (Some(_), Some("*")) => None,
        (Some(source), Some(code)) => Some(Param(reader.reference_param(source, code, name)?)),
        (Some(_), None) => return Err(Problem::value(name, value, EXPECTED)),
    };
    let target = match parts.next() {
        None => None,
        Some(type_name) => Some(
            definitions()
                .type_id(type_name)
                .ok_or_else(|| Problem::value(name, value, EXPECTED))?,
        ),
    };
    if parts.next().is_some() {
        return Err(Problem::value(name, value, EXPECTED));
    }
    let include = Include {
        reverse,
        iterate,
        source,
        param: own,
        target,
    };
    if !query.includes.contains(&include) {
        query.includes.push(include);
    }
    Ok(())
}
