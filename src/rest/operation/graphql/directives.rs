//! The directives that a query may have, as the schema tells of them.

use super::inputs::Input;
use super::schema::Wrap;

const FIELD: &[&str] = &["FIELD"];
const SELECTIONS: &[&str] = &["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"];
const IF: &[Input] = &[Input::new("if", "Boolean", Wrap::Must, None)];
const PATH: &[Input] = &[
    Input::new("path", "String", Wrap::Plain, None),
    Input::new("fhirpath", "String", Wrap::Plain, None),
];

/// A directive.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) locations: &'static [&'static str],
    pub(super) arguments: &'static [Input],
}

/// GraphQL's own directives and FHIR's ("Data Flattening Directives").
pub(super) static ALL: &[Directive] = &[
    Directive {
        name: "include",
        description: "Answers this only if it is true.",
        locations: SELECTIONS,
        arguments: IF,
    },
    Directive {
        name: "skip",
        description: "Answers this only if it is false.",
        locations: SELECTIONS,
        arguments: IF,
    },
    Directive {
        name: "first",
        description: "Keeps the first of a list, which is then no list.",
        locations: FIELD,
        arguments: &[],
    },
    Directive {
        name: "singleton",
        description: "Says that there is one value, so that it is no list where something is \
                          flattened or sliced.",
        locations: FIELD,
        arguments: &[],
    },
    Directive {
        name: "flatten",
        description: "Leaves this object out: what is selected of it goes into the one around it.",
        locations: FIELD,
        arguments: &[],
    },
    Directive {
        name: "slice",
        description: "Puts a full stop and a value behind each name: what a FHIRPath expression \
                          gives, or $index. Give one of the arguments.",
        locations: FIELD,
        arguments: PATH,
    },
];
