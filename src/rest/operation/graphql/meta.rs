//! The types of introspection (GraphQL October 2021, 4.2), as tables. `isDeprecated` of arguments and
//! `isOneOf` came after that edition; clients that know them ask for them.

use super::inputs::Input;
use super::schema::{Named, Ref, Wrap};

/// A type that introspection answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meta {
    Schema,
    Type,
    TypeKind,
    Field,
    InputValue,
    EnumValue,
    Directive,
    DirectiveLocation,
}

/// A field of such a type.
#[derive(Debug)]
pub(super) struct MetaField {
    pub(super) name: &'static str,
    pub(super) of: Ref,
    pub(super) arguments: &'static [Input],
}

impl MetaField {
    /// The type of what it answers, where that is an object.
    pub(super) fn inner(&self) -> Option<Meta> {
        match self.of.named {
            Named::Meta(meta) if meta.values().is_empty() => Some(meta),
            _ => None,
        }
    }
}

const DEPRECATED: &[Input] = &[Input::new(
    "includeDeprecated",
    "Boolean",
    Wrap::Plain,
    Some("false"),
)];

const fn text(name: &'static str, wrap: Wrap) -> MetaField {
    scalar(name, "String", wrap)
}

const fn scalar(name: &'static str, of: &'static str, wrap: Wrap) -> MetaField {
    MetaField {
        name,
        of: Ref::new(Named::Scalar(of), wrap),
        arguments: &[],
    }
}

const fn object(name: &'static str, of: Meta, wrap: Wrap) -> MetaField {
    MetaField {
        name,
        of: Ref::new(Named::Meta(of), wrap),
        arguments: &[],
    }
}

/// A list that may leave out what is deprecated.
const fn current(name: &'static str, of: Meta, wrap: Wrap) -> MetaField {
    MetaField {
        name,
        of: Ref::new(Named::Meta(of), wrap),
        arguments: DEPRECATED,
    }
}

const SCHEMA: &[MetaField] = &[
    text("description", Wrap::Plain),
    object("types", Meta::Type, Wrap::MustListOfMust),
    object("queryType", Meta::Type, Wrap::Must),
    object("mutationType", Meta::Type, Wrap::Plain),
    object("subscriptionType", Meta::Type, Wrap::Plain),
    object("directives", Meta::Directive, Wrap::MustListOfMust),
];
const TYPE: &[MetaField] = &[
    object("kind", Meta::TypeKind, Wrap::Must),
    text("name", Wrap::Plain),
    text("description", Wrap::Plain),
    text("specifiedByURL", Wrap::Plain),
    current("fields", Meta::Field, Wrap::ListOfMust),
    object("interfaces", Meta::Type, Wrap::ListOfMust),
    object("possibleTypes", Meta::Type, Wrap::ListOfMust),
    current("enumValues", Meta::EnumValue, Wrap::ListOfMust),
    current("inputFields", Meta::InputValue, Wrap::ListOfMust),
    object("ofType", Meta::Type, Wrap::Plain),
    scalar("isOneOf", "Boolean", Wrap::Plain),
];
const FIELD: &[MetaField] = &[
    text("name", Wrap::Must),
    text("description", Wrap::Plain),
    current("args", Meta::InputValue, Wrap::MustListOfMust),
    object("type", Meta::Type, Wrap::Must),
    scalar("isDeprecated", "Boolean", Wrap::Must),
    text("deprecationReason", Wrap::Plain),
];
const INPUT_VALUE: &[MetaField] = &[
    text("name", Wrap::Must),
    text("description", Wrap::Plain),
    object("type", Meta::Type, Wrap::Must),
    text("defaultValue", Wrap::Plain),
    scalar("isDeprecated", "Boolean", Wrap::Must),
    text("deprecationReason", Wrap::Plain),
];
const ENUM_VALUE: &[MetaField] = &[
    text("name", Wrap::Must),
    text("description", Wrap::Plain),
    scalar("isDeprecated", "Boolean", Wrap::Must),
    text("deprecationReason", Wrap::Plain),
];
const DIRECTIVE: &[MetaField] = &[
    text("name", Wrap::Must),
    text("description", Wrap::Plain),
    object("locations", Meta::DirectiveLocation, Wrap::MustListOfMust),
    current("args", Meta::InputValue, Wrap::MustListOfMust),
    scalar("isRepeatable", "Boolean", Wrap::Must),
];

impl Meta {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Schema => "__Schema",
            Self::Type => "__Type",
            Self::TypeKind => "__TypeKind",
            Self::Field => "__Field",
            Self::InputValue => "__InputValue",
            Self::EnumValue => "__EnumValue",
            Self::Directive => "__Directive",
            Self::DirectiveLocation => "__DirectiveLocation",
        }
    }

    /// The fields of an object.
    pub(super) fn fields(self) -> &'static [MetaField] {
        match self {
            Self::Schema => SCHEMA,
            Self::Type => TYPE,
            Self::Field => FIELD,
            Self::InputValue => INPUT_VALUE,
            Self::EnumValue => ENUM_VALUE,
            Self::Directive => DIRECTIVE,
            Self::TypeKind | Self::DirectiveLocation => &[],
        }
    }

    /// The values of an enum.
    pub(super) fn values(self) -> &'static [&'static str] {
        match self {
            Self::TypeKind => &[
                "SCALAR",
                "OBJECT",
                "INTERFACE",
                "UNION",
                "ENUM",
                "INPUT_OBJECT",
                "LIST",
                "NON_NULL",
            ],
            Self::DirectiveLocation => &[
                "QUERY",
                "MUTATION",
                "SUBSCRIPTION",
                "FIELD",
                "FRAGMENT_DEFINITION",
                "FRAGMENT_SPREAD",
                "INLINE_FRAGMENT",
                "VARIABLE_DEFINITION",
                "SCHEMA",
                "SCALAR",
                "OBJECT",
                "FIELD_DEFINITION",
                "ARGUMENT_DEFINITION",
                "INTERFACE",
                "UNION",
                "ENUM",
                "ENUM_VALUE",
                "INPUT_OBJECT",
                "INPUT_FIELD_DEFINITION",
            ],
            _ => &[],
        }
    }
}
