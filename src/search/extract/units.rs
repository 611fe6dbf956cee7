//! Units of UCUM in their canonical form, so that `5 mg` is found by `0.005 g`: the second row of a
//! quantity in `idx_quantity`, with a system of its own.

use std::collections::HashMap;
use std::sync::{LazyLock, RwLock};

use crate::keys::Keys;

/// The system of UCUM's codes.
pub const UCUM: &str = "http://unitsofmeasure.org";

/// Units remembered; a record has a few hundred.
const REMEMBERED: usize = 4_096;
/// Longest unit that is looked at.
const LONGEST: usize = 64;

/// A value `v` in a unit is `v × factor + offset` in the canonical one.
#[derive(Clone, Debug, PartialEq)]
pub struct Canonical {
    pub unit: String,
    factor: f64,
    offset: f64,
}

impl Canonical {
    /// The value in the canonical unit, to 12 digits: what two units make of the same amount must
    /// be the same number. Open ends stay open.
    #[must_use]
    pub fn convert(&self, value: f64) -> f64 {
        if value <= f64::MIN || value >= f64::MAX {
            return value;
        }
        rounded(value * self.factor + self.offset)
    }

    /// The value in this unit of one in the canonical unit.
    #[must_use]
    pub fn revert(&self, value: f64) -> f64 {
        if value <= f64::MIN || value >= f64::MAX {
            return value;
        }
        rounded((value - self.offset) / self.factor)
    }

    /// `idx_quantity.code` of a canonical unit.
    #[must_use]
    pub fn code(&self, keys: &Keys) -> i64 {
        keys.code(&format!("canonical {}", self.unit))
    }

    /// `idx_quantity.system` of all canonical units.
    #[must_use]
    pub fn system(keys: &Keys) -> i32 {
        keys.system("canonical units")
    }
}

fn rounded(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// The canonical form of a UCUM code; None for what is none, and for logarithmic scales.
#[must_use]
pub fn canonical(unit: &str) -> Option<Canonical> {
    static KNOWN: LazyLock<RwLock<HashMap<String, Option<Canonical>>>> =
        LazyLock::new(RwLock::default);
    if unit.is_empty() || unit.len() > LONGEST {
        return None;
    }
    if let Ok(known) = KNOWN.read()
        && let Some(found) = known.get(unit)
    {
        return found.clone();
    }
    let found = octofhir_ucum::get_canonical_units(unit)
        .ok()
        .map(|own| Canonical {
            unit: own.unit,
            factor: own.factor.to_f64(),
            offset: own.offset.to_f64(),
        })
        .filter(|own| own.factor.is_normal() && own.factor > 0.0 && own.offset.is_finite());
    if let Ok(mut known) = KNOWN.write()
        && known.len() < REMEMBERED
    {
        known.insert(unit.to_owned(), found.clone());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_amount_is_the_same_number() {
        let of = |value: f64, unit: &str| {
            let own = canonical(unit).unwrap();
            (own.convert(value), own.unit)
        };
        assert_eq!(of(5.0, "mg"), of(0.005, "g"));
        assert_eq!(of(5.4, "mg/dL"), of(54.0, "mg/L"));
        assert_eq!(of(120.0, "mm[Hg]"), of(0.12, "m[Hg]"));
        assert_eq!(of(37.0, "Cel"), of(98.6, "[degF]"));
        assert_eq!(of(6.0, "[ft_i]"), of(72.0, "[in_i]"));
        for (value, unit) in [(1.8, "m"), (37.0, "Cel"), (98.6, "[degF]"), (5.4, "mg/dL")] {
            let own = canonical(unit).unwrap();
            assert_eq!(own.revert(own.convert(value)).to_bits(), value.to_bits());
            assert_eq!(own.revert(f64::MAX).to_bits(), f64::MAX.to_bits());
        }
        assert_eq!(canonical("nonsense"), None);
        assert_eq!(canonical("[pH]"), None);
        assert_eq!(canonical(&"(".repeat(60)), None);
    }
}
