//! The arguments that the schema tells of.

use std::borrow::Cow;

use super::schema::{Named, Ref, Wrap, elements, named};
use crate::fhir::definitions::elements::{Kind, Type};
use crate::fhir::definitions::{ParamKind, SearchParam, TypeId, definitions};

/// Which arguments a field has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arguments {
    Fixed(&'static [Input]),
    /// Those that choose among elements of this type.
    List(&'static Type),
    Search(TypeId, Place),
}

/// Where a search stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    RootList,
    RootConnection,
    /// Within the resource that is referred to.
    Within,
}

/// An argument.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) name: Cow<'static, str>,
    pub(super) of: Ref,
    pub(super) default: Option<&'static str>,
}

impl Input {
    pub(super) const fn new(
        name: &'static str,
        scalar: &'static str,
        wrap: Wrap,
        default: Option<&'static str>,
    ) -> Self {
        Self {
            name: Cow::Borrowed(name),
            of: Ref::new(Named::Scalar(scalar), wrap),
            default,
        }
    }
}

pub(super) const NO_ARGUMENTS: Arguments = Arguments::Fixed(&[]);
pub(super) const OF_ID: &[Input] = &[Input::new("id", "ID", Wrap::Must, None)];
pub(super) const OF_REFERENCE: &[Input] = &[
    Input::new("optional", "Boolean", Wrap::Plain, Some("false")),
    Input::new("type", "code", Wrap::Plain, None),
];
const OF_LISTS: &[Input] = &[
    Input::new("fhirpath", "String", Wrap::Plain, None),
    Input::new("_offset", "Int", Wrap::Plain, None),
    Input::new("_count", "Int", Wrap::Plain, None),
];
const OF_SEARCHES: &[Input] = &[
    Input::new("fhirpath", "String", Wrap::Plain, None),
    Input::new("_filter", "String", Wrap::Plain, None),
    Input::new("_sort", "String", Wrap::Plain, None),
    Input::new("_count", "Int", Wrap::Plain, None),
    Input::new("_list", "special", Wrap::List, None),
];
const CURSOR: Input = Input::new("_cursor", "String", Wrap::Plain, None);
const REVERSE: Input = Input::new("_reference", "code", Wrap::Must, None);

impl Arguments {
    /// The arguments, one after the other.
    pub(super) fn all(self) -> Vec<Input> {
        match self {
            Self::Fixed(all) => all.to_vec(),
            Self::List(inner) => {
                let mut all = OF_LISTS.to_vec();
                for (name, element, one) in elements(inner) {
                    let is_left_out = inner.name == "Extension" && element.name.ends_with("[x]");
                    if let Kind::Primitive(_) = one.kind
                        && !is_left_out
                    {
                        all.push(Input {
                            name: name.into(),
                            of: Ref::new(named(one), Wrap::List),
                            default: None,
                        });
                    }
                }
                all
            }
            Self::Search(type_id, place) => {
                let mut all = OF_SEARCHES.to_vec();
                match place {
                    Place::RootList => {}
                    Place::RootConnection => all.push(CURSOR),
                    Place::Within => all.insert(0, REVERSE),
                }
                let params = definitions().search_params(type_id).iter();
                all.extend(params.filter_map(argument));
                all
            }
        }
    }
}

/// A search parameter as an argument. Special ones are those that every search answers; `near` and
/// `_query` none does.
fn argument(param: &'static SearchParam) -> Option<Input> {
    let scalar = match (param.kind, param.code.as_str()) {
        (ParamKind::Special, "_text" | "_content") => "special",
        (ParamKind::Special, _) => return None,
        (ParamKind::String, _) => "String",
        (kind, _) => kind.code(),
    };
    let name = match param.code.contains('-') {
        true => param.code.replace('-', "_").into(),
        false => param.code.as_str().into(),
    };
    Some(Input {
        name,
        of: Ref::new(Named::Scalar(scalar), Wrap::List),
        default: None,
    })
}
