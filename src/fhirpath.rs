//! FHIRPath on JSON: parsed once, evaluated on borrowed values.
//!
//! After <http://hl7.org/fhirpath/N1/> with FHIR R4's additions
//! (<https://hl7.org/fhir/R4/fhirpath.html>), read leniently as R4's own search parameters need it:
//! `as` filters a collection, a choice element answers to `value` and to `valueQuantity`, a name
//! that does not exist is empty. `resolve()` never asks anybody: a contained resource is found, and
//! of any other target only the type is known, from the reference itself. There is no I/O and no
//! clock; hostile expressions and resources end in an error, not in a crash or a long wait.

mod ast;
mod convert;
mod eval;
mod function;
mod lexer;
mod locate;
mod math;
mod node;
mod operators;
mod parser;
mod quantity;
pub mod reference;
mod strings;
mod temporal;
mod types;

#[cfg(test)]
pub(crate) mod tests;

use serde_json::Value;

pub(crate) use ast::{Ast, Literal, Operator, TypeSpec};
pub(crate) use function::Function;
pub use node::{Element, Node};
pub use quantity::Quantity;
pub use temporal::Time;
pub use types::is_resource;
pub(crate) use types::specialises;

use crate::clock::Millis;

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {message}")]
pub struct ParseError {
    /// Byte offset into the text.
    pub at: usize,
    /// What is wrong there; quotes nothing but names of functions.
    pub message: String,
}

/// Why an expression has no result on a resource. Holds no value of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Several items where one is allowed.
    #[error("{0} needs a single item and there are several")]
    NotSingle(&'static str),
    /// An item of a type that the operation does not take.
    #[error("{0} does not take an item of this type")]
    WrongType(&'static str),
    /// `now()` or `today()` without a clock in the [`Context`].
    #[error("the time is not known here")]
    NoClock,
    /// A `%variable` that does not exist.
    #[error("an unknown %variable")]
    UnknownVariable,
    /// More work than the [`Context`] allows.
    #[error("the expression takes more work than is allowed")]
    TooMuchWork,
    /// [`Expr::locate`] of something computed, which has no place in the resource.
    #[error("the expression computes a value and names no element")]
    NotAnElement,
}

/// What an evaluation knows beside the resource.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The moment that `now()` and `today()` tell; an error where they are used without.
    pub now: Option<Millis>,
    /// The zone they tell it in, minutes east of UTC.
    pub offset: i16,
    /// Items and steps that an evaluation may take before it gives up.
    pub budget: u32,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            now: None,
            offset: 0,
            budget: 500_000,
        }
    }
}

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    ast: Ast,
}

/// Parses an expression of at most 16 KiB.
///
/// # Errors
/// With the place and the reason where the text is no expression, calls an unknown function, or
/// nests too deeply.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    parser::parse(text).map(|ast| Expr { ast })
}

impl Expr {
    /// The items that the expression finds on a resource.
    ///
    /// # Errors
    /// As [`EvalError`] says.
    pub fn evaluate<'a>(
        &'a self,
        resource: &'a Value,
        context: &Context,
    ) -> Result<Vec<Node<'a>>, EvalError> {
        self.evaluate_at(Node::of(resource), resource, context)
    }

    /// The same, from an element `focus` within `resource`, which is `%resource`.
    ///
    /// # Errors
    /// As [`EvalError`] says.
    pub fn evaluate_at<'a>(
        &'a self,
        focus: Node<'a>,
        resource: &'a Value,
        context: &Context,
    ) -> Result<Vec<Node<'a>>, EvalError> {
        eval::evaluate(&self.ast, focus, resource, context)
    }

    /// Whether the expression is true of a resource, as an invariant or criterion: empty is false, a
    /// single item that is no boolean is true.
    ///
    /// # Errors
    /// As [`EvalError`] says; several items are [`EvalError::NotSingle`].
    pub fn holds(&self, resource: &Value, context: &Context) -> Result<bool, EvalError> {
        self.holds_at(Node::of(resource), resource, context)
    }

    /// The same of an element `focus` within `resource`, which is `%resource`.
    ///
    /// # Errors
    /// As [`Expr::holds`].
    pub fn holds_at(
        &self,
        focus: Node<'_>,
        resource: &Value,
        context: &Context,
    ) -> Result<bool, EvalError> {
        let found = self.evaluate_at(focus, resource, context)?;
        Ok(eval::truth(&found, "a criterion")?.unwrap_or(false))
    }

    /// Whether an element within `resource`, which `root` contains or is (`%rootResource`), keeps the
    /// invariant that the expression is: it does unless it is false, as R4's authors take it
    /// (`fullUrl.contains('/_history/').not()` is empty without a fullUrl). And what is left of the
    /// budget, for who asks many.
    pub fn keeps(
        &self,
        focus: Node<'_>,
        (resource, root): (&Value, &Value),
        context: &Context,
    ) -> (Result<bool, EvalError>, u32) {
        let (found, left) = eval::evaluate_within(&self.ast, focus, (resource, root), context);
        let keeps = found.and_then(|found| eval::truth(&found, "an invariant"));
        (keeps.map(|keeps| keeps.unwrap_or(true)), left)
    }

    /// Where the elements stand that the expression finds: JSON pointers (RFC 6901) into the
    /// resource, in the order of the JSON, each once. A primitive with extensions stands in two
    /// places, `/birthDate` and `/_birthDate`.
    ///
    /// # Errors
    /// As [`EvalError`] says; [`EvalError::NotAnElement`] if any item is not part of the resource.
    pub fn locate(&self, resource: &Value, context: &Context) -> Result<Vec<String>, EvalError> {
        let found = self.evaluate(resource, context)?;
        locate::locate(resource, &found)
    }

    /// Whether it is a path of elements with numbers at most, `Patient.name[0].given`, which computes and
    /// compares nothing.
    #[must_use]
    pub fn is_plain_path(&self) -> bool {
        let mut ast = &self.ast;
        loop {
            ast = match ast {
                Ast::Start(_) => return true,
                Ast::Member(of, _) => of,
                Ast::At(of, number) if matches!(**number, Ast::Literal(Literal::Integer(_))) => of,
                _ => return false,
            };
        }
    }

    /// Its syntax tree, for who can do better than evaluate it.
    pub(crate) fn ast(&self) -> &Ast {
        &self.ast
    }
}
