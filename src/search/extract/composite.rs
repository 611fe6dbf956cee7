//! Composite parameters: for each occurrence of the base, every combination of its components.

use serde_json::Value;

use super::plan::Tree;
use super::reference::Target;
use super::units::{UCUM, canonical};
use super::values::Sink;
use super::{CompositeRow, IndexRows, Scope, UnitRow, custom, fold, normalize};
use crate::fhir::definitions::ParamId;
use crate::keys::Keys;

/// Combinations kept of one occurrence; the rest would be an attack, not a record.
const MAX_ROWS: usize = 1024;

/// A composite parameter at one of its bases.
#[derive(Debug)]
pub(super) struct Composite {
    pub(super) param: ParamId,
    pub(super) parts: Vec<Part>,
}

/// A component: where its values stand, from the base or from the resource.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) from_base: Tree,
    pub(super) from_root: Tree,
}

/// A component's value.
#[derive(Clone, Debug)]
enum Found {
    Token {
        code: i64,
        system: i32,
    },
    Span {
        low: f64,
        high: f64,
    },
    Quantity {
        low: f64,
        high: f64,
        code: i64,
        system: i32,
        /// In UCUM.
        unit: Option<String>,
    },
    Target(i64),
    Text(String),
}

struct Parts<'r> {
    scope: &'r Scope<'r>,
    found: Vec<Found>,
}

impl Composite {
    /// The rows of one occurrence; false when there were too many.
    pub(super) fn rows(&self, base: &Value, scope: &Scope<'_>, out: &mut IndexRows) -> bool {
        let mut rows = vec![Partial {
            row: CompositeRow::empty(self.param),
            codes: 0,
            spans: 0,
            unit: None,
        }];
        for part in &self.parts {
            let mut parts = Parts {
                scope,
                found: Vec::new(),
            };
            scope.walk(&part.from_base, base, &mut parts);
            scope.walk(&part.from_root, scope.root, &mut parts);
            if parts.found.is_empty() {
                return true;
            }
            if rows.len().saturating_mul(parts.found.len()) > MAX_ROWS {
                return false;
            }
            rows = rows
                .iter()
                .flat_map(|row| parts.found.iter().map(|found| with(row, found)))
                .collect();
        }
        for partial in rows {
            out.units.extend(partial.unit);
            out.composites.push(partial.row);
        }
        true
    }
}

/// [`UnitRow::code`] of a quantity that stands in a composite after these codes; the last of none.
/// What a composite of this server's own finds may be another one in every resource (a reference, an
/// identifier): its units stand once, not once for each.
pub(super) fn beside(param: ParamId, before: Option<i64>) -> i64 {
    before.filter(|_| param < custom::FIRST).unwrap_or(0)
}

/// A row, as far as it is.
#[derive(Clone, Debug)]
struct Partial {
    row: CompositeRow,
    /// How many codes and spans it has.
    codes: usize,
    spans: usize,
    unit: Option<UnitRow>,
}

/// The row with one more component.
fn with(partial: &Partial, found: &Found) -> Partial {
    let Partial {
        mut row,
        mut codes,
        mut spans,
        mut unit,
    } = partial.clone();
    let mut code = |row: &mut CompositeRow, code, system| {
        if codes == 0 {
            (row.code, row.system) = (code, system);
        } else {
            (row.code2, row.system2) = (code, system);
        }
        codes += 1;
    };
    let mut span = |row: &mut CompositeRow, low, high| {
        if spans == 0 {
            row.low = low;
        }
        row.high = high;
        spans += 1;
    };
    match found {
        Found::Token { code: of, system } => code(&mut row, *of, *system),
        Found::Span { low, high } => span(&mut row, *low, *high),
        Found::Quantity {
            low,
            high,
            code: of,
            system,
            unit: ucum,
        } => {
            if let Some(ucum) = ucum {
                let before = (partial.codes > 0).then_some(partial.row.code);
                unit = Some(UnitRow {
                    code: beside(row.param, before),
                    unit: ucum.clone(),
                });
            }
            code(&mut row, *of, *system);
            span(&mut row, *low, *high);
        }
        Found::Target(target) => code(&mut row, *target, 0),
        Found::Text(text) => row.text.clone_from(text),
    }
    Partial {
        row,
        codes,
        spans,
        unit,
    }
}

impl CompositeRow {
    fn empty(param: ParamId) -> Self {
        Self {
            param,
            code: 0,
            system: 0,
            code2: 0,
            system2: 0,
            low: 0.0,
            high: 0.0,
            text: String::new(),
        }
    }
}

impl Parts<'_> {
    fn keys(&self) -> &Keys {
        self.scope.keys
    }
}

impl Sink for Parts<'_> {
    fn token(&mut self, system: &str, code: &str) {
        let (code, system) = (self.keys().code(&fold(code)), self.keys().system(system));
        self.found.push(Found::Token { code, system });
    }

    fn token_text(&mut self, _text: &str) {}

    fn of_type(&mut self, _system: &str, _code: &str, _value: &str) {}

    fn string(&mut self, text: &str) {
        if !text.is_empty() {
            self.found.push(Found::Text(normalize(text)));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "times lie within 2^53 ms")]
    fn date(&mut self, low: i64, high: i64) {
        self.found.push(Found::Span {
            low: low as f64,
            high: high as f64,
        });
    }

    fn number(&mut self, low: f64, high: f64) {
        self.found.push(Found::Span { low, high });
    }

    fn quantity(&mut self, low: f64, high: f64, system: &str, code: &str) {
        let unit = (system == UCUM && canonical(code).is_some()).then(|| code.to_owned());
        let (code, system) = (self.scope.unit(code), self.keys().system(system));
        self.found.push(Found::Quantity {
            low,
            high,
            code,
            system,
            unit,
        });
    }

    fn uri(&mut self, uri: &str) {
        self.found.push(Found::Text(uri.to_owned()));
    }

    fn reference(&mut self, target: Target<'_>) {
        self.found.push(Found::Target(self.scope.target(target).0));
    }

    fn base(&self) -> &str {
        self.scope.base
    }
}
