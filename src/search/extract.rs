//! Index rows of a resource: what each search parameter finds in it.
//!
//! After <https://hl7.org/fhir/R4/search.html>: `values` has the table of what is indexed of which
//! type, `plan` compiles a resource type's parameters once. Extraction is a pure function of the
//! resource: the store runs it on the old body to know which rows to take away.

mod composite;
pub mod contained;
pub mod custom;
pub mod define;
mod plan;
pub mod position;
mod reference;
mod rows;
mod single;
mod text;
pub mod units;
mod values;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::{LazyLock, OnceLock};

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use self::plan::{Action, Guard, Plan, Tree};
use self::reference::Target;
pub use self::rows::{
    CompositeRow, DateRow, IndexRows, NumberRow, QuantityRow, ReferenceRow, StringRow, TextRow,
    TokenRow, UnitRow, UriRow,
};
use self::values::{Sink, emit, emit_node};
use crate::fhir::definitions::{ParamId, ParamKind, SearchParam, TypeId, definitions};
use crate::fhirpath::{Context, reference as literal};
use crate::keys::Keys;

/// Longest text kept of a string as it stands.
const MAX_EXACT: usize = 1024;
/// Longest text kept folded.
pub(super) const MAX_NORM: usize = 256;
/// Longest rest of a folded text, for `:contains`.
const MAX_MORE: usize = 16_384;
/// Longest code kept as text, for `_sort`.
const MAX_SORT: usize = 64;

/// Folds a text for string search: NFKD, no combining marks, lower case, letters that have another
/// spelling in it ([`spelt`]), runs of white space and punctuation kept as they are. At most 256
/// characters.
#[must_use]
pub fn normalize(text: &str) -> String {
    normalize_all(text).0
}

/// The first 256 characters of a folded text, and the rest.
#[must_use]
pub fn normalize_all(text: &str) -> (String, String) {
    if text.is_ascii() {
        let (head, tail) = text.split_at_checked(MAX_NORM).unwrap_or((text, ""));
        let tail = tail.get(..MAX_MORE).unwrap_or(tail);
        return (head.to_ascii_lowercase(), tail.to_ascii_lowercase());
    }
    let mut folded = text
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .flat_map(spelt);
    let head = folded.by_ref().take(MAX_NORM).collect();
    (head, folded.take(MAX_MORE).collect())
}

/// What a lower-case letter is folded to beyond its decomposition: full case folding (Unicode
/// CaseFolding, status F) of ß and of the final sigma, and the letters of European alphabets that
/// Unicode does not decompose, as people type them who do not have the key.
fn spelt(c: char) -> impl Iterator<Item = char> {
    let spelling = match c {
        'ß' => "ss",
        'ς' => "σ",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ħ' => "h",
        'ı' => "i",
        'ŋ' => "n",
        'ŧ' => "t",
        _ => "",
    };
    let same = spelling.is_empty().then_some(c);
    spelling.chars().chain(same)
}

/// Folds a code: "when in doubt, servers SHOULD treat tokens in a case-insensitive manner" (FHIR R4
/// search, 3.1.1.4.11).
#[must_use]
pub fn fold(code: &str) -> Cow<'_, str> {
    if code.chars().any(char::is_uppercase) {
        code.to_lowercase().into()
    } else {
        code.into()
    }
}

/// [`UnitRow::code`] of a quantity in a composite parameter, by the code that stands before it; None
/// where a quantity comes first.
#[must_use]
pub fn beside(param: &SearchParam, before: Option<i64>) -> i64 {
    composite::beside(param.id, before)
}

/// [`TokenRow::code`] of a value that is there, and of which nothing else is indexed: the row that
/// `:missing` looks for.
#[must_use]
pub fn present(keys: &Keys) -> i64 {
    keys.text("a value")
}

/// [`TokenRow::system`] beside [`of_type_key`]: of its own kind, so that `system|` does not find
/// types of identifiers.
#[must_use]
pub fn of_type_system(keys: &Keys, system: &str) -> i32 {
    keys.system(&format!("of-type {system}"))
}

/// Whether the codes of a token parameter are folded: all but identifiers and URIs.
#[must_use]
pub fn is_folded(type_id: TypeId, param: &SearchParam) -> bool {
    param.kind == ParamKind::Token
        && match &param.rules {
            Some(rules) => !rules.is_exact,
            None => plan_of(type_id).is_none_or(|plan| !plan.exact.contains(&param.id)),
        }
}

/// Whether a token parameter finds identifiers, which have types (`:of-type`).
#[must_use]
pub fn finds_identifiers(type_id: TypeId, param: &SearchParam) -> bool {
    match &param.rules {
        Some(rules) => rules.finds_identifiers,
        None => plan_of(type_id).is_some_and(|plan| plan.identifiers.contains(&param.id)),
    }
}

/// [`TokenRow::code`] of an identifier with a type, beside the type's system in
/// [`TokenRow::system`]: what `identifier:of-type=system|code|value` asks for.
#[must_use]
pub fn of_type_key(keys: &Keys, type_code: &str, value: &str) -> i64 {
    keys.text(&format!("{type_code}|{value}"))
}

/// The words of a full text query, as they stand in the index.
pub use text::words;

pub use single::{is_required_code, is_single, lacking, sampled, with_code};

/// Whether a reference parameter finds canonical URLs.
#[must_use]
pub fn finds_canonicals(type_id: TypeId, param: &SearchParam) -> bool {
    match &param.rules {
        Some(rules) => rules.finds_canonicals,
        None => plan_of(type_id).is_some_and(|plan| plan.canonicals.contains(&param.id)),
    }
}

/// Index rows of `resource`. `base` is this server's FHIR base URL: absolute references below it
/// count as local.
#[must_use]
pub fn extract(type_id: TypeId, resource: &Value, keys: &Keys, base: &str) -> IndexRows {
    plan_of(type_id).map_or_else(IndexRows::default, |plan| run(plan, resource, keys, base))
}

/// The plan of a type, compiled on first use.
fn plan_of(type_id: TypeId) -> Option<&'static Plan> {
    static PLANS: LazyLock<Vec<OnceLock<Plan>>> = LazyLock::new(|| {
        let most = definitions().types().map(|(id, _)| id).max().unwrap_or(0);
        (0..=most).map(|_| OnceLock::new()).collect()
    });
    let slot = PLANS.get(usize::try_from(type_id).ok()?)?;
    Some(slot.get_or_init(|| {
        let all = definitions();
        let patient = all.primary_patient_param(type_id).map(|param| param.id);
        Plan::compile(
            all,
            all.type_name(type_id),
            all.search_params(type_id),
            patient,
            true,
        )
    }))
}

fn run(plan: &Plan, resource: &Value, keys: &Keys, base: &str) -> IndexRows {
    let mut rows = found(plan, resource, keys, base);
    rows.text = text::of(resource);
    rows.tidy();
    rows
}

/// What the parameters of a plan find, not yet in order.
fn found(plan: &Plan, resource: &Value, keys: &Keys, base: &str) -> IndexRows {
    let scope = Scope {
        root: resource,
        keys,
        base,
    };
    let mut rows = Rows {
        scope: &scope,
        plan,
        param: 0,
        is_exact: false,
        found: 0,
        open: (false, false),
        text: String::new(),
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
        match expression.evaluate(resource, &Context::default()) {
            Ok(found) => found.iter().for_each(|node| {
                rows.serve(*param);
                emit_node(*kind, node, &mut rows);
            }),
            Err(_) => rows.out.failed.push(*param),
        }
    }
    for (param, lacking) in &plan.required {
        if !rows.out.tokens.iter().any(|row| row.param == *param) {
            rows.out.tokens.push(TokenRow {
                param: *lacking,
                code: 0,
                system: 0,
                text: String::new(),
            });
        }
    }
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
                    sink.served(*kind);
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
    plan: &'r Plan,
    /// The parameter being served.
    param: ParamId,
    /// Its codes are not folded.
    is_exact: bool,
    /// Rows of the value being served, in the tables that tell whether there is a value.
    found: usize,
    /// Whether the ends of the quantity being served are left out.
    open: (bool, bool),
    /// A text of the value being served.
    text: String,
    out: IndexRows,
}

impl Sink for Rows<'_> {
    fn serve(&mut self, param: ParamId) {
        self.param = param;
        self.is_exact = self.plan.exact.contains(&param);
        self.found = 0;
        self.text.clear();
    }

    fn served(&mut self, kind: ParamKind) {
        if self.found == 0 && kind != ParamKind::Composite {
            self.out.tokens.push(TokenRow {
                param: self.param,
                code: present(self.scope.keys),
                system: 0,
                text: start(&self.text, MAX_SORT).to_owned(),
            });
        }
    }

    fn composite(&mut self, composite: &composite::Composite, base: &Value) {
        if !composite.rows(base, self.scope, &mut self.out) {
            self.out.failed.push(composite.param);
        }
    }

    fn token(&mut self, system: &str, code: &str) {
        if code.is_empty() && system.is_empty() {
            return;
        }
        let folded = fold(code);
        let own = if self.is_exact { code } else { &folded };
        self.found += 1;
        self.out.tokens.push(TokenRow {
            param: self.param,
            code: self.scope.keys.code(own),
            system: self.scope.keys.system(system),
            text: start(&folded, MAX_SORT).to_owned(),
        });
    }

    fn token_text(&mut self, text: &str) {
        if !text.is_empty() {
            let (norm, more) = normalize_all(text);
            if self.text.is_empty() {
                self.text.clone_from(&norm);
            }
            self.out.strings.push(StringRow {
                param: self.param,
                norm,
                exact: String::new(),
                more,
            });
        }
    }

    fn of_type(&mut self, system: &str, code: &str, value: &str) {
        self.out.tokens.push(TokenRow {
            param: self.param,
            code: of_type_key(self.scope.keys, code, value),
            system: of_type_system(self.scope.keys, system),
            text: String::new(),
        });
    }

    fn string(&mut self, text: &str) {
        if !text.is_empty() {
            let (norm, more) = normalize_all(text);
            self.found += 1;
            self.out.strings.push(StringRow {
                param: self.param,
                norm,
                exact: start(text, MAX_EXACT).to_owned(),
                more,
            });
        }
    }

    fn date(&mut self, low: i64, high: i64) {
        self.found += 1;
        self.out.dates.push(DateRow {
            param: self.param,
            low,
            high,
        });
    }

    fn number(&mut self, low: f64, high: f64) {
        self.found += 1;
        self.out.numbers.push(NumberRow {
            param: self.param,
            low,
            high,
        });
    }

    fn position(&mut self, latitude: f64, longitude: f64) {
        if let Some((u, v)) = position::project(latitude, longitude) {
            self.number(u, v);
        }
    }

    fn quantity(&mut self, low: f64, high: f64, system: &str, code: &str) {
        self.found += 1;
        let (is_ucum, unit) = (system == units::UCUM, code);
        let (code, system) = (self.scope.unit(code), self.scope.keys.system(system));
        self.out.quantities.push(QuantityRow {
            param: self.param,
            low,
            high,
            code,
            system,
        });
        if is_ucum && let Some(canonical) = units::canonical(unit) {
            // The conversion rounds, and would close an open end.
            let (low, high) = (canonical.convert(low), canonical.convert(high));
            self.out.quantities.push(QuantityRow {
                param: self.param,
                low: if self.open.0 { low.next_up() } else { low },
                high: if self.open.1 { high.next_down() } else { high },
                code: canonical.code(self.scope.keys),
                system: units::Canonical::system(self.scope.keys),
            });
        }
    }

    fn open(&mut self, low: bool, high: bool) {
        self.open = (low, high);
    }

    fn uri(&mut self, uri: &str) {
        self.found += 1;
        let value = start(uri, MAX_EXACT).to_owned();
        self.out.uris.push(UriRow {
            param: self.param,
            value,
        });
    }

    fn reference(&mut self, target: Target<'_>) {
        self.found += 1;
        if self.plan.patient == Some(self.param)
            && let Target::Local {
                type_name: "Patient",
                id,
            } = target
        {
            self.out.patients.push(id.to_owned());
        }
        let text = match target {
            Target::Local { .. } => String::new(),
            Target::Remote { uri, .. } => start(uri, MAX_EXACT).to_owned(),
        };
        let (target, target_type) = self.scope.target(target);
        self.out.references.push(ReferenceRow {
            param: self.param,
            target,
            target_type,
            text,
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
