//! Which condition leads. Neither database can know: SQLite has no statistics here and does not
//! reorder correlated subqueries, PostgreSQL's do not see through hashes. FHIR's own vocabulary
//! tells enough: an identifier finds one, a code finds some, a status finds nearly all.

use super::Plan;
use crate::search::extract::is_required_code;
use crate::search::query::{Condition, Prefix, SpanTest, StringMode, SystemTest, Types, UriMode};
use crate::visibility::access_log;

/// From here on a condition is expected to leave a handful of rows.
pub const SELECTIVE: u32 = 600;

/// Below this, walking the resource table in id order and probing is no worse.
const WORTHWHILE: u32 = 20;

/// Codes whose neighbourhoods are read one by one.
const MOST_EXCEPTED: usize = 10;

/// What many resources may share.
const HUB: u32 = 350;

/// Exceptions to a code that every resource has lead only where nothing else does.
const EXCEPTION: u32 = 30;

/// Takes the condition that leads out of the plan's conditions. `pinned`: the patient column is
/// restricted.
pub fn choose(plan: &mut Plan, pinned: bool) {
    if matches!(plan.types, Types::Many(_)) {
        // Index rows are by type: the resource table leads, except for a few ids.
        let leads = |condition: &Condition| {
            matches!(condition, Condition::Id(_) | Condition::Compartment(_))
        };
        let ids = plan.conditions.iter().position(leads);
        if let Some(at) = ids {
            plan.driver = Some(plan.conditions.remove(at));
            plan.rank = 1_000;
        }
        return;
    }
    let best = plan
        .conditions
        .iter()
        .enumerate()
        // The first of equals: `max_by_key` keeps the last.
        .rev()
        .map(|(at, condition)| {
            let rank = match condition {
                // A patient may have any number of accesses.
                Condition::Reference { .. } | Condition::Compartment(_)
                    if plan.types == Types::One(access_log()) =>
                {
                    rank(condition, pinned).min(HUB)
                }
                // What is not as usual: nobody knows how many, but an index finds them.
                Condition::Token { not: true, .. } if is_exception(&plan.types, condition) => {
                    if pinned {
                        0
                    } else {
                        EXCEPTION
                    }
                }
                _ => rank(condition, pinned),
            };
            (rank, at)
        })
        .max_by_key(|(rank, _)| *rank);
    if let Some((rank, at)) = best
        && rank >= WORTHWHILE
    {
        plan.driver = Some(plan.conditions.remove(at));
        plan.rank = rank;
    }
}

/// Whether an index has the resources whose one code is none of those that a condition names.
#[must_use]
pub fn is_exception(types: &Types, condition: &Condition) -> bool {
    match (types, condition) {
        (
            Types::One(type_id),
            Condition::Token {
                param,
                values,
                not: true,
            },
        ) => {
            values.len() <= MOST_EXCEPTED
                && values
                    .iter()
                    .all(|value| value.code.is_some() && value.system == SystemTest::Any)
                && is_required_code(*type_id, param.0)
        }
        _ => false,
    }
}

/// How few rows a condition promises to leave; 0: it cannot lead. `pinned`: the patient column is
/// restricted, so only tables with the patient in an index compete.
#[must_use]
pub fn rank(condition: &Condition, pinned: bool) -> u32 {
    let unless_pinned = |rank| if pinned { 0 } else { rank };
    match condition {
        Condition::Id(_) => 1_000,
        Condition::Text { .. } => unless_pinned(400),
        Condition::Hierarchy { .. } => unless_pinned(420),
        Condition::Compartment(_) => unless_pinned(SELECTIVE + 50),
        Condition::Reference { param, values } => {
            let rank = if HUBS.contains(&param.code.as_str()) {
                unless_pinned(HUB)
            } else {
                800
            };
            fewer(rank, values.len())
        }
        Condition::Token { param, values, not } => {
            if *not {
                return 0;
            }
            if values.iter().any(|value| value.code.is_none()) {
                return 100;
            }
            let code = param.code.as_str();
            let rank = if code == "identifier" {
                900
            } else if COARSE.contains(&code) {
                200
            } else {
                500
            };
            fewer(rank, values.len())
        }
        Condition::Uri {
            param,
            mode,
            values,
        } => {
            let rank = match mode {
                _ if param.code == "_profile" => 150,
                UriMode::Exact | UriMode::Above => 700,
                UriMode::Below => 300,
            };
            unless_pinned(fewer(rank, values.len()))
        }
        Condition::String { mode, values, .. } => {
            let shortest = values.iter().map(|v| v.chars().count()).min().unwrap_or(0);
            let rank = match mode {
                StringMode::Exact | StringMode::Is => 650,
                StringMode::Prefix if shortest >= 3 => SELECTIVE,
                StringMode::Prefix => 300,
                StringMode::Contains
                | StringMode::Words
                | StringMode::Ends
                | StringMode::After
                | StringMode::From
                | StringMode::Before
                | StringMode::UpTo => 90,
            };
            unless_pinned(fewer(rank, values.len()))
        }
        Condition::Composite { .. } => unless_pinned(450),
        Condition::Near { values, .. } => unless_pinned(fewer(400, values.len())),
        Condition::Date { values, .. } => span_rank(values),
        Condition::LastUpdated(values) => unless_pinned(span_rank(values).saturating_sub(10)),
        Condition::Quantity { values, .. } => {
            number_rank(values.iter().map(|value| value.number.prefix))
        }
        Condition::Number { values, .. } => {
            unless_pinned(number_rank(values.iter().map(|value| value.prefix)))
        }
        Condition::Chain { links, .. } => {
            let weakest = links.iter().map(|(_, own)| rank(own, false)).min();
            let rank = if links.len() > 3 {
                0
            } else {
                weakest.unwrap_or(0)
            };
            unless_pinned(rank.saturating_sub(100))
        }
        Condition::Has { condition, .. } => {
            unless_pinned(rank(condition, false).saturating_sub(100))
        }
        Condition::Patient(_)
        | Condition::PatientIs(_)
        | Condition::Exists(..)
        | Condition::Unnoted
        | Condition::Missing { .. }
        | Condition::Unsorted(_)
        | Condition::Any(_)
        | Condition::All(_)
        | Condition::Not(_)
        | Condition::ValueSet { .. }
        | Condition::Subsumed { .. } => 0,
    }
}

/// Alternatives make a condition weaker, by steps so that a few change nothing.
fn fewer(rank: u32, alternatives: usize) -> u32 {
    let steps = u32::try_from(alternatives / 10).unwrap_or(u32::MAX);
    rank.saturating_sub(steps.saturating_mul(20)).max(30)
}

fn span_rank(values: &[SpanTest]) -> u32 {
    const DAY: i64 = 86_400_000;
    let narrow =
        |value: &SpanTest| matches!(value.prefix, Prefix::Eq) && value.high - value.low <= 2 * DAY;
    if values.iter().all(narrow) {
        400
    } else if values.iter().any(|value| value.prefix == Prefix::Ne) {
        40
    } else {
        250
    }
}

fn number_rank(mut prefixes: impl Iterator<Item = Prefix>) -> u32 {
    if prefixes.all(|prefix| prefix == Prefix::Eq) {
        350
    } else {
        150
    }
}

/// References that many resources share.
const HUBS: &[&str] = &[
    "actor",
    "agent",
    "attester",
    "author",
    "authenticator",
    "custodian",
    "enterer",
    "general-practitioner",
    "insurer",
    "location",
    "managing-organization",
    "manufacturer",
    "organization",
    "owner",
    "participant",
    "payor",
    "performer",
    "practitioner",
    "primary-organization",
    "provider",
    "receiver",
    "recorder",
    "requester",
    "sender",
    "service-provider",
    "source",
];

/// Tokens with few codes.
const COARSE: &[&str] = &[
    "_security",
    "_tag",
    "active",
    "address-use",
    "category",
    "class",
    "clinical-status",
    "criticality",
    "deceased",
    "format",
    "gender",
    "intent",
    "language",
    "lifecycle-status",
    "priority",
    "severity",
    "status",
    "use",
    "verification-status",
];
