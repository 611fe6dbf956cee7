//! The fields of a selection: fragments spread out, equal names brought together, directives
//! understood.

use std::collections::HashMap;

use graphql_parser::query::{Directive, Field, Selection, SelectionSet, TypeCondition};
use serde_json::Value;

use super::arguments::{self, Arguments};
use super::{Fragments, unsupported, wrong};
use crate::fhirpath::Expr;
use crate::rest::RestError;

/// Fragments inside each other.
const MOST_NESTING: usize = 20;

/// The fields that answer under one name.
#[derive(Debug)]
pub(super) struct Group<'q> {
    pub(super) alias: &'q str,
    pub(super) name: &'q str,
    pub(super) arguments: Arguments,
    pub(super) directives: Directives,
    /// What is selected of its values, of all fields together.
    pub(super) selections: Vec<&'q SelectionSet<'static, String>>,
}

impl Group<'_> {
    /// Whether nothing is selected of its values.
    pub(super) fn is_leaf(&self) -> bool {
        self.selections.iter().all(|set| set.items.is_empty())
    }

    /// The value of an argument.
    pub(super) fn argument(&self, name: &str) -> Option<&Value> {
        self.arguments
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value)
    }
}

/// FHIR's directives of a field ("Data Flattening Directives").
#[derive(Debug, Default)]
pub(super) struct Directives {
    pub(super) first: bool,
    pub(super) singleton: bool,
    pub(super) flatten: bool,
    pub(super) slice: Option<Slice>,
}

impl Directives {
    /// Whether there are none.
    pub(super) fn are_none(&self) -> bool {
        !self.first && !self.singleton && !self.flatten && self.slice.is_none()
    }
}

/// What `@slice` puts behind a name.
#[derive(Debug)]
pub(super) enum Slice {
    /// `$index`.
    Index,
    Path(Box<Expr>),
}

/// The groups of a selection so far.
#[derive(Default)]
struct Gathered<'q> {
    groups: Vec<Group<'q>>,
    /// Where the first of a name stands. A selection can have thousands of names, thousands of times.
    places: HashMap<&'q str, usize>,
}

impl<'q> Gathered<'q> {
    fn push(&mut self, group: Group<'q>) {
        // A field that is flattened away has no name that another could have too.
        if !group.directives.flatten {
            self.places.entry(group.alias).or_insert(self.groups.len());
        }
        self.groups.push(group);
    }
}

/// Brings the fields of selections together.
pub(super) struct Collect<'c, 'q> {
    pub(super) fragments: &'c Fragments<'q>,
    pub(super) variables: &'c HashMap<&'q str, Value>,
    /// Selections that may still be looked at.
    pub(super) work: &'c mut usize,
}

impl<'q> Collect<'_, 'q> {
    /// The fields of these selections on a type.
    pub(super) fn groups(
        &mut self,
        sets: &[&'q SelectionSet<'static, String>],
        type_name: &str,
        interfaces: &[&str],
    ) -> Result<Vec<Group<'q>>, RestError> {
        let mut gathered = Gathered::default();
        for set in sets {
            self.set(set, type_name, interfaces, 0, &mut gathered)?;
        }
        Ok(gathered.groups)
    }

    fn set(
        &mut self,
        set: &'q SelectionSet<'static, String>,
        type_name: &str,
        interfaces: &[&str],
        depth: usize,
        gathered: &mut Gathered<'q>,
    ) -> Result<(), RestError> {
        if depth > MOST_NESTING {
            return Err(wrong(
                "Fragments stand too deep in each other, or refer to themselves.",
            ));
        }
        let fits = |condition: &TypeCondition<'static, String>| {
            let TypeCondition::On(wanted) = condition;
            wanted == type_name || interfaces.contains(&wanted.as_str())
        };
        for selection in &set.items {
            *self.work = self.work.checked_sub(1).ok_or_else(too_costly)?;
            match selection {
                Selection::Field(field) => {
                    if self.is_wanted(&field.directives)? {
                        self.field(field, gathered)?;
                    }
                }
                Selection::InlineFragment(fragment) => {
                    if self.is_wanted(&fragment.directives)?
                        && fragment.type_condition.as_ref().is_none_or(fits)
                    {
                        self.only_conditions(&fragment.directives)?;
                        let inner = &fragment.selection_set;
                        self.set(inner, type_name, interfaces, depth + 1, gathered)?;
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.fragment_name;
                    let fragment = self
                        .fragments
                        .get(name.as_str())
                        .copied()
                        .ok_or_else(|| wrong(&format!("There is no fragment `{name}`.")))?;
                    if self.is_wanted(&spread.directives)? && fits(&fragment.type_condition) {
                        self.only_conditions(&spread.directives)?;
                        let inner = &fragment.selection_set;
                        self.set(inner, type_name, interfaces, depth + 1, gathered)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        field: &'q Field<'static, String>,
        gathered: &mut Gathered<'q>,
    ) -> Result<(), RestError> {
        let alias = field.alias.as_deref().unwrap_or(&field.name);
        let arguments = arguments::of(field, self.variables)?;
        let directives = self.directives(&field.directives)?;
        let twin = match directives.flatten {
            true => None,
            false => gathered.places.get(alias).copied(),
        };
        match twin.and_then(|at| gathered.groups.get_mut(at)) {
            None => gathered.push(Group {
                alias,
                name: &field.name,
                arguments,
                directives,
                selections: vec![&field.selection_set],
            }),
            Some(group) if group.name == field.name && group.arguments == arguments => {
                group.selections.push(&field.selection_set);
            }
            // `resource(type: Patient) {…} resource(type: Group) {…}` is FHIR's own example.
            Some(_) if field.name == "resource" => gathered.push(Group {
                alias,
                name: &field.name,
                arguments,
                directives,
                selections: vec![&field.selection_set],
            }),
            Some(_) => {
                return Err(wrong(&format!(
                    "Different fields would both be `{alias}`; give one an alias."
                )));
            }
        }
        Ok(())
    }

    /// `@skip` and `@include`.
    fn is_wanted(&self, directives: &[Directive<'static, String>]) -> Result<bool, RestError> {
        for one in directives {
            let is_skip = match one.name.as_str() {
                "skip" => true,
                "include" => false,
                _ => continue,
            };
            let [(name, value)] = one.arguments.as_slice() else {
                return Err(wrong("@skip and @include take one argument, `if`."));
            };
            let value = arguments::resolve(value, self.variables)?;
            match value.as_bool().filter(|_| name == "if") {
                Some(flag) if flag == is_skip => return Ok(false),
                Some(_) => {}
                None => return Err(wrong("@skip and @include take one argument, `if`.")),
            }
        }
        Ok(true)
    }

    fn only_conditions(&self, directives: &[Directive<'static, String>]) -> Result<(), RestError> {
        match self.directives(directives)?.are_none() {
            true => Ok(()),
            false => Err(unsupported("FHIR's directives stand at fields only.")),
        }
    }

    fn directives(&self, all: &[Directive<'static, String>]) -> Result<Directives, RestError> {
        let mut found = Directives::default();
        for one in all {
            match (one.name.as_str(), one.arguments.as_slice()) {
                ("skip" | "include", _) => {}
                ("first", []) => found.first = true,
                ("singleton", []) => found.singleton = true,
                ("flatten", []) => found.flatten = true,
                ("slice", [(name, value)]) if name == "path" || name == "fhirpath" => {
                    let value = arguments::resolve(value, self.variables)?;
                    found.slice = Some(if value == "$index" {
                        Slice::Index
                    } else {
                        Slice::Path(Box::new(arguments::expression(&value)?))
                    });
                }
                ("first" | "singleton" | "flatten", _) => {
                    return Err(wrong("@first, @singleton and @flatten take no arguments."));
                }
                ("slice", _) => return Err(wrong("@slice takes one argument, `path`.")),
                (name, _) => {
                    return Err(unsupported(format!(
                        "The directive @{name} is not supported; there are @first, @singleton, \
                         @flatten, @slice, @skip and @include."
                    )));
                }
            }
        }
        Ok(found)
    }
}

/// 400: the query asks for too much at once.
pub(super) fn too_costly() -> RestError {
    RestError::bad_request(
        "too-costly",
        "The query takes more work than is allowed: ask for less at once, or in pages \
         (XConnection).",
    )
}
