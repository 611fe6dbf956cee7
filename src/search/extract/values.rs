//! From a value to what is indexed of it, by its type and the kind of the parameter: the table of
//! <https://hl7.org/fhir/R4/search.html#token> and of its neighbours for the other kinds.

use serde_json::Value;

use super::composite::Composite;
use super::reference::{Target, target};
use crate::fhir::date::{self, DISTANT_FUTURE, DISTANT_PAST};
use crate::fhir::definitions::{ParamId, ParamKind, definitions};
use crate::fhirpath::Node;

/// Below every number: the low end of a range without one.
pub(super) const NO_LOW: f64 = f64::MIN;
/// Above every number: the high end of a range without one.
pub(super) const NO_HIGH: f64 = f64::MAX;

/// `Money.currency` is a code of this system.
const CURRENCIES: &str = "urn:iso:std:iso:4217";

/// Takes what is found.
pub(super) trait Sink {
    /// What comes next is of this parameter.
    fn serve(&mut self, _param: ParamId) {}
    /// That was all of one value.
    fn served(&mut self, _kind: ParamKind) {}
    /// A base of a composite was found; composites have no composites inside.
    fn composite(&mut self, _composite: &Composite, _base: &Value) {}
    fn token(&mut self, system: &str, code: &str);
    /// A text that stands for a token, for `:text`.
    fn token_text(&mut self, text: &str);
    /// An identifier by its type, for `:of-type`.
    fn of_type(&mut self, system: &str, code: &str, value: &str);
    fn string(&mut self, text: &str);
    /// `[low, high)` in ms.
    fn date(&mut self, low: i64, high: i64);
    fn number(&mut self, low: f64, high: f64);
    fn quantity(&mut self, low: f64, high: f64, system: &str, code: &str);
    /// Degrees; of `near`, which is no component of a composite.
    fn position(&mut self, _latitude: f64, _longitude: f64) {}
    /// Which ends of the quantities that come next are not part of them: in another unit they are
    /// to be so too.
    fn open(&mut self, _low: bool, _high: bool) {}
    fn uri(&mut self, uri: &str);
    fn reference(&mut self, target: Target<'_>);
    /// This server's base URL.
    fn base(&self) -> &str;
}

/// How a FHIR type is indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    /// `code`, with the place of the value set it is bound to, which tells its system.
    Code(Option<u16>),
    /// `string` and what is written like one.
    Text,
    Uri,
    Canonical,
    /// `date`, `dateTime`, `instant`.
    Date,
    Number,
    Coding,
    Concept,
    Identifier,
    ContactPoint,
    Reference,
    /// Quantity and what specialises it.
    Quantity,
    Money,
    Range,
    Period,
    Timing,
    HumanName,
    Address,
    Annotation,
    SampledData,
    /// `Location.position`.
    Position,
}

impl Shape {
    /// The shape of a FHIR type; none for types that no kind of parameter indexes.
    pub(super) fn of(type_name: &str, binding: Option<u16>) -> Option<Self> {
        Some(match type_name {
            "boolean" => Self::Boolean,
            "code" => Self::Code(binding),
            "string" | "markdown" | "id" | "uuid" | "oid" => Self::Text,
            "uri" | "url" => Self::Uri,
            "canonical" => Self::Canonical,
            "date" | "dateTime" | "instant" => Self::Date,
            "decimal" | "integer" | "positiveInt" | "unsignedInt" => Self::Number,
            "Coding" => Self::Coding,
            "CodeableConcept" => Self::Concept,
            "Identifier" => Self::Identifier,
            "ContactPoint" => Self::ContactPoint,
            "Reference" => Self::Reference,
            "Quantity" | "Age" | "Count" | "Distance" | "Duration" => Self::Quantity,
            "Money" => Self::Money,
            "Range" => Self::Range,
            "Period" => Self::Period,
            "Timing" => Self::Timing,
            "HumanName" => Self::HumanName,
            "Address" => Self::Address,
            "Annotation" => Self::Annotation,
            "SampledData" => Self::SampledData,
            "Location.position" => Self::Position,
            _ => return None,
        })
    }

    /// Whether a parameter of this kind finds anything in it.
    pub(super) fn serves(self, kind: ParamKind) -> bool {
        use Shape as S;
        match kind {
            ParamKind::Token => matches!(
                self,
                S::Boolean
                    | S::Code(_)
                    | S::Text
                    | S::Uri
                    | S::Canonical
                    | S::Coding
                    | S::Concept
                    | S::Identifier
                    | S::ContactPoint
                    | S::Reference
            ),
            ParamKind::String => matches!(
                self,
                S::Text
                    | S::Code(_)
                    | S::Uri
                    | S::Canonical
                    | S::Concept
                    | S::Coding
                    | S::HumanName
                    | S::Address
                    | S::Annotation
            ),
            ParamKind::Date => matches!(self, S::Date | S::Period | S::Timing),
            ParamKind::Number => matches!(self, S::Number | S::Range | S::Quantity),
            ParamKind::Quantity => {
                matches!(
                    self,
                    S::Quantity | S::Money | S::Range | S::Number | S::SampledData
                )
            }
            ParamKind::Uri => matches!(self, S::Uri | S::Canonical | S::Text),
            ParamKind::Reference => {
                matches!(self, S::Reference | S::Uri | S::Canonical)
            }
            ParamKind::Special => self == S::Position,
            ParamKind::Composite => false,
        }
    }
}

/// Indexes one value. What does not have the shape it should have is passed over: validation, not
/// search, complains about it.
pub(super) fn emit(kind: ParamKind, shape: Shape, value: &Value, sink: &mut impl Sink) {
    match kind {
        ParamKind::Token => token(shape, value, sink),
        ParamKind::String => string(shape, value, sink),
        ParamKind::Date => dates(shape, value, sink),
        ParamKind::Number => {
            if let Some((low, high)) = numbers(shape, value) {
                sink.number(low, high);
            }
        }
        ParamKind::Quantity => quantity(shape, value, sink),
        ParamKind::Uri => {
            if let Some(text) = value.as_str() {
                uri(text, shape == Shape::Canonical, sink);
            }
        }
        ParamKind::Reference => reference(shape, value, sink),
        ParamKind::Special => {
            let degrees = |key| number(value.get(key));
            if let (Some(latitude), Some(longitude)) = (degrees("latitude"), degrees("longitude")) {
                sink.position(latitude, longitude);
            }
        }
        ParamKind::Composite => {}
    }
}

/// Indexes an item that the interpreter found.
pub(super) fn emit_node(kind: ParamKind, node: &Node<'_>, sink: &mut impl Sink) {
    let Some(value) = node.value() else {
        match (kind, node) {
            (ParamKind::Token, Node::Boolean(value)) => {
                sink.token("", if *value { "true" } else { "false" });
            }
            (ParamKind::Token, Node::String(text)) => sink.token("", text),
            (ParamKind::String, Node::String(text)) => sink.string(text),
            (ParamKind::Uri, Node::String(text)) => sink.uri(text),
            (ParamKind::Date, Node::Date(date) | Node::DateTime(date)) => {
                let (low, high) = date.range();
                sink.date(low, high);
            }
            (ParamKind::Number, Node::Integer(number)) => {
                emit(kind, Shape::Number, &Value::from(*number), sink);
            }
            (ParamKind::Number, Node::Decimal(number)) => {
                // A number in text is one in JSON.
                if let Ok(number) = serde_json::from_str(&number.to_string()) {
                    emit(kind, Shape::Number, &number, sink);
                }
            }
            _ => {}
        }
        return;
    };
    let shape = node
        .type_name()
        .and_then(|name| Shape::of(name, None))
        .or_else(|| guess(kind, value));
    if let Some(shape) = shape.filter(|shape| shape.serves(kind)) {
        emit(kind, shape, value, sink);
        sink.served(kind);
    }
}

/// The shape of a value whose type no table knows.
fn guess(kind: ParamKind, value: &Value) -> Option<Shape> {
    Some(match value {
        Value::Bool(_) => Shape::Boolean,
        Value::Number(_) => Shape::Number,
        Value::String(_) => match kind {
            ParamKind::Date => Shape::Date,
            ParamKind::Uri | ParamKind::Reference => Shape::Uri,
            _ => Shape::Text,
        },
        _ => return None,
    })
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn items<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn token(shape: Shape, value: &Value, sink: &mut impl Sink) {
    match shape {
        Shape::Boolean => {
            if let Some(value) = value.as_bool() {
                sink.token("", if value { "true" } else { "false" });
            }
        }
        Shape::Code(binding) => {
            if let Some(code) = value.as_str() {
                sink.token(binding.map_or("", |binding| system_of(binding, code)), code);
            }
        }
        Shape::Text | Shape::Uri | Shape::Canonical => {
            if let Some(code) = value.as_str() {
                sink.token("", code);
            }
        }
        Shape::Coding => coding(value, sink),
        Shape::Concept => {
            items(value, "coding")
                .iter()
                .for_each(|one| coding(one, sink));
            sink.token_text(text(value, "text"));
        }
        Shape::Identifier => identifier(value, sink),
        Shape::ContactPoint => {
            let code = text(value, "value");
            if !code.is_empty() {
                sink.token(text(value, "use"), code);
            }
        }
        Shape::Reference => {
            if let Some(by) = value.get("identifier") {
                identifier(by, sink);
            }
        }
        _ => {}
    }
}

fn coding(value: &Value, sink: &mut impl Sink) {
    let (system, code) = (text(value, "system"), text(value, "code"));
    // A system alone is found by `system|`.
    if !code.is_empty() || !system.is_empty() {
        sink.token(system, code);
    }
    sink.token_text(text(value, "display"));
}

fn identifier(value: &Value, sink: &mut impl Sink) {
    let (system, code) = (text(value, "system"), text(value, "value"));
    if !code.is_empty() || !system.is_empty() {
        sink.token(system, code);
    }
    if let Some(kind) = value.get("type") {
        for one in items(kind, "coding") {
            let type_code = text(one, "code");
            if !type_code.is_empty() && !code.is_empty() {
                sink.of_type(text(one, "system"), type_code, code);
            }
        }
        sink.token_text(text(kind, "text"));
    }
}

/// The system of a `code` element by its binding; empty where it is not told.
fn system_of(binding: u16, code: &str) -> &'static str {
    let Some(binding) = definitions().elements().binding(binding) else {
        return "";
    };
    binding
        .systems
        .iter()
        .find(|(_, codes)| codes.contains(code))
        .map_or("", |(system, _)| *system)
}

fn string(shape: Shape, value: &Value, sink: &mut impl Sink) {
    match shape {
        Shape::Concept => {
            sink.string(text(value, "text"));
            items(value, "coding")
                .iter()
                .for_each(|one| sink.string(text(one, "display")));
        }
        Shape::Coding => sink.string(text(value, "display")),
        Shape::Annotation => sink.string(text(value, "text")),
        Shape::HumanName => parts(value, &["prefix", "given", "family", "suffix"], sink),
        Shape::Address => {
            let names = ["line", "city", "district", "state", "postalCode", "country"];
            parts(value, &names, sink);
        }
        _ => {
            if let Some(text) = value.as_str() {
                sink.string(text);
            }
        }
    }
}

/// Each part of a name or address, and the whole: as `text` has it, and joined.
fn parts(value: &Value, names: &[&str], sink: &mut impl Sink) {
    let mut whole = String::new();
    for name in names {
        let one = value.get(*name);
        let many = items(value, name).iter();
        for part in one.into_iter().chain(many).filter_map(Value::as_str) {
            sink.string(part);
            if !whole.is_empty() {
                whole.push(' ');
            }
            whole.push_str(part);
        }
    }
    sink.string(&whole);
    sink.string(text(value, "text"));
}

fn dates(shape: Shape, value: &Value, sink: &mut impl Sink) {
    let span = match shape {
        Shape::Date => value.as_str().and_then(date::range),
        Shape::Period => period(value),
        Shape::Timing => {
            // Only the outer limits of a schedule matter.
            let events = items(value, "event").iter().filter_map(Value::as_str);
            let events = events.filter_map(date::range);
            let bounds = value
                .get("repeat")
                .and_then(|repeat| repeat.get("boundsPeriod"));
            events
                .chain(bounds.and_then(period))
                .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
        }
        _ => None,
    };
    if let Some((low, high)) = span {
        sink.date(low, high);
    }
}

fn period(value: &Value) -> Option<(i64, i64)> {
    let end = |key| value.get(key).and_then(Value::as_str).and_then(date::range);
    match (end("start"), end("end")) {
        (None, None) => None,
        (Some((low, _)), None) => Some((low, DISTANT_FUTURE)),
        (None, Some((_, high))) => Some((DISTANT_PAST, high)),
        // A period that ends before it begins is found where it begins.
        (Some((low, least)), Some((_, high))) => Some((low, high.max(least))),
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    value?.as_f64().filter(|number| number.is_finite())
}

fn numbers(shape: Shape, value: &Value) -> Option<(f64, f64)> {
    match shape {
        Shape::Number => number(Some(value)).map(|number| (number, number)),
        Shape::Range => {
            let end = |key| value.get(key).and_then(|end| number(end.get("value")));
            match (end("low"), end("high")) {
                (None, None) => None,
                (low, high) => Some((low.unwrap_or(NO_LOW), high.unwrap_or(NO_HIGH))),
            }
        }
        Shape::SampledData => samples(value),
        _ => {
            let number = number(value.get("value"))?;
            Some(match text(value, "comparator") {
                // What is less than 5 is not 5.
                "<" => (NO_LOW, number.next_down()),
                "<=" => (NO_LOW, number),
                ">" => (number.next_up(), NO_HIGH),
                ">=" => (number, NO_HIGH),
                _ => (number, number),
            })
        }
    }
}

/// The least and the greatest of the samples (`E`: none, `L`, `U`: beyond a limit), each
/// `origin + factor * sample`.
fn samples(value: &Value) -> Option<(f64, f64)> {
    let origin = number(value.get("origin")?.get("value"))?;
    let factor = number(value.get("factor")).unwrap_or(1.0);
    text(value, "data")
        .split_ascii_whitespace()
        .filter_map(|sample| match sample {
            "E" => None,
            "L" => number(value.get("lowerLimit")),
            "U" => number(value.get("upperLimit")),
            sample => sample
                .parse()
                .ok()
                .filter(|sample: &f64| sample.is_finite()),
        })
        .map(|sample| origin + factor * sample)
        .filter(|sample| sample.is_finite())
        .map(|sample| (sample, sample))
        .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
}

fn quantity(shape: Shape, value: &Value, sink: &mut impl Sink) {
    let Some((low, high)) = numbers(shape, value) else {
        return;
    };
    let comparator = match shape {
        Shape::Quantity => text(value, "comparator"),
        _ => "",
    };
    sink.open(comparator == ">", comparator == "<");
    match shape {
        Shape::Money => sink.quantity(low, high, CURRENCIES, text(value, "currency")),
        Shape::Number => sink.quantity(low, high, "", ""),
        _ => {
            // A range's unit is that of either end.
            let of = match shape {
                Shape::SampledData => value.get("origin").unwrap_or(value),
                Shape::Range => value
                    .get("low")
                    .or_else(|| value.get("high"))
                    .unwrap_or(value),
                _ => value,
            };
            let (system, code, unit) = (text(of, "system"), text(of, "code"), text(of, "unit"));
            if code.is_empty() {
                sink.quantity(low, high, "", unit);
            } else {
                sink.quantity(low, high, system, code);
                if !unit.is_empty() && unit != code {
                    sink.quantity(low, high, "", unit);
                }
            }
        }
    }
}

/// A URI as it stands; a canonical with a version also without it, as it is asked for either way.
fn uri(text: &str, canonical: bool, sink: &mut impl Sink) {
    if text.is_empty() {
        return;
    }
    sink.uri(text);
    if canonical && let Some((plain, _)) = text.split_once('|') {
        sink.uri(plain);
    }
}

fn reference(shape: Shape, value: &Value, sink: &mut impl Sink) {
    if shape == Shape::Reference {
        let found = value.get("reference").and_then(Value::as_str);
        if let Some(found) = found.and_then(|text| target(text, sink.base())) {
            let said = value.get("type").and_then(Value::as_str);
            sink.reference(match found {
                Target::Remote { uri, type_name } => Target::Remote {
                    uri,
                    type_name: type_name.or(said),
                },
                local @ Target::Local { .. } => local,
            });
        }
        if let Some(by) = value.get("identifier") {
            identifier(by, sink);
        }
        return;
    }
    let Some(text) = value.as_str() else { return };
    uri(text, shape == Shape::Canonical, sink);
    let plain = text.split_once('|').map_or(text, |(plain, _)| plain);
    if let Some(local @ Target::Local { .. }) = target(plain, sink.base()) {
        sink.reference(local);
    }
}
