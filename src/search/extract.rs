//! Index rows of a resource: what each search parameter finds in it.
//!
//! After <https://hl7.org/fhir/R4/search.html>: `values` has the table of what is indexed of which
//! type, `plan` compiles a resource type's parameters once. Extraction is a pure function of the
//! resource: the store runs it on the old body to know which rows to take away.

mod composite;
mod plan;
mod reference;
mod values;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use self::plan::{Action, Guard, Plan, Tree};
use self::reference::Target;
use self::values::{Sink, emit, emit_node};
use crate::fhir::definitions::{ParamId, TypeId, definitions};
use crate::fhirpath::{Context, reference as literal};
use crate::keys::Keys;

/// Longest text kept of a string as it stands.
const MAX_EXACT: usize = 1024;
/// Longest text kept folded.
const MAX_NORM: usize = 256;

/// A code in a system, or one of the other things that token search finds: `Reference.identifier`
/// (for `:identifier`, under the reference's parameter) and [`of_type_key`]. `idx_token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenRow {
    pub param: ParamId,
    /// [`Keys::code`]; `true` and `false` of a boolean.
    pub code: i64,
    /// [`Keys::system`]; 0 when there is none. Of a `code` element the system of its required
    /// binding, of a ContactPoint its use.
    pub system: i32,
}

/// A text: of a string parameter, or one that stands for a token (`Coding.display`,
/// `CodeableConcept.text`, `Identifier.type.text`; for `:text`). `idx_string`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StringRow {
    pub param: ParamId,
    /// Folded by [`normalize`], at most 256 characters.
    pub norm: String,
    /// As it stands, at most 1024 characters; for `:exact`. Empty for the text of a token.
    pub exact: String,
}

/// A time span, both ends in ms, `low` inclusive, `high` exclusive; an open end is
/// [`crate::fhir::date::DISTANT_PAST`] or `DISTANT_FUTURE`. `idx_date`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DateRow {
    pub param: ParamId,
    pub low: i64,
    pub high: i64,
}

/// A number or a range of numbers (`low == high` for a plain number; an open end is `f64::MIN` or
/// `f64::MAX`). `idx_number`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct NumberRow {
    pub param: ParamId,
    pub low: f64,
    pub high: f64,
}

/// A quantity; `code` is of its unit code, or of its human unit where there is no code; one more
/// row with the human unit (system 0) where both exist and differ. 0 without any unit. Ends as in
/// [`NumberRow`]. `idx_quantity`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct QuantityRow {
    pub param: ParamId,
    pub low: f64,
    pub high: f64,
    pub code: i64,
    pub system: i32,
}

/// A URI or canonical, as it stands (at most 1024 characters); one more row without the version
/// where a canonical has one. Also of a reference parameter that finds canonicals. `idx_uri`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UriRow {
    pub param: ParamId,
    pub value: String,
}

/// A reference to `Type/id` on this server. `idx_reference`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferenceRow {
    pub param: ParamId,
    /// [`Keys::reference`]; for references that are not to this server, [`Keys::text`] of the URL.
    pub target: i64,
    /// The target's type; -1 when unknown.
    pub target_type: TypeId,
}

/// One occurrence of a composite. Which columns count depends on the components' kinds: a token
/// fills `code`/`system` (the first) or `code2`/`system2` (the second; also a quantity's unit and
/// a reference's target), number, quantity and date (in ms) fill `low`/`high`, string and uri
/// fill `text` (a string folded by [`normalize`]); of two numbers the first fills `low`, the second
/// `high`. `idx_composite`.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub struct CompositeRow {
    pub param: ParamId,
    pub code: i64,
    pub system: i32,
    pub code2: i64,
    pub system2: i32,
    pub low: f64,
    pub high: f64,
    pub text: String,
}

/// All index rows of one resource, each list sorted and without duplicates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IndexRows {
    pub tokens: Vec<TokenRow>,
    pub strings: Vec<StringRow>,
    pub dates: Vec<DateRow>,
    pub numbers: Vec<NumberRow>,
    pub quantities: Vec<QuantityRow>,
    pub uris: Vec<UriRow>,
    pub references: Vec<ReferenceRow>,
    pub composites: Vec<CompositeRow>,
    /// Ids of the patients this resource is about (primary compartment parameter), first one first;
    /// empty for a resource that is about no patient.
    pub patients: Vec<String>,
    /// Search parameters whose expression failed on this resource; logged, never fatal.
    pub failed: Vec<ParamId>,
}

/// Folds a text for string search: NFKD, no combining marks, lower case, runs of white space and
/// punctuation kept as they are. At most 256 characters.
#[must_use]
pub fn normalize(text: &str) -> String {
    if text.is_ascii() {
        let mut folded = text.get(..MAX_NORM).unwrap_or(text).to_owned();
        folded.make_ascii_lowercase();
        return folded;
    }
    text.nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .take(MAX_NORM)
        .collect()
}

/// [`TokenRow::code`] of an identifier with a type, beside the type's system in
/// [`TokenRow::system`]: what `identifier:of-type=system|code|value` asks for.
#[must_use]
pub fn of_type_key(keys: &Keys, type_code: &str, value: &str) -> i64 {
    keys.text(&format!("{type_code}|{value}"))
}

/// Index rows of `resource`. `base` is this server's FHIR base URL: absolute references below it
/// count as local.
#[must_use]
pub fn extract(type_id: TypeId, resource: &Value, keys: &Keys, base: &str) -> IndexRows {
    static PLANS: LazyLock<Vec<OnceLock<Plan>>> = LazyLock::new(|| {
        let most = definitions().types().map(|(id, _)| id).max().unwrap_or(0);
        (0..=most).map(|_| OnceLock::new()).collect()
    });
    let Some(slot) = usize::try_from(type_id).ok().and_then(|at| PLANS.get(at)) else {
        return IndexRows::default();
    };
    let plan = slot.get_or_init(|| {
        let all = definitions();
        let patient = all.primary_patient_param(type_id).map(|param| param.id);
        Plan::compile(
            all,
            all.type_name(type_id),
            all.search_params(type_id),
            patient,
            true,
        )
    });
    run(plan, resource, keys, base)
}

fn run(plan: &Plan, resource: &Value, keys: &Keys, base: &str) -> IndexRows {
    let scope = Scope {
        root: resource,
        keys,
        base,
    };
    let mut rows = Rows {
        scope: &scope,
        patient: plan.patient,
        param: 0,
        out: IndexRows::default(),
    };
    rows.out.failed.clone_from(&plan.broken);
    if plan.is_patient
        && let Some(id) = resource.get("id").and_then(Value::as_str)
    {
        rows.out.patients.push(id.to_owned());
    }
    scope.walk(&plan.tree, resource, &mut rows);
    for (param, kind, expression) in &plan.interpreted {
        rows.param = *param;
        match expression.evaluate(resource, &Context::default()) {
            Ok(found) => found
                .iter()
                .for_each(|node| emit_node(*kind, node, &mut rows)),
            Err(_) => rows.out.failed.push(*param),
        }
    }
    rows.out.tidy();
    rows.out
}

/// What extraction knows beside the plan.
struct Scope<'r> {
    root: &'r Value,
    keys: &'r Keys,
    base: &'r str,
}

impl Scope<'_> {
    /// Takes every path of the tree from `value`.
    fn walk(&self, tree: &Tree, value: &Value, sink: &mut impl Sink) {
        match value {
            Value::Null => {}
            Value::Array(items) => items.iter().for_each(|item| self.item(tree, item, sink)),
            item => self.item(tree, item, sink),
        }
    }

    fn item(&self, tree: &Tree, item: &Value, sink: &mut impl Sink) {
        if matches!(item, Value::Null | Value::Array(_)) {
            return;
        }
        for action in &tree.actions {
            match action {
                Action::Row { param, kind, shape } => {
                    sink.serve(*param);
                    emit(*kind, *shape, item, sink);
                }
                Action::Composite(composite) => sink.composite(composite, item),
            }
        }
        for (guard, inner) in &tree.guards {
            if self.passes(guard, item) {
                self.item(inner, item, sink);
            }
        }
        let Value::Object(object) = item else { return };
        // Whichever is shorter: the resource's properties or the tree's.
        if tree.children.len() * 2 < object.len() {
            for (key, child) in &tree.children {
                if let Some(value) = object.get(*key) {
                    self.walk(child, value, sink);
                }
            }
        } else {
            for (key, value) in object {
                if let Some(child) = tree.children.get(key.as_str()) {
                    self.walk(child, value, sink);
                }
            }
        }
    }

    fn passes(&self, guard: &Guard, item: &Value) -> bool {
        match guard {
            Guard::Equals(key, text) => item.get(*key).and_then(Value::as_str) == Some(text),
            Guard::Target(type_name) => {
                let contained = |id: &str| literal::contained(self.root, id);
                let found = match item {
                    Value::String(text) => literal::text_type(text, contained),
                    item => literal::target_type(item, contained),
                };
                found == Some(type_name)
            }
        }
    }

    /// [`ReferenceRow::target`] and [`ReferenceRow::target_type`].
    fn target(&self, target: Target<'_>) -> (i64, TypeId) {
        let type_id = |name| definitions().type_id(name).unwrap_or(-1);
        match target {
            Target::Local { type_name, id } => {
                (self.keys.reference(type_name, id), type_id(type_name))
            }
            Target::Remote { uri, type_name } => {
                (self.keys.text(uri), type_name.map_or(-1, type_id))
            }
        }
    }

    /// A unit's key; 0 for none.
    fn unit(&self, code: &str) -> i64 {
        if code.is_empty() {
            0
        } else {
            self.keys.code(code)
        }
    }
}

/// Rows as they come in.
struct Rows<'r> {
    scope: &'r Scope<'r>,
    patient: Option<ParamId>,
    /// The parameter being served.
    param: ParamId,
    out: IndexRows,
}

impl Sink for Rows<'_> {
    fn serve(&mut self, param: ParamId) {
        self.param = param;
    }

    fn composite(&mut self, composite: &composite::Composite, base: &Value) {
        if !composite.rows(base, self.scope, &mut self.out.composites) {
            self.out.failed.push(composite.param);
        }
    }

    fn token(&mut self, system: &str, code: &str) {
        if code.is_empty() && system.is_empty() {
            return;
        }
        let (code, system) = (self.scope.keys.code(code), self.scope.keys.system(system));
        self.out.tokens.push(TokenRow {
            param: self.param,
            code,
            system,
        });
    }

    fn token_text(&mut self, text: &str) {
        if !text.is_empty() {
            let (param, norm) = (self.param, normalize(text));
            self.out.strings.push(StringRow {
                param,
                norm,
                exact: String::new(),
            });
        }
    }

    fn of_type(&mut self, system: &str, code: &str, value: &str) {
        let code = of_type_key(self.scope.keys, code, value);
        let system = self.scope.keys.system(system);
        self.out.tokens.push(TokenRow {
            param: self.param,
            code,
            system,
        });
    }

    fn string(&mut self, text: &str) {
        if !text.is_empty() {
            let (norm, exact) = (normalize(text), start(text, MAX_EXACT).to_owned());
            self.out.strings.push(StringRow {
                param: self.param,
                norm,
                exact,
            });
        }
    }

    fn date(&mut self, low: i64, high: i64) {
        self.out.dates.push(DateRow {
            param: self.param,
            low,
            high,
        });
    }

    fn number(&mut self, low: f64, high: f64) {
        self.out.numbers.push(NumberRow {
            param: self.param,
            low,
            high,
        });
    }

    fn quantity(&mut self, low: f64, high: f64, system: &str, code: &str) {
        let (code, system) = (self.scope.unit(code), self.scope.keys.system(system));
        self.out.quantities.push(QuantityRow {
            param: self.param,
            low,
            high,
            code,
            system,
        });
    }

    fn uri(&mut self, uri: &str) {
        let value = start(uri, MAX_EXACT).to_owned();
        self.out.uris.push(UriRow {
            param: self.param,
            value,
        });
    }

    fn reference(&mut self, target: Target<'_>) {
        if self.patient == Some(self.param)
            && let Target::Local {
                type_name: "Patient",
                id,
            } = target
        {
            self.out.patients.push(id.to_owned());
        }
        let (target, target_type) = self.scope.target(target);
        self.out.references.push(ReferenceRow {
            param: self.param,
            target,
            target_type,
        });
    }

    fn base(&self) -> &str {
        self.scope.base
    }
}

/// The first `most` characters.
fn start(text: &str, most: usize) -> &str {
    // Bytes first: a short text needs no counting.
    if text.len() <= most {
        return text;
    }
    text.char_indices()
        .nth(most)
        .map_or(text, |(end, _)| &text[..end])
}

impl IndexRows {
    /// Sorts every list and takes repetitions away; patients keep their order.
    fn tidy(&mut self) {
        fn unique<T: Ord>(rows: &mut Vec<T>) {
            rows.sort_unstable();
            rows.dedup();
        }
        unique(&mut self.tokens);
        unique(&mut self.strings);
        unique(&mut self.dates);
        unique(&mut self.uris);
        unique(&mut self.references);
        unique(&mut self.failed);
        self.numbers.sort_unstable_by(|a, b| {
            a.param
                .cmp(&b.param)
                .then(a.low.total_cmp(&b.low))
                .then(a.high.total_cmp(&b.high))
        });
        self.numbers.dedup();
        self.quantities.sort_unstable_by(|a, b| {
            (a.param, a.system, a.code)
                .cmp(&(b.param, b.system, b.code))
                .then(a.low.total_cmp(&b.low))
                .then(a.high.total_cmp(&b.high))
        });
        self.quantities.dedup();
        self.composites.sort_unstable_by(|a, b| {
            (a.param, a.code, a.system, a.code2, a.system2)
                .cmp(&(b.param, b.code, b.system, b.code2, b.system2))
                .then(a.low.total_cmp(&b.low))
                .then(a.high.total_cmp(&b.high))
                .then_with(|| a.text.cmp(&b.text))
        });
        self.composites.dedup();
        if self.patients.len() > 1 {
            let mut seen = HashSet::new();
            self.patients.retain(|id| seen.insert(id.clone()));
        }
    }
}
