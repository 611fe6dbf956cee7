//! Quantities, and the units among which they convert.
//!
//! Conversion covers metric prefixes on gram, metre, litre, second, mole and pascal, and the units
//! of time up to weeks; other units are equal only to themselves: how long a month is, nobody
//! knows. (Search has its own rules for units.)

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use rust_decimal::Decimal;

use super::temporal::millis_of;

/// A value with a unit. A calendar unit is its singular word, `day`; any other is a UCUM code;
/// no unit is `1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity<'a> {
    pub value: Decimal,
    pub unit: Cow<'a, str>,
}

impl fmt::Display for Quantity<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if calendar_unit(&self.unit).is_some() {
            write!(out, "{} {}", self.value, self.unit)
        } else {
            write!(out, "{} '{}'", self.value, self.unit)
        }
    }
}

/// The singular of a calendar unit's word, `days` to `day`.
pub(crate) fn calendar_unit(word: &str) -> Option<&'static str> {
    const UNITS: [&str; 8] = [
        "year",
        "month",
        "week",
        "day",
        "hour",
        "minute",
        "second",
        "millisecond",
    ];
    let singular = word.strip_suffix('s').unwrap_or(word);
    UNITS.into_iter().find(|unit| *unit == singular)
}

/// What a unit measures, and how many of that dimension's base unit it is.
fn dimension(unit: &str) -> Option<(&'static str, Decimal)> {
    let scaled = |name, number: i64, scale| Some((name, Decimal::new(number, scale)));
    match unit {
        "{day}" => return scaled("s", 86_400, 0),
        "second" => return scaled("s", 1, 0),
        "1" | "" => return scaled("1", 1, 0),
        "%" => return scaled("1", 1, 2),
        "[in_i]" => return scaled("m", 254, 4),
        "[ft_i]" => return scaled("m", 3048, 4),
        "[lb_av]" => return scaled("g", 45_359_237, 5),
        "[oz_av]" => return scaled("g", 28_349_523_125, 9),
        _ => {}
    }
    if let Some(millis) = millis_of(unit) {
        return scaled("s", millis, 3);
    }
    const PREFIXES: [(&str, i64, u32); 9] = [
        ("", 1, 0),
        ("k", 1000, 0),
        ("h", 100, 0),
        ("d", 1, 1),
        ("c", 1, 2),
        ("m", 1, 3),
        ("u", 1, 6),
        ("n", 1, 9),
        ("p", 1, 12),
    ];
    for (code, name) in [
        ("mol", "mol"),
        ("Pa", "Pa"),
        ("g", "g"),
        ("m", "m"),
        ("L", "L"),
        ("l", "L"),
        ("s", "s"),
    ] {
        let Some(prefix) = unit.strip_suffix(code) else {
            continue;
        };
        if let Some((_, number, scale)) = PREFIXES.into_iter().find(|known| known.0 == prefix) {
            return scaled(name, number, scale);
        }
    }
    None
}

impl Quantity<'_> {
    /// Both values in the same unit; none where the units do not convert.
    fn aligned(&self, other: &Self) -> Option<(Decimal, Decimal)> {
        if self.unit == other.unit {
            return Some((self.value, other.value));
        }
        let (left, right) = (dimension(&self.unit)?, dimension(&other.unit)?);
        if left.0 != right.0 {
            return None;
        }
        Some((
            self.value.checked_mul(left.1)?,
            other.value.checked_mul(right.1)?,
        ))
    }

    /// Which is less; none where the units do not convert.
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        self.aligned(other).map(|(left, right)| left.cmp(&right))
    }

    /// Equal to the decimals of the less precise of both; a calendar year is about a UCUM year.
    pub(crate) fn equivalent(&self, other: &Self) -> bool {
        let ucum = |unit: &str| match unit {
            "year" => "a".to_owned(),
            "month" => "mo".to_owned(),
            unit => unit.to_owned(),
        };
        let left = Quantity {
            value: self.value,
            unit: Cow::Owned(ucum(&self.unit)),
        };
        let right = Quantity {
            value: other.value,
            unit: Cow::Owned(ucum(&other.unit)),
        };
        let Some((mine, theirs)) = left.aligned(&right) else {
            return false;
        };
        if left.unit == right.unit {
            let places = self.value.scale().min(other.value.scale());
            return mine.round_dp(places) == theirs.round_dp(places);
        }
        // Half of the coarser operand's own last digit, in base units.
        let digit = |quantity: &Quantity<'_>| {
            let last = Decimal::new(1, quantity.value.scale());
            dimension(&quantity.unit).and_then(|(_, factor)| last.checked_mul(factor))
        };
        match (digit(&left), digit(&right)) {
            (Some(a), Some(b)) => (mine - theirs).abs() <= a.max(b) / Decimal::TWO,
            _ => false,
        }
    }

    /// Product of values and units.
    pub(crate) fn times(&self, other: &Self) -> Option<Quantity<'static>> {
        if unitless(&self.unit) || unitless(&other.unit) {
            let unit = if unitless(&self.unit) {
                &other.unit
            } else {
                &self.unit
            };
            let unit = Cow::Owned(unit.clone().into_owned());
            return Some(Quantity {
                value: self.value.checked_mul(other.value)?,
                unit,
            });
        }
        let (left, right) = (dimension(&self.unit)?, dimension(&other.unit)?);
        let value = self.value.checked_mul(left.1)?;
        let value = value.checked_mul(other.value.checked_mul(right.1)?)?;
        let unit = if left.0 == right.0 {
            format!("{}2", left.0)
        } else {
            format!("{}.{}", left.0, right.0)
        };
        Some(Quantity {
            value,
            unit: Cow::Owned(unit),
        })
    }

    /// Quotient of values and units; none by zero.
    pub(crate) fn over(&self, other: &Self) -> Option<Quantity<'static>> {
        if unitless(&other.unit) {
            let unit = Cow::Owned(self.unit.clone().into_owned());
            return Some(Quantity {
                value: self.value.checked_div(other.value)?,
                unit,
            });
        }
        if self.unit == other.unit {
            return Some(Quantity {
                value: self.value.checked_div(other.value)?,
                unit: "1".into(),
            });
        }
        let (left, right) = (dimension(&self.unit)?, dimension(&other.unit)?);
        let value = self.value.checked_mul(left.1)?;
        let value = value.checked_div(other.value.checked_mul(right.1)?)?;
        let unit = if left.0 == right.0 {
            "1".to_owned()
        } else {
            format!("{}/{}", left.0, right.0)
        };
        Some(Quantity {
            value,
            unit: Cow::Owned(unit),
        })
    }

    /// Sum or difference in the unit of `self`.
    pub(crate) fn plus(&self, other: &Self, negative: bool) -> Option<Self> {
        let (left, right) = self.aligned(other)?;
        let right = if negative { -right } else { right };
        let sum = left.checked_add(right)?;
        let value = if self.unit == other.unit {
            sum
        } else {
            sum.checked_div(dimension(&self.unit)?.1)?.normalize()
        };
        Some(Self {
            value,
            unit: self.unit.clone(),
        })
    }
}

fn unitless(unit: &str) -> bool {
    matches!(unit, "1" | "")
}
