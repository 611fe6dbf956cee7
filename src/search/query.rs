//! What a query string says, typed: the result of [`parse`](super::parse), the input of
//! [`plan`](super::plan). No SQL, no hashes, no I/O.

use std::ops::Deref;

use crate::fhir::definitions::{ParamId, SearchParam, TypeId};
use crate::fhir::outcome::Issue;
use crate::search::extract::position::Circle;

/// A search parameter of the definitions, compared by its number.
#[derive(Clone, Copy, Debug)]
pub struct Param(pub &'static SearchParam);

impl Deref for Param {
    type Target = SearchParam;

    fn deref(&self) -> &SearchParam {
        self.0
    }
}

impl PartialEq for Param {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id && self.0.kind == other.0.kind
    }
}

/// A search, parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// All must hold.
    pub conditions: Vec<Condition>,
    pub includes: Vec<Include>,
    pub sort: Vec<Sort>,
    /// `_count`; None: the default.
    pub count: Option<u32>,
    pub total: Total,
    pub view: View,
    pub contained: Contained,
    /// `_containedType=contained`: what is contained is shown, not what it is in.
    pub shows_contained: bool,
    pub cursor: Option<String>,
    /// Parameters left out and other warnings.
    pub issues: Vec<Issue>,
    /// A parameter was not known, or not yet built: another process may have changed that.
    pub missed: bool,
    /// A parameter that a SearchParameter of this server defines took part.
    pub uses_custom: bool,
    /// The parameters that took part, in order, for the self link. Without `_cursor`.
    pub used: Vec<(String, String)>,
}

/// Which resource types a search is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Types {
    One(TypeId),
    /// A search of the whole system: sorted, without duplicates, never empty.
    Many(Vec<TypeId>),
}

impl Types {
    /// The types as a list.
    #[must_use]
    pub fn as_slice(&self) -> &[TypeId] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// One condition on a resource. Values in a list are alternatives.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Id(Vec<String>),
    LastUpdated(Vec<SpanTest>),
    Token {
        param: Param,
        values: Vec<TokenTest>,
        /// `:not`: no value of the resource matches; also true when it has none.
        not: bool,
    },
    String {
        param: Param,
        mode: StringMode,
        values: Vec<String>,
    },
    Date {
        param: Param,
        values: Vec<SpanTest>,
    },
    Number {
        param: Param,
        values: Vec<NumberTest>,
    },
    Quantity {
        param: Param,
        values: Vec<QuantityTest>,
    },
    Uri {
        param: Param,
        mode: UriMode,
        values: Vec<String>,
    },
    Reference {
        param: Param,
        values: Vec<Target>,
    },
    /// `near` of Location.
    Near {
        param: Param,
        values: Vec<NearTest>,
    },
    /// Each value has one test for each component.
    Composite {
        param: Param,
        values: Vec<Vec<ComponentTest>>,
    },
    Missing {
        param: Param,
        missing: bool,
    },
    /// The resource refers, through `param`, to one that satisfies any of the links.
    Chain {
        param: Param,
        links: Vec<(TypeId, Condition)>,
    },
    /// A resource of type `source` that satisfies the condition refers here through `param`.
    Has {
        source: TypeId,
        param: Param,
        condition: Box<Condition>,
    },
    // The following come from rewrites and compartments, not from the query string.
    /// The patient column is one of these keys.
    Patient(Vec<i64>),
    /// The patient that the resource is about satisfies the condition ([`Chain`](Self::Chain)
    /// through the patient column).
    PatientIs(Box<Condition>),
    /// The resource has nothing to sort by in the parameter.
    Unsorted(Param),
    /// Not a Provenance that this server made of a write: searches over all types leave those out,
    /// as they leave out who looked at what.
    Unnoted,
    /// This one resource exists for the viewer, whatever row is looked at.
    Exists(TypeId, String),
    /// At least one holds.
    Any(Vec<Condition>),
    Compartment(Compartment),
    /// All hold.
    All(Vec<Condition>),
    Not(Box<Condition>),
    /// `:in`, `:not-in`: becomes a list of codes before the search is planned.
    ValueSet {
        param: Param,
        /// URLs or ids of stored value sets.
        sets: Vec<String>,
        not: bool,
    },
    /// `:below`, `:above` of tokens: becomes a list of codes before the search is planned.
    Subsumed {
        param: Param,
        /// System and code.
        values: Vec<(String, String)>,
        is_up: bool,
    },
    /// `:below`, `:above` of references.
    Hierarchy {
        param: Param,
        of: Hierarchy,
    },
    /// `_text` (of the narrative) and `_content`.
    Text {
        narrative: bool,
        /// Alternatives, each of terms that all hold.
        any: Vec<Vec<Term>>,
    },
}

impl Condition {
    /// The conditions inside a condition.
    pub(super) fn inner_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Any(all) | Self::All(all) => all.iter_mut().collect(),
            Self::Not(one) | Self::PatientIs(one) => vec![one],
            Self::Has { condition, .. } => vec![condition],
            Self::Chain { links, .. } => links.iter_mut().map(|(_, one)| one).collect(),
            _ => Vec::new(),
        }
    }
}

/// A word, or words that follow each other, in full text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// It must not be there.
    pub not: bool,
    /// Folded; never empty.
    pub words: Vec<String>,
    /// The last word is the beginning of one.
    pub is_prefix: bool,
}

/// A resource and all below or above it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hierarchy {
    pub type_id: TypeId,
    pub id: String,
    /// The parameter of that type whose references make the hierarchy.
    pub part_of: Param,
    pub is_up: bool,
}

/// The compartment of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compartment {
    /// The resource that it is the compartment of.
    pub own: TypeId,
    pub id: String,
    /// The patient column tells, beside the references.
    pub by_column: bool,
    /// By type, the parameters that put resources into the compartment.
    pub arms: Vec<(TypeId, Vec<ParamId>)>,
}

/// `system|code` and its shortened forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenTest {
    pub system: SystemTest,
    /// None: any code of the system (`system|`).
    pub code: Option<CodeTest>,
}

/// What a token asks of the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeTest {
    Is(String),
    /// `:of-type`: an identifier with this value whose type has this code; the test's system is
    /// the type's.
    OfType {
        type_code: String,
        value: String,
    },
}

/// What a token or quantity asks of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemTest {
    Any,
    /// `|code`
    None,
    Is(String),
}

/// How a string parameter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringMode {
    /// Folded, from the start.
    Prefix,
    /// Folded, anywhere.
    Contains,
    /// To the letter.
    Exact,
    /// Folded, from the start of any word.
    Words,
    /// Folded, the whole of it.
    Is,
    /// Folded, to the end.
    Ends,
    /// Folded, after it in the order of characters, by the first 256.
    After,
    /// The same, or it.
    From,
    /// Folded, before it.
    Before,
    /// The same, or it.
    UpTo,
}

/// How a uri parameter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriMode {
    Exact,
    Below,
    Above,
}

/// The prefix of a date, number or quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prefix {
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    Sa,
    Eb,
    Ap,
    /// Overlaps (`_filter` alone).
    Po,
}

/// A prefix and the time span that the value stands for: ms, low inclusive, high exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanTest {
    pub prefix: Prefix,
    pub low: i64,
    pub high: i64,
}

/// A prefix and a number with the range its digits imply: low inclusive, high exclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NumberTest {
    pub prefix: Prefix,
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Within a distance of a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearTest {
    /// None: anywhere.
    pub circle: Option<Circle>,
}

impl NumberTest {
    /// A test whose range holds its value. Half a unit of the sixteenth digit may be less than what
    /// floats can tell apart: a range that rounding made empty is the value alone.
    #[must_use]
    pub fn within(prefix: Prefix, value: f64, low: f64, high: f64) -> Self {
        Self {
            prefix,
            value,
            low: low.min(value),
            high: if high > value { high } else { value.next_up() },
        }
    }

    /// The same test of numbers in another unit.
    #[must_use]
    pub fn map(&self, convert: impl Fn(f64) -> f64) -> Self {
        Self::within(
            self.prefix,
            convert(self.value),
            convert(self.low),
            convert(self.high),
        )
    }
}

/// `number|system|unit`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantityTest {
    pub number: NumberTest,
    pub system: SystemTest,
    /// None: any unit.
    pub unit: Option<String>,
}

/// What a reference points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A resource of this server.
    Local(TypeId, String),
    /// Anything else: a foreign URL, a canonical.
    Url(String),
}

/// One component of a composite value.
#[derive(Clone, Debug, PartialEq)]
pub enum ComponentTest {
    Token(TokenTest),
    String(String),
    Uri(String),
    Number(NumberTest),
    Quantity(QuantityTest),
    Date(SpanTest),
    Reference(Vec<Target>),
    // What the following stand for is known when the database was asked.
    /// A quantity in UCUM: in any of the units that stand in the index.
    Amounts(Vec<Amount>),
}

/// A number and the UCUM units in which it is that number.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    pub number: NumberTest,
    /// Never empty.
    pub units: Vec<String>,
}

/// `_include` or `_revinclude`.
#[derive(Clone, Debug, PartialEq)]
pub struct Include {
    pub reverse: bool,
    pub iterate: bool,
    /// The type that holds the reference; None is `*`.
    pub source: Option<TypeId>,
    /// The reference parameters of `source`; empty is `*`.
    pub param: Option<Param>,
    /// Only targets of this type.
    pub target: Option<TypeId>,
}

/// One key of `_sort`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sort {
    pub by: SortBy,
    pub descending: bool,
}

/// What a sort key is taken from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SortBy {
    Id,
    LastUpdated,
    Param(Param),
}

/// `_contained` (R4 search, 3.1.1.5.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contained {
    /// `false`: resources of their own.
    #[default]
    No,
    /// `true`: only what is contained in others.
    Only,
    /// `both`
    Both,
}

/// `_total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Total {
    /// Only when it costs nothing: the first page is the last one too.
    #[default]
    None,
    Estimate,
    Accurate,
}

/// `_summary` and `_elements`: how much of each resource is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Full,
    Summary(Summary),
    /// Top-level element names.
    Elements(Vec<String>),
    /// The number of matches and nothing else (`_summary=count`, `_count=0`).
    Count,
}

/// `_summary`, the values that cut resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    True,
    Text,
    Data,
}
