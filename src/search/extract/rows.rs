//! What is indexed of a resource, as the tables `idx_*` hold it.

use std::collections::HashSet;

use crate::fhir::definitions::{ParamId, TypeId};

/// A code in a system, or one of the other things that token search finds: `Reference.identifier`
/// (for `:identifier`, under the reference's parameter) and [`of_type_key`](super::of_type_key). `idx_token`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenRow {
    pub param: ParamId,
    /// [`Keys::code`](crate::keys::Keys::code) of the code, folded by [`fold`](super::fold) unless the parameter finds
    /// identifiers or URIs; `true` and `false` of a boolean; [`present`](super::present) where
    /// there is a value of which nothing else is indexed (for `:missing`).
    pub code: i64,
    /// [`Keys::system`](crate::keys::Keys::system); 0 when there is none. Of a `code` element the system of its required
    /// binding, of a ContactPoint its use.
    pub system: i32,
    /// What `_sort` compares: the code, folded, at most 64 characters; a text where there is no
    /// code. Empty for what is not sorted by.
    pub text: String,
}

/// A text: of a string parameter, or one that stands for a token (`Coding.display`,
/// `CodeableConcept.text`, `Identifier.type.text`; for `:text`). `idx_string`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StringRow {
    pub param: ParamId,
    /// Folded by [`normalize`](super::normalize), at most 256 characters.
    pub norm: String,
    /// As it stands, at most 1024 characters; for `:exact`. Empty for the text of a token.
    pub exact: String,
    /// The folded text after those 256 characters; nearly always empty.
    pub more: String,
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
/// `f64::MAX`); of `near` where a Location is, see [`position`](super::position). `idx_number`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct NumberRow {
    pub param: ParamId,
    pub low: f64,
    pub high: f64,
}

/// A quantity; `code` is of its unit code, or of its human unit where there is no code; one more
/// row with the human unit (system 0) where both exist and differ, and one more with the
/// [canonical unit](super::units) of a UCUM code. 0 without any unit. Ends as in
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferenceRow {
    pub param: ParamId,
    /// [`Keys::reference`](crate::keys::Keys::reference); for references that are not to this server, [`Keys::text`](crate::keys::Keys::text) of the URL.
    pub target: i64,
    /// The target's type; -1 when unknown.
    pub target_type: TypeId,
    /// The URL of what is not on this server, for `_sort`; else empty.
    pub text: String,
}

/// One occurrence of a composite. Which columns count depends on the components' kinds: a token
/// fills `code`/`system` (the first) or `code2`/`system2` (the second; also a quantity's unit and
/// a reference's target), number, quantity and date (in ms) fill `low`/`high`, string and uri
/// fill `text` (a string folded by [`normalize`](super::normalize)); of two numbers the first fills `low`, the second
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

/// A UCUM unit beside a code in [`CompositeRow`]s: once for the whole database, and never taken away
/// again. `composite_unit`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitRow {
    /// [`CompositeRow::code`], or 0: see [`beside`](super::beside).
    pub code: i64,
    pub unit: String,
}

/// What full text search finds. `idx_text`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextRow {
    /// The narrative without its tags, for `_text`.
    pub narrative: String,
    /// Everything else that is written in words, for `_content`.
    pub content: String,
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
    pub units: Vec<UnitRow>,
    pub text: Option<TextRow>,
    /// Ids of the patients this resource is about (primary compartment parameter), first one first;
    /// empty for a resource that is about no patient.
    pub patients: Vec<String>,
    /// Search parameters whose expression failed on this resource; logged, never fatal.
    pub failed: Vec<ParamId>,
    /// Whether the resource names something here by this server's whole address.
    pub has_own_address: bool,
}

impl IndexRows {
    /// Adds what other parameters found in the same resource.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.tokens.append(&mut other.tokens);
        self.strings.append(&mut other.strings);
        self.dates.append(&mut other.dates);
        self.numbers.append(&mut other.numbers);
        self.quantities.append(&mut other.quantities);
        self.uris.append(&mut other.uris);
        self.references.append(&mut other.references);
        self.composites.append(&mut other.composites);
        self.units.append(&mut other.units);
        self.failed.append(&mut other.failed);
        self.tidy();
    }

    /// Keeps the rows of some parameters.
    pub(crate) fn retain(&mut self, keeps: impl Fn(ParamId) -> bool) {
        self.tokens.retain(|row| keeps(row.param));
        self.strings.retain(|row| keeps(row.param));
        self.dates.retain(|row| keeps(row.param));
        self.numbers.retain(|row| keeps(row.param));
        self.quantities.retain(|row| keeps(row.param));
        self.uris.retain(|row| keeps(row.param));
        self.references.retain(|row| keeps(row.param));
        self.composites.retain(|row| keeps(row.param));
        self.text = None;
    }

    /// Sorts every list and takes repetitions away; patients keep their order.
    pub(super) fn tidy(&mut self) {
        fn unique<T: Ord>(rows: &mut Vec<T>) {
            rows.sort_unstable();
            rows.dedup();
        }
        unique(&mut self.tokens);
        // The table tells rows apart by these; of equal ones the first text stays.
        self.tokens
            .dedup_by(|a, b| (a.param, a.code, a.system) == (b.param, b.code, b.system));
        unique(&mut self.strings);
        unique(&mut self.dates);
        unique(&mut self.uris);
        unique(&mut self.references);
        self.references.dedup_by(|a, b| {
            (a.param, a.target, a.target_type) == (b.param, b.target, b.target_type)
        });
        unique(&mut self.failed);
        unique(&mut self.units);
        // To the databases 0 and -0 are one number.
        for row in &mut self.numbers {
            (row.low, row.high) = (row.low + 0.0, row.high + 0.0);
        }
        for row in &mut self.quantities {
            (row.low, row.high) = (row.low + 0.0, row.high + 0.0);
        }
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
