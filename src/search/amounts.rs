//! Quantities in composites, in whatever UCUM unit they were written. `idx_quantity` has a second row in
//! the canonical unit for that; `idx_composite` has every occurrence once, as it was written, so the
//! number that is asked for is converted instead, to each unit that stands beside the code in the index
//! (`composite_unit`, filled by the writes that bring such units). Most codes have one, and for them an
//! index finds the rows as it does without a unit.

use std::collections::{BTreeMap, BTreeSet};

use super::SearchError;
use super::extract::units::{Canonical, canonical};
use super::extract::{beside, fold};
use super::query::{Amount, CodeTest, ComponentTest, Condition, Param, QuantityTest};
use super::sql::quantity::unit_of;
use crate::fhir::outcome::Issue;
use crate::keys::Keys;
use crate::sql::Sql;
use crate::store::Select;

/// Numbers in one search, all conversions counted: each is a part of the statement, which has room for
/// some 30,000 values. A code has one or two units, rarely more than five.
const MOST: usize = 7_000;

/// Replaces quantities in UCUM by what they are in the units that stand in the index. What a write that
/// is not committed brings is known on its own connection alone.
///
/// # Errors
/// [`SearchError::Invalid`] where there are too many, [`SearchError::Store`].
pub(super) async fn resolve<C: Select>(
    keys: &Keys,
    connection: &C,
    conditions: &mut [Condition],
) -> Result<(), SearchError> {
    let mut values = Vec::new();
    for condition in conditions {
        in_ucum(condition, &mut values);
    }
    if values.is_empty() {
        return Ok(());
    }
    let asked: Vec<Option<i64>> = values
        .iter()
        .map(|(param, parts)| code_beside(keys, *param, parts))
        .collect();
    let units = Units::read(connection, &asked).await?;
    let mut count = 0;
    for ((_, parts), code) in values.into_iter().zip(asked) {
        for part in parts {
            let ComponentTest::Quantity(test) = part else {
                continue;
            };
            if let Some(amounts) = amounts(test, units.beside(code)) {
                count += amounts.len().max(1);
                *part = ComponentTest::Amounts(amounts);
            }
        }
        if count > MOST {
            let words = "too many values of composites with units; ask for fewer at once";
            return Err(SearchError::invalid(Issue::error("too-costly", words)));
        }
    }
    Ok(())
}

/// The values of composites that have a quantity in UCUM.
fn in_ucum<'c>(condition: &'c mut Condition, found: &mut Vec<(Param, &'c mut Vec<ComponentTest>)>) {
    if let Condition::Composite { param, values } = condition {
        let is_in_ucum = |part: &ComponentTest| matches!(part, ComponentTest::Quantity(test) if unit_of(test).is_some());
        let own = values
            .iter_mut()
            .filter(|parts| parts.iter().any(is_in_ucum));
        found.extend(own.map(|parts| (*param, parts)));
        return;
    }
    for inner in condition.inner_mut() {
        in_ucum(inner, found);
    }
}

/// The code under which `composite_unit` has the units of a value; None: under any.
fn code_beside(keys: &Keys, param: Param, parts: &[ComponentTest]) -> Option<i64> {
    let first = parts.iter().find(|part| {
        matches!(
            part,
            ComponentTest::Token(_) | ComponentTest::Reference(_) | ComponentTest::Quantity(_)
        )
    });
    match first {
        Some(ComponentTest::Token(token)) => match &token.code {
            Some(CodeTest::Is(code)) => Some(beside(param.0, Some(keys.code(&fold(code))))),
            _ => None,
        },
        Some(ComponentTest::Quantity(_)) => Some(beside(param.0, None)),
        _ => None,
    }
}

/// A quantity in each of these units that converts to its own; None where it is not in UCUM. Units of
/// one size share a number.
pub(super) fn amounts<'u>(
    test: &QuantityTest,
    units: impl Iterator<Item = &'u str>,
) -> Option<Vec<Amount>> {
    let asked = unit_of(test)?;
    let mut sizes: Vec<(Canonical, Amount)> = Vec::new();
    for unit in units {
        let Some(own) = canonical(unit).filter(|own| own.unit == asked.unit) else {
            continue;
        };
        if let Some((_, amount)) = sizes.iter_mut().find(|(size, _)| *size == own) {
            amount.units.push(unit.to_owned());
            continue;
        }
        let number = if own == asked {
            test.number
        } else {
            test.number.map(|number| own.revert(asked.convert(number)))
        };
        let units = vec![unit.to_owned()];
        sizes.push((own, Amount { number, units }));
    }
    Some(sizes.into_iter().map(|(_, amount)| amount).collect())
}

/// What `composite_unit` has of some codes.
struct Units(BTreeMap<i64, BTreeSet<String>>);

impl Units {
    async fn read<C: Select>(connection: &C, codes: &[Option<i64>]) -> Result<Self, SearchError> {
        let mut sql = Sql::new("SELECT code, unit FROM composite_unit");
        if codes.iter().all(Option::is_some) {
            let codes: BTreeSet<i64> = codes.iter().flatten().copied().collect();
            let list = sql.bind_list(codes);
            sql.push(&format!(" WHERE code IN {list}"));
        }
        let mut units: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
        for row in connection.select(sql).await.map_err(SearchError::from)? {
            let (code, unit): (i64, String) = (
                row.get(0).map_err(SearchError::from)?,
                row.get(1).map_err(SearchError::from)?,
            );
            units.entry(code).or_default().insert(unit);
        }
        Ok(Self(units))
    }

    fn beside(&self, code: Option<i64>) -> impl Iterator<Item = &str> {
        let all: BTreeSet<&str> = match code {
            Some(code) => self
                .0
                .get(&code)
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect(),
            None => self.0.values().flatten().map(String::as_str).collect(),
        };
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::parse::value::quantity;

    #[test]
    fn a_number_is_converted_to_each_unit_of_its_kind() {
        let asked = quantity("gt1.8|http://unitsofmeasure.org|m").unwrap();
        let units = ["cm", "kg", "m", "meter", "mm", "cm{standing}", "[in_i]"];
        let found: Vec<(String, f64)> = amounts(&asked, units.into_iter())
            .unwrap()
            .into_iter()
            .map(|amount| (amount.units.join(" "), amount.number.value))
            .collect();
        let expected = [
            ("cm cm{standing}", 180.0),
            ("m", 1.8),
            ("mm", 1800.0),
            ("[in_i]", 70.866_141_732_3),
        ];
        assert_eq!(
            found,
            expected.map(|(units, value)| (units.to_owned(), value))
        );
        assert_eq!(amounts(&quantity("1||m").unwrap(), units.into_iter()), None);
        let none = amounts(&asked, ["kg"].into_iter());
        assert_eq!(none, Some(Vec::new()));
    }
}
