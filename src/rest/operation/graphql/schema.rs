//! The schema of `$graphql`: what a query may name, as the executor answers it. Nothing of it is
//! kept but the names of the types: fields and arguments are read off the definitions whenever
//! somebody asks.
//!
//! The names are those of R4 GraphQL and of the schemas that HL7 publishes with it: `PatientContact`
//! for the backbone element `Patient.contact`, `ElementBase` for what stands at `_birthDate`, `String`,
//! `Boolean`, `Int` and `ID` for the primitive types that GraphQL has too, search parameters with `_`
//! for `-` and the kind of parameter as the type of their values.
//!
//! The executor takes more than the schema says: the arguments of a list at an element that stands
//! once, choices as arguments of `extension`, and types with a parameter that may refer to anything
//! (`ListList(_reference: item)`) within every resource. All of it together would be a schema that
//! no client wants to load.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::directives::ALL as DIRECTIVES;
use super::inputs::{Arguments, NO_ARGUMENTS, OF_ID, OF_REFERENCE, Place};
use super::meta::Meta;
use crate::fhir::definitions::elements::{Element, Kind, Type};
use crate::fhir::definitions::{TypeId, definitions};

/// A type with a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    Scalar(&'static str),
    /// Of FHIR: a datatype, a backbone element, a resource type, `Resource`, `DomainResource`.
    Own(&'static Type),
    /// The root of a query to the system.
    Query,
    Connection(TypeId),
    Edge(TypeId),
    /// Of introspection itself.
    Meta(Meta),
}

/// `__TypeKind`, those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeKind {
    Scalar,
    Object,
    Interface,
    Enum,
}

impl Named {
    /// The name in GraphQL.
    pub(super) fn name(self) -> Cow<'static, str> {
        match self {
            Self::Scalar(name) => name.into(),
            Self::Own(own) => type_name(own),
            Self::Query => "Query".into(),
            Self::Connection(id) => format!("{}Connection", definitions().type_name(id)).into(),
            Self::Edge(id) => format!("{}Edge", definitions().type_name(id)).into(),
            Self::Meta(meta) => meta.name().into(),
        }
    }

    pub(super) fn kind(self) -> TypeKind {
        match self {
            Self::Scalar(_) => TypeKind::Scalar,
            Self::Own(own) if own.kind == Kind::AnyResource => TypeKind::Interface,
            Self::Meta(meta) if !meta.values().is_empty() => TypeKind::Enum,
            _ => TypeKind::Object,
        }
    }

    /// Where a scalar of FHIR's is described.
    pub(super) fn specified_by(self) -> Option<String> {
        match self {
            Self::Scalar("Boolean" | "ID" | "Int" | "String") => None,
            Self::Scalar(name) if definitions().elements().by_name(name).is_some() => {
                Some(format!("http://hl7.org/fhir/R4/datatypes.html#{name}"))
            }
            Self::Scalar(name) => Some(format!("http://hl7.org/fhir/R4/search.html#{name}")),
            _ => None,
        }
    }
}

/// `Patient.contact` is `PatientContact`: a name in GraphQL has no full stop.
pub(super) fn type_name(own: &'static Type) -> Cow<'static, str> {
    if own.name == "Element" {
        return "ElementBase".into();
    }
    if !own.name.contains('.') {
        return own.name.into();
    }
    let mut name = String::with_capacity(own.name.len());
    for part in own.name.split('.') {
        let mut letters = part.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name.into()
}

/// The interfaces of a type, which are conditions of fragments too.
pub(super) fn interfaces(own: &Type) -> &'static [&'static str] {
    match own.kind {
        Kind::Resource if own.properties.contains_key("modifierExtension") => {
            &["Resource", "DomainResource"]
        }
        Kind::Resource => &["Resource"],
        Kind::AnyResource if own.name == "DomainResource" => &["Resource"],
        _ => &[],
    }
}

/// What stands around a named type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrap {
    /// `X`
    Plain,
    /// `X!`
    Must,
    /// `[X]`
    List,
    /// `[X!]`
    ListOfMust,
    /// `[X!]!`
    MustListOfMust,
}

/// A type as a field or an argument has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ref {
    pub(super) named: Named,
    pub(super) wrap: Wrap,
}

impl Ref {
    pub(super) const fn new(named: Named, wrap: Wrap) -> Self {
        Self { named, wrap }
    }

    /// The kind of a type that has no name of its own, and what it is of.
    pub(super) fn outer(self) -> Option<(&'static str, Self)> {
        let (kind, wrap) = match self.wrap {
            Wrap::Plain => return None,
            Wrap::Must => ("NON_NULL", Wrap::Plain),
            Wrap::List => ("LIST", Wrap::Plain),
            Wrap::ListOfMust => ("LIST", Wrap::Must),
            Wrap::MustListOfMust => ("NON_NULL", Wrap::ListOfMust),
        };
        Some((kind, Self { wrap, ..self }))
    }
}

/// A field of an object.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: Cow<'static, str>,
    pub(super) of: Ref,
    pub(super) arguments: Arguments,
}

/// The elements of a type, choices spelt out, in the specification's order, with their types.
pub(super) fn elements(own: &'static Type) -> Vec<(&'static str, &'static Element, &'static Type)> {
    let mut properties: Vec<_> = own.properties.iter().collect();
    properties.sort_unstable_by_key(|(name, property)| (property.element, **name));
    properties
        .into_iter()
        .filter_map(|(name, property)| {
            let element = own.elements.get(usize::from(property.element))?;
            let one = definitions().elements().get(property.type_index)?;
            (element.max != Some(0)).then_some((*name, element, one))
        })
        .collect()
}

/// A type of FHIR as GraphQL has it.
pub(super) fn named(own: &'static Type) -> Named {
    match own.kind {
        Kind::Primitive(_) => Named::Scalar(match own.name {
            "boolean" => "Boolean",
            "id" => "ID",
            "integer" => "Int",
            "string" => "String",
            name => name,
        }),
        _ => Named::Own(own),
    }
}

/// What a query may name.
#[derive(Debug, Default)]
pub(super) struct Schema {
    types: BTreeMap<Cow<'static, str>, Named>,
    /// By resource type: the types that have a reference to it.
    referring: HashMap<TypeId, Vec<TypeId>>,
}

/// The schema, made when it is first asked for.
pub(super) fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::new);
    &SCHEMA
}

impl Schema {
    fn new() -> Self {
        let mut all = Self::default();
        for (type_id, name) in definitions().types() {
            let mut targets: Vec<TypeId> = Vec::new();
            for param in definitions().search_params(type_id) {
                targets.extend(&param.targets);
            }
            if name == "Provenance" {
                // What is done about a resource is asked for of every type.
                targets.extend(definitions().types().map(|(id, _)| id));
            }
            targets.sort_unstable();
            targets.dedup();
            for target in targets {
                all.referring.entry(target).or_default().push(type_id);
            }
        }
        let mut open = vec![Named::Query, Named::Meta(Meta::Schema)];
        for name in ["Boolean", "ID", "Int", "String"] {
            open.push(Named::Scalar(name));
        }
        open.extend(
            DIRECTIVES
                .iter()
                .flat_map(|one| one.arguments)
                .map(|one| one.of.named),
        );
        while let Some(one) = open.pop() {
            if all.types.insert(one.name(), one).is_some() {
                continue;
            }
            for field in all.fields(one) {
                open.push(field.of.named);
                open.extend(field.arguments.all().iter().map(|input| input.of.named));
            }
            if let Named::Own(own) = one {
                open.extend(interfaces(own).iter().filter_map(|name| of_fhir(name)));
            }
        }
        all
    }

    /// Every type by its name, of the system or of a resource: that has no `Query`.
    pub(super) fn types(&self, root: Option<&'static Type>) -> impl Iterator<Item = Named> {
        let types = self.types.values().copied();
        types.filter(move |one| root.is_none() || !matches!(one, Named::Query))
    }

    /// A type by its name.
    pub(super) fn find(&self, root: Option<&'static Type>, name: &str) -> Option<Named> {
        let found = self.types.get(name).copied()?;
        (root.is_none() || !matches!(found, Named::Query)).then_some(found)
    }

    /// The fields of an object or interface.
    pub(super) fn fields(&self, of: Named) -> Vec<Field> {
        match of {
            Named::Scalar(_) => Vec::new(),
            Named::Own(own) => self.own_fields(own),
            Named::Query => root_fields(),
            Named::Connection(type_id) => connection_fields(type_id),
            Named::Edge(type_id) => vec![
                plain("mode", "code"),
                plain("score", "decimal"),
                Field {
                    name: "resource".into(),
                    of: Ref::new(resource(type_id), Wrap::Plain),
                    arguments: NO_ARGUMENTS,
                },
            ],
            Named::Meta(meta) => meta
                .fields()
                .iter()
                .map(|one| Field {
                    name: one.name.into(),
                    of: one.of,
                    arguments: Arguments::Fixed(one.arguments),
                })
                .collect(),
        }
    }

    fn own_fields(&self, own: &'static Type) -> Vec<Field> {
        let mut all = Vec::with_capacity(own.properties.len() * 2);
        if matches!(own.kind, Kind::Resource | Kind::AnyResource) {
            all.push(Field {
                name: "resourceType".into(),
                of: Ref::new(Named::Scalar("code"), Wrap::Must),
                arguments: NO_ARGUMENTS,
            });
        }
        let base = definitions().elements().by_name("Element");
        for (name, element, one) in elements(own) {
            let is_list = element.is_array();
            let wrap = if is_list { Wrap::List } else { Wrap::Plain };
            let is_primitive = matches!(one.kind, Kind::Primitive(_));
            let chosen = |inner| match is_list {
                true => Arguments::List(inner),
                false => NO_ARGUMENTS,
            };
            all.push(Field {
                name: name.into(),
                of: Ref::new(named(one), wrap),
                arguments: if is_primitive {
                    NO_ARGUMENTS
                } else {
                    chosen(one)
                },
            });
            if let Some((_, base)) = base
                && is_primitive
            {
                all.push(Field {
                    name: format!("_{name}").into(),
                    of: Ref::new(Named::Own(base), wrap),
                    arguments: chosen(base),
                });
            }
        }
        if own.name == "Reference" {
            all.extend(of_fhir("Resource").map(|any| Field {
                name: "resource".into(),
                of: Ref::new(any, Wrap::Plain),
                arguments: Arguments::Fixed(OF_REFERENCE),
            }));
        }
        let referring = (own.kind == Kind::Resource)
            .then(|| definitions().type_id(own.name))
            .flatten()
            .and_then(|type_id| self.referring.get(&type_id));
        for &type_id in referring.into_iter().flatten() {
            all.extend(searches(type_id, [Place::Within, Place::Within]));
        }
        all
    }
}

/// A type of FHIR by its name.
pub(super) fn of_fhir(name: &str) -> Option<Named> {
    definitions()
        .elements()
        .by_name(name)
        .map(|(_, own)| Named::Own(own))
}

fn resource(type_id: TypeId) -> Named {
    of_fhir(definitions().type_name(type_id)).unwrap_or(Named::Scalar("String"))
}

fn plain(name: &'static str, scalar: &'static str) -> Field {
    Field {
        name: name.into(),
        of: Ref::new(Named::Scalar(scalar), Wrap::Plain),
        arguments: NO_ARGUMENTS,
    }
}

/// `PatientList` and `PatientConnection`.
fn searches(type_id: TypeId, places: [Place; 2]) -> [Field; 2] {
    let name = definitions().type_name(type_id);
    let [list, connection] = places;
    [
        Field {
            name: format!("{name}List").into(),
            of: Ref::new(resource(type_id), Wrap::List),
            arguments: Arguments::Search(type_id, list),
        },
        Field {
            name: format!("{name}Connection").into(),
            of: Ref::new(Named::Connection(type_id), Wrap::Plain),
            arguments: Arguments::Search(type_id, connection),
        },
    ]
}

fn root_fields() -> Vec<Field> {
    let mut all = Vec::new();
    for (type_id, name) in definitions().types() {
        all.push(Field {
            name: name.into(),
            of: Ref::new(resource(type_id), Wrap::Plain),
            arguments: Arguments::Fixed(OF_ID),
        });
        all.extend(searches(type_id, [Place::RootList, Place::RootConnection]));
    }
    all
}

fn connection_fields(type_id: TypeId) -> Vec<Field> {
    let mut all = vec![
        plain("count", "Int"),
        plain("offset", "Int"),
        plain("pagesize", "Int"),
        plain("pageSize", "Int"),
        plain("first", "ID"),
        plain("previous", "ID"),
        plain("next", "ID"),
        plain("last", "ID"),
    ];
    all.push(Field {
        name: "edges".into(),
        of: Ref::new(Named::Edge(type_id), Wrap::List),
        arguments: NO_ARGUMENTS,
    });
    all
}
