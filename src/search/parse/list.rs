//! `_list`: resources that stand in a List which exists for the viewer, and the current ones that a
//! server knows without a List (FHIR R4 search, 3.1.1.4.14; lifecycle "Current resource lists").

use super::split::unescape;
use super::{Problem, Reader, reference};
use crate::fhir::definitions::{TypeId, definitions};
use crate::search::query::{Condition, Param};

/// A current list: its name, the type, and what of that is current.
type Current = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CURRENT: &[Current] = &[
    (
        "$current-problems",
        "Condition",
        &[
            ("category", "problem-list-item"),
            ("clinical-status", "active,recurrence,relapse"),
            ("verification-status:not", "refuted,entered-in-error"),
        ],
    ),
    (
        "$current-medications",
        "MedicationStatement",
        &[("status", "active")],
    ),
    (
        "$current-medications",
        "MedicationRequest",
        &[("status", "active")],
    ),
    (
        "$current-allergies",
        "AllergyIntolerance",
        &[
            ("clinical-status", "active"),
            ("verification-status:not", "refuted,entered-in-error"),
        ],
    ),
    (
        "$current-drug-allergies",
        "AllergyIntolerance",
        &[
            ("category", "medication"),
            ("clinical-status", "active"),
            ("verification-status:not", "refuted,entered-in-error"),
        ],
    ),
];

impl Reader<'_> {
    /// `_list=$current-problems`.
    fn current(&mut self, types: &[TypeId], name: &str) -> Result<Condition, Problem> {
        let own = match types {
            [one] => definitions().type_name(*one),
            _ => "",
        };
        let (_, _, parts) = CURRENT
            .iter()
            .find(|(known, type_name, _)| *known == name && *type_name == own)
            .ok_or_else(|| {
                Problem::unsupported(
                    "'_list' takes the id of a List, '$current-problems' on Condition, \
                     '$current-medications' on MedicationRequest and MedicationStatement, and \
                     '$current-allergies' and '$current-drug-allergies' on AllergyIntolerance",
                )
            })?;
        let all = parts
            .iter()
            .map(|(param, value)| self.condition(types, param, value))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Condition::All(all))
    }

    /// `_list=42`, `_list=List/42`: the same as `_has:List:item:_id=42`.
    pub(super) fn list(&mut self, types: &[TypeId], raw: &str) -> Result<Condition, Problem> {
        let pieces = self.pieces("_list", raw)?;
        if let [one] = pieces.as_slice()
            && one.starts_with('$')
        {
            return self.current(types, one);
        }
        let mut ids = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let id = unescape(piece);
            if id.starts_with('$') {
                return Err(Problem::unsupported(
                    "'_list': a current list ('$current-problems') stands alone",
                ));
            }
            let id = id.strip_prefix("List/").unwrap_or(&id).to_owned();
            if !reference::is_id(&id) {
                return Err(Problem::value("_list", &id, "the id of a List"));
            }
            ids.push(id);
        }
        let source = definitions().type_id("List");
        let item = source.and_then(|source| definitions().search_param(source, "item"));
        match (source, item) {
            (Some(source), Some(item)) => Ok(Condition::Has {
                source,
                param: Param(item),
                condition: Box::new(Condition::Id(ids)),
            }),
            _ => Err(Problem::Unknown("_list".to_owned())),
        }
    }
}
