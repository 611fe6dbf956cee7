//! The syntax tree of an expression, names and functions already looked up.

use rust_decimal::Decimal;

use super::function::Function;
use super::temporal::Time;
use crate::fhir::date::PartialDate;

/// An element's name, and that of its sibling that holds a primitive's id and extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) plain: String,
    pub(crate) sibling: String,
}

impl Name {
    pub(crate) fn new(plain: impl Into<String>) -> Self {
        let plain = plain.into();
        Self {
            sibling: format!("_{plain}"),
            plain,
        }
    }
}

/// A type in `is`, `as` and `ofType`: `Patient`, `FHIR.Patient`, `System.String`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeSpec {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Empty,
    Boolean(bool),
    String(String),
    Integer(i64),
    Decimal(Decimal),
    Date(PartialDate),
    DateTime(PartialDate),
    Time(Time),
    Quantity(Decimal, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Multiply,
    Divide,
    Div,
    Mod,
    Add,
    Subtract,
    Concatenate,
    Union,
    LessOrEqual,
    Less,
    Greater,
    GreaterOrEqual,
    Equal,
    Equivalent,
    NotEqual,
    NotEquivalent,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
}

/// An expression. Its depth is bounded by the parser, so recursion over it is safe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ast {
    Literal(Literal),
    /// `$this`.
    This,
    /// `$index`.
    Index,
    /// `$total`.
    Total,
    /// `%name`.
    Variable(String),
    /// A name at the start of an expression: the focus itself if it is of that type, else a member.
    Start(Name),
    Member(Box<Ast>, Name),
    /// A function on an input; without one, on `$this`.
    Call(Option<Box<Ast>>, Function, Vec<Ast>),
    Is(Box<Ast>, TypeSpec),
    /// `as` and `ofType`, in operator or function form; R4 uses them alike, to filter.
    As(Box<Ast>, TypeSpec),
    At(Box<Ast>, Box<Ast>),
    Negate(Box<Ast>),
    Plus(Box<Ast>),
    Binary(Operator, Box<Ast>, Box<Ast>),
}
