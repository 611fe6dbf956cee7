//! The values of one parameter, by its kind: tokens, strings, URIs, references, quantities,
//! composites.

use super::split::{split, unescape};
use super::{Problem, Reader, date, limit, near, number};
use crate::fhir::definitions::{ParamKind, SearchParam, TypeId, definitions};
use crate::search::extract::finds_identifiers;
use crate::search::query::{
    CodeTest, ComponentTest, Condition, Hierarchy, Param, QuantityTest, StringMode, SystemTest,
    Target, TokenTest, UriMode,
};

/// The condition of `code[:modifier]=raw` on a parameter that the type has.
pub fn condition(
    reader: &mut Reader<'_>,
    types: &[TypeId],
    param: &'static SearchParam,
    modifier: Option<&str>,
    raw: &str,
) -> Result<Condition, Problem> {
    let name = param.code.as_str();
    if param.kind == ParamKind::Special && name != "near" {
        return Err(Problem::unsupported(format!(
            "the search parameter '{name}' is not supported"
        )));
    }
    if modifier == Some("missing") {
        let missing = match raw {
            "true" => true,
            "false" => false,
            _ => return Err(Problem::value(name, raw, "true or false")),
        };
        if matches!(name, "_id" | "_lastUpdated") {
            // Every resource has both, and none has this id.
            let none = Condition::Id(vec![String::new()]);
            return Ok(match missing {
                true => none,
                false => Condition::Not(Box::new(none)),
            });
        }
        return Ok(Condition::Missing {
            param: Param(param),
            missing,
        });
    }
    let pieces = reader.pieces(name, raw)?;
    match name {
        "_id" => return ids(modifier, &pieces),
        "_lastUpdated" => {
            no_modifier(name, modifier)?;
            return each(&pieces, name, date::EXPECTED, date::parse).map(Condition::LastUpdated);
        }
        _ => {}
    }
    let own = Param(param);
    match param.kind {
        ParamKind::Token => token_condition(types, own, modifier, &pieces),
        ParamKind::String => {
            let mode = match modifier {
                None => StringMode::Prefix,
                Some("exact") => StringMode::Exact,
                Some("contains") => StringMode::Contains,
                Some(other) => return Err(Problem::modifier(name, other)),
            };
            strings(own, mode, &pieces)
        }
        ParamKind::Date => {
            no_modifier(name, modifier)?;
            let values = each(&pieces, name, date::EXPECTED, date::parse)?;
            Ok(Condition::Date { param: own, values })
        }
        ParamKind::Number => {
            no_modifier(name, modifier)?;
            let values = each(&pieces, name, number::EXPECTED, number::parse)?;
            Ok(Condition::Number { param: own, values })
        }
        ParamKind::Quantity => {
            no_modifier(name, modifier)?;
            let values = each(&pieces, name, QUANTITY, quantity)?;
            Ok(Condition::Quantity { param: own, values })
        }
        ParamKind::Uri => {
            let mode = match modifier {
                None => UriMode::Exact,
                Some("below") => UriMode::Below,
                Some("above") => UriMode::Above,
                Some(other) => return Err(Problem::modifier(name, other)),
            };
            let values = texts(name, &pieces)?;
            Ok(Condition::Uri {
                param: own,
                mode,
                values,
            })
        }
        ParamKind::Reference => reference_condition(reader, types, own, modifier, &pieces),
        ParamKind::Composite => {
            no_modifier(name, modifier)?;
            let values = pieces
                .iter()
                .map(|piece| composite(reader, types, param, piece))
                .collect::<Result<_, _>>()?;
            Ok(Condition::Composite { param: own, values })
        }
        // Only `near` comes here.
        ParamKind::Special => {
            no_modifier(name, modifier)?;
            let values = each(&pieces, name, near::EXPECTED, near::parse)?;
            Ok(Condition::Near { param: own, values })
        }
    }
}

const TOKEN: &str = "code, system|code, |code or system| (a '|' inside a value is written \\|)";
const SUBSUMED: &str = "system|code";
const OF_TYPE: &str = "system|code|value: the identifier's type, then its value";
const QUANTITY: &str =
    "number, number|system|code or number||code, with an optional prefix (eq, ne, gt, lt, ...)";
const REFERENCE: &str = "Type/id, id or an absolute URL";

fn no_modifier(name: &str, modifier: Option<&str>) -> Result<(), Problem> {
    modifier.map_or(Ok(()), |modifier| Err(Problem::modifier(name, modifier)))
}

fn each<T>(
    pieces: &[&str],
    name: &str,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Problem> {
    pieces
        .iter()
        .map(|piece| parse(piece).ok_or_else(|| Problem::value(name, piece, expected)))
        .collect()
}

fn texts(name: &str, pieces: &[&str]) -> Result<Vec<String>, Problem> {
    pieces
        .iter()
        .map(|piece| {
            let text = unescape(piece);
            if text.chars().count() > limit::TEXT {
                return Err(Problem::refused(format!(
                    "a value of '{name}' is longer than {} characters",
                    limit::TEXT
                )));
            }
            Ok(text)
        })
        .collect()
}

fn strings(param: Param, mode: StringMode, pieces: &[&str]) -> Result<Condition, Problem> {
    let values = texts(&param.code, pieces)?;
    Ok(Condition::String {
        param,
        mode,
        values,
    })
}

fn ids(modifier: Option<&str>, pieces: &[&str]) -> Result<Condition, Problem> {
    // What cannot be an id finds nothing; it is no error to ask.
    let one = Condition::Id(pieces.iter().map(|p| unescape(p)).collect());
    match modifier {
        None => Ok(one),
        Some("not") => Ok(Condition::Not(Box::new(one))),
        Some(other) => Err(Problem::modifier("_id", other)),
    }
}

fn token_condition(
    types: &[TypeId],
    param: Param,
    modifier: Option<&str>,
    pieces: &[&str],
) -> Result<Condition, Problem> {
    let not = match modifier {
        None => false,
        Some("not") => true,
        Some(modifier @ ("in" | "not-in")) => {
            return Ok(Condition::ValueSet {
                param,
                sets: texts(&param.code, pieces)?,
                not: modifier == "not-in",
            });
        }
        Some(modifier @ ("above" | "below")) => {
            let values = each(pieces, &param.code, SUBSUMED, |piece| match token(piece)? {
                TokenTest {
                    system: SystemTest::Is(system),
                    code: Some(CodeTest::Is(code)),
                } => Some((system, code)),
                _ => None,
            })?;
            return Ok(Condition::Subsumed {
                param,
                values,
                is_up: modifier == "above",
            });
        }
        Some("text") => return strings(param, StringMode::Words, pieces),
        Some("of-type") if types.iter().any(|own| finds_identifiers(*own, param.0)) => {
            let values = each(pieces, &param.code, OF_TYPE, of_type)?;
            return Ok(Condition::Token {
                param,
                values,
                not: false,
            });
        }
        Some(other) => return Err(Problem::modifier(&param.code, other)),
    };
    let mut values = each(pieces, &param.code, TOKEN, token)?;
    let booleans: Vec<TokenTest> = values.iter().filter_map(boolean).collect();
    values.extend(booleans);
    Ok(Condition::Token { param, values, not })
}

/// The system that booleans have without saying so (R4 search, 3.1.1.4.11).
const SPECIAL_VALUES: &str = "http://hl7.org/fhir/special-values";

/// The test of booleans, in the index without a system, where their implied system is asked for.
fn boolean(test: &TokenTest) -> Option<TokenTest> {
    match test {
        TokenTest {
            system: SystemTest::Is(system),
            code: Some(CodeTest::Is(code)),
        } if system == SPECIAL_VALUES && matches!(code.as_str(), "true" | "false") => {
            Some(TokenTest {
                system: SystemTest::None,
                code: test.code.clone(),
            })
        }
        _ => None,
    }
}

/// `system|code`, `|code`, `system|` or `code`.
pub fn token(piece: &str) -> Option<TokenTest> {
    let test = match *split(piece, '|').as_slice() {
        [code] if !code.is_empty() => TokenTest {
            system: SystemTest::Any,
            code: Some(CodeTest::Is(unescape(code))),
        },
        ["", code] if !code.is_empty() => TokenTest {
            system: SystemTest::None,
            code: Some(CodeTest::Is(unescape(code))),
        },
        [system, code] if !system.is_empty() => TokenTest {
            system: SystemTest::Is(unescape(system)),
            code: (!code.is_empty()).then(|| CodeTest::Is(unescape(code))),
        },
        _ => return None,
    };
    Some(test)
}

/// `system|code|value` of `:of-type`.
fn of_type(piece: &str) -> Option<TokenTest> {
    match *split(piece, '|').as_slice() {
        [system, type_code, value] if !type_code.is_empty() && !value.is_empty() => {
            Some(TokenTest {
                system: if system.is_empty() {
                    SystemTest::Any
                } else {
                    SystemTest::Is(unescape(system))
                },
                code: Some(CodeTest::OfType {
                    type_code: unescape(type_code),
                    value: unescape(value),
                }),
            })
        }
        _ => None,
    }
}

/// `number`, `number|system|code` or `number||code`.
pub fn quantity(piece: &str) -> Option<QuantityTest> {
    let (amount, system, unit) = match *split(piece, '|').as_slice() {
        [amount] => (amount, "", ""),
        [amount, system, unit] => (amount, system, unit),
        _ => return None,
    };
    Some(QuantityTest {
        number: number::parse(amount)?,
        system: if system.is_empty() {
            SystemTest::Any
        } else {
            SystemTest::Is(unescape(system))
        },
        unit: (!unit.is_empty()).then(|| unescape(unit)),
    })
}

fn reference_condition(
    reader: &Reader<'_>,
    types: &[TypeId],
    param: Param,
    modifier: Option<&str>,
    pieces: &[&str],
) -> Result<Condition, Problem> {
    let name = param.code.as_str();
    let only = match modifier {
        None => None,
        Some("identifier") => {
            let values = each(pieces, name, TOKEN, token)?;
            return Ok(Condition::Token {
                param,
                values,
                not: false,
            });
        }
        Some(modifier @ ("above" | "below")) => {
            return hierarchy(reader, types, param, modifier == "above", pieces);
        }
        Some(other) => match definitions().type_id(other) {
            Some(only) => Some(only),
            None => return Err(Problem::modifier(name, other)),
        },
    };
    let mut values = Vec::new();
    for piece in pieces {
        let found = reader.targets(types, param.0, only, &unescape(piece));
        values.extend(found.ok_or_else(|| Problem::value(name, piece, REFERENCE))?);
    }
    values.dedup();
    // What points elsewhere may be a canonical, which is indexed as a URI.
    let urls: Vec<String> = values
        .iter()
        .filter_map(|value| match value {
            Target::Url(url) => Some(url.clone()),
            Target::Local(..) => None,
        })
        .collect();
    let references = Condition::Reference { param, values };
    if urls.is_empty() {
        return Ok(references);
    }
    let canonicals = Condition::Uri {
        param,
        mode: UriMode::Exact,
        values: urls,
    };
    Ok(Condition::Any(vec![references, canonicals]))
}

/// `:below` and `:above`: a canonical with a part of its version, a URL by its path, or a resource
/// in a hierarchy of its type.
fn hierarchy(
    reader: &Reader<'_>,
    types: &[TypeId],
    param: Param,
    is_up: bool,
    pieces: &[&str],
) -> Result<Condition, Problem> {
    let name = param.code.as_str();
    let mut any = Vec::new();
    for piece in pieces {
        let text = unescape(piece);
        let targets = reader
            .targets(types, param.0, None, &text)
            .ok_or_else(|| Problem::value(name, piece, REFERENCE))?;
        for target in targets {
            match target {
                Target::Url(url) => any.push(Condition::Uri {
                    param,
                    mode: if is_up {
                        UriMode::Above
                    } else {
                        UriMode::Below
                    },
                    values: vec![url],
                }),
                Target::Local(type_id, id) => {
                    let part_of = ["partof", "part-of"]
                        .iter()
                        .find_map(|code| definitions().search_param(type_id, code))
                        .filter(|part_of| part_of.targets.contains(&type_id));
                    if let Some(part_of) = part_of {
                        any.push(Condition::Hierarchy {
                            param,
                            of: Hierarchy {
                                type_id,
                                id,
                                part_of: Param(part_of),
                                is_up,
                            },
                        });
                    }
                }
            }
        }
    }
    if any.is_empty() {
        return Err(Problem::unsupported(format!(
            "'{name}' refers to no type with a hierarchy (part of) that ':above' and ':below' follow"
        )));
    }
    Ok(match any.pop() {
        Some(one) if any.is_empty() => one,
        last => {
            any.extend(last);
            Condition::Any(any)
        }
    })
}

fn composite(
    reader: &Reader<'_>,
    types: &[TypeId],
    param: &'static SearchParam,
    piece: &str,
) -> Result<Vec<ComponentTest>, Problem> {
    let name = param.code.as_str();
    let parts = split(piece, '$');
    let kinds: Vec<ParamKind> = param.components.iter().map(|(c, _)| c.kind).collect();
    let expected = "one value for each component, joined with '$'";
    if parts.len() != kinds.len() {
        return Err(Problem::value(name, piece, expected));
    }
    let test = |(kind, part): (&ParamKind, &str)| {
        Some(match kind {
            ParamKind::Token => ComponentTest::Token(token(part)?),
            ParamKind::String if !part.is_empty() => ComponentTest::String(unescape(part)),
            ParamKind::Uri if !part.is_empty() => ComponentTest::Uri(unescape(part)),
            ParamKind::Number => ComponentTest::Number(number::parse(part)?),
            ParamKind::Quantity => ComponentTest::Quantity(quantity(part)?),
            ParamKind::Date => ComponentTest::Date(date::parse(part)?),
            ParamKind::Reference => {
                ComponentTest::Reference(reader.targets(types, param, None, &unescape(part))?)
            }
            _ => return None,
        })
    };
    kinds
        .iter()
        .zip(parts)
        .map(|pair| test(pair).ok_or_else(|| Problem::value(name, piece, expected)))
        .collect()
}
