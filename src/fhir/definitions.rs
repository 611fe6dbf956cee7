//! What the official packages define, in derived form: resource types, search parameters,
//! compartments, element tables, required code sets. Loaded once, read by everything.

pub mod derive;
pub mod elements;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::LazyLock;

use elements::Elements;

/// The text of a derived table.
macro_rules! derived {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/fhir-profiles/derived/",
            $name
        ))
    };
}

pub mod constraints;

/// Number of a resource type in every table, stable across releases (`fhir-profiles/derived`).
pub type TypeId = i16;
/// Number of a search parameter in the index tables, stable across releases. One number for each
/// (resource type, code) pair is not needed: rows carry the type beside it.
pub type ParamId = i16;

/// `SearchParameter.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    Number,
    Date,
    String,
    Token,
    Reference,
    Composite,
    Quantity,
    Uri,
    /// `_text`, `_content`, `near`, ...: each is answered in a way of its own, or not.
    Special,
}

/// A search parameter as it applies to one resource type.
#[derive(Clone, Debug)]
pub struct SearchParam {
    pub id: ParamId,
    /// The name in a query, `clinical-status`.
    pub code: String,
    pub kind: ParamKind,
    /// Canonical URL of the SearchParameter.
    pub url: String,
    /// FHIRPath, already cut to this resource type (`Patient.name | Person.name` is split).
    /// Empty for parameters that the store answers itself (`_id`, `_lastUpdated`).
    pub expression: String,
    /// Target types of a reference parameter; empty means any.
    pub targets: Vec<TypeId>,
    /// Components of a composite: (the component parameter's code on this type, the expression
    /// relative to the composite's own).
    pub components: Vec<(Component, String)>,
    /// Of a parameter that a SearchParameter resource of this server defines: what else it says.
    pub rules: Option<Rules>,
}

impl SearchParam {
    /// Whether it is defined as a reference and found in a whole resource: `composition` and
    /// `message` of Bundle, whose values nothing can be compared with. They are not answered.
    #[must_use]
    pub fn is_whole_resource(&self) -> bool {
        self.kind == ParamKind::Reference && self.expression == "Bundle.entry[0].resource"
    }
}

/// What a SearchParameter resource says of its use (R4 SearchParameter), and what its values are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Prefixes that are taken; empty: all.
    pub comparators: Vec<String>,
    /// Modifiers that are taken; empty: all.
    pub modifiers: Vec<String>,
    /// Parameters that a chain may go on with; empty: all.
    pub chains: Vec<String>,
    /// Whether a value may have alternatives, and whether the parameter may be repeated.
    pub multiple_or: bool,
    pub multiple_and: bool,
    /// Codes are told apart by case: identifiers and URIs.
    pub is_exact: bool,
    pub finds_identifiers: bool,
    pub finds_canonicals: bool,
}

/// What a composite's component is searched as.
#[derive(Clone, Debug)]
pub struct Component {
    pub code: String,
    pub kind: ParamKind,
}

/// Everything derived. Get it with [`definitions`].
#[derive(Debug, Default)]
pub struct Definitions {
    pub(crate) types: Vec<String>,
    pub(crate) type_ids: HashMap<String, TypeId>,
    /// By type id: the parameters of that type, including those of Resource and DomainResource.
    pub(crate) params: Vec<Vec<SearchParam>>,
    /// By type id: code -> place in `params`.
    pub(crate) param_index: Vec<HashMap<String, usize>>,
    /// By type id: code of the parameter that says whose a resource is.
    primary_patient: HashMap<TypeId, &'static str>,
    /// Compartment name -> type -> codes.
    compartments: HashMap<&'static str, HashMap<TypeId, Vec<String>>>,
    elements: Elements,
    /// By type id: what `_summary=true` and `_elements` keep.
    summaries: Vec<Vec<String>>,
    mandatory: Vec<Vec<String>>,
    us_core_profiles: Vec<Profile>,
}

/// A US Core profile of a resource type, for `CapabilityStatement.rest.resource.supportedProfile`.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Version of US Core, `6.1.0`.
    pub version: &'static str,
    pub type_id: TypeId,
    /// Canonical URL without the version.
    pub url: &'static str,
}

impl Definitions {
    /// The number of a concrete resource type by its name.
    #[must_use]
    pub fn type_id(&self, name: &str) -> Option<TypeId> {
        self.type_ids.get(name).copied()
    }

    /// The name of a resource type; empty for a number that is none.
    #[must_use]
    pub fn type_name(&self, id: TypeId) -> &str {
        usize::try_from(id)
            .ok()
            .and_then(|at| self.types.get(at))
            .map_or("", String::as_str)
    }

    /// All concrete resource types with their numbers.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &str)> {
        (0..)
            .zip(self.types.iter().map(String::as_str))
            .filter(|(_, name)| !name.is_empty())
    }

    /// The search parameters of a type, those of every resource included.
    #[must_use]
    pub fn search_params(&self, type_id: TypeId) -> &[SearchParam] {
        usize::try_from(type_id)
            .ok()
            .and_then(|at| self.params.get(at))
            .map_or(&[], Vec::as_slice)
    }

    /// One search parameter of a type by its code.
    #[must_use]
    pub fn search_param(&self, type_id: TypeId, code: &str) -> Option<&SearchParam> {
        let at = usize::try_from(type_id).ok()?;
        let place = *self.param_index.get(at)?.get(code)?;
        self.params.get(at)?.get(place)
    }

    /// The parameter whose reference says which patient a resource of this type is about:
    /// `patient` where the type has it, else what `patient.tsv` names (`AdverseEvent.subject`).
    /// `None` for types about no single patient (Group has many) and for Patient itself, which is
    /// its own.
    #[must_use]
    pub fn primary_patient_param(&self, type_id: TypeId) -> Option<&SearchParam> {
        self.search_param(type_id, self.primary_patient.get(&type_id)?)
    }

    /// The codes of the reference parameters that put a resource of this type into a compartment
    /// (`Patient`, `Encounter`, `Practitioner`, `RelatedPerson`, `Device`); empty when the type is
    /// not in it. The compartment's own resource belongs to it without being named here.
    #[must_use]
    pub fn compartment(&self, name: &str, type_id: TypeId) -> &[String] {
        self.compartments
            .get(name)
            .and_then(|types| types.get(&type_id))
            .map_or(&[], Vec::as_slice)
    }

    /// The element tables.
    #[must_use]
    pub fn elements(&self) -> &Elements {
        &self.elements
    }

    /// Top-level elements of a type in `_summary=true`: those marked isSummary and the mandatory
    /// ones, as JSON property names (choices spelt out), in the specification's order.
    #[must_use]
    pub fn summary_elements(&self, type_id: TypeId) -> &[String] {
        by_type(&self.summaries, type_id)
    }

    /// Top-level elements of a type with a minimum of one, which `_elements` and `_summary=text`
    /// keep; as JSON property names (choices spelt out).
    #[must_use]
    pub fn mandatory_elements(&self, type_id: TypeId) -> &[String] {
        by_type(&self.mandatory, type_id)
    }

    /// US Core's resource profiles, by version, then URL.
    #[must_use]
    pub fn us_core_profiles(&self) -> &[Profile] {
        &self.us_core_profiles
    }

    /// Reads the embedded tables.
    fn load() -> Self {
        let mut all = Self {
            elements: Elements::parse(derived!("elements.tsv"), derived!("codes.tsv")),
            ..Self::default()
        };
        all.read_types();
        all.read_params();
        all.read_compartments();
        all.read_summaries();
        all
    }

    fn read_types(&mut self) {
        for (number, name) in numbered(derived!("types.tsv")) {
            let place = usize::try_from(number).unwrap_or_default();
            if self.types.len() <= place {
                self.types.resize(place + 1, String::new());
            }
            if let Some(slot) = self.types.get_mut(place) {
                name.clone_into(slot);
            }
            self.type_ids.insert(name.to_owned(), number);
        }
    }

    fn read_params(&mut self) {
        let numbers: HashMap<&str, ParamId> = numbered(derived!("params.tsv"))
            .map(|(number, code)| (code, number))
            .collect();
        let mut every = Vec::new();
        let mut domain = Vec::new();
        let mut own: HashMap<&str, Vec<SearchParam>> = HashMap::new();
        for line in derived!("search-params.tsv").lines() {
            let Some((base, param)) = self.param(line, &numbers) else {
                continue;
            };
            match base {
                "Resource" => every.push(param),
                "DomainResource" => domain.push(param),
                _ => own.entry(base).or_default().push(param),
            }
        }
        for name in &self.types {
            let mut params = own.remove(name.as_str()).unwrap_or_default();
            if !name.is_empty() {
                let in_domain = self
                    .elements
                    .by_name(name)
                    .is_some_and(|(_, one)| one.properties.contains_key("modifierExtension"));
                let inherited = [("Resource", &every), ("DomainResource", &domain)];
                for (base, shared) in inherited.into_iter().take(if in_domain { 2 } else { 1 }) {
                    params.extend(shared.iter().map(|param| SearchParam {
                        expression: param.expression.replacen(base, name, 1),
                        ..param.clone()
                    }));
                }
            }
            params.sort_by(|a, b| a.code.cmp(&b.code));
            let index = (0..)
                .zip(&params)
                .map(|(at, param)| (param.code.clone(), at))
                .collect();
            self.params.push(params);
            self.param_index.push(index);
        }
    }

    /// One line of `search-params.tsv`, with the type it is for.
    fn param(
        &self,
        line: &'static str,
        numbers: &HashMap<&str, ParamId>,
    ) -> Option<(&'static str, SearchParam)> {
        let mut columns = line.split('\t');
        let (base, code) = (columns.next()?, columns.next()?);
        let kind = ParamKind::parse(columns.next()?)?;
        let targets = columns.next()?;
        let (url, expression) = (columns.next()?, columns.next().unwrap_or_default());
        let components = columns.filter_map(|column| {
            let mut words = column.splitn(3, ' ');
            let (code, kind) = (words.next()?.to_owned(), ParamKind::parse(words.next()?)?);
            Some((Component { code, kind }, words.next()?.to_owned()))
        });
        let param = SearchParam {
            id: *numbers.get(code)?,
            code: code.to_owned(),
            kind,
            url: url.to_owned(),
            expression: expression.to_owned(),
            targets: targets
                .split(',')
                .filter_map(|name| self.type_id(name))
                .collect(),
            components: components.collect(),
            rules: None,
        };
        Some((base, param))
    }

    fn read_compartments(&mut self) {
        for line in derived!("compartments.tsv").lines() {
            let mut columns = line.split('\t');
            if let (Some(name), Some(type_name), Some(codes)) =
                (columns.next(), columns.next(), columns.next())
                && let Some(type_id) = self.type_id(type_name)
            {
                let codes = codes.split(',').map(str::to_owned).collect();
                self.compartments
                    .entry(name)
                    .or_default()
                    .insert(type_id, codes);
            }
        }
        for (type_name, code) in derived!("patient.tsv")
            .lines()
            .filter_map(|l| l.split_once('\t'))
        {
            if let Some(type_id) = self.type_id(type_name) {
                self.primary_patient.insert(type_id, code);
            }
        }
        for line in derived!("us-core-profiles.tsv").lines() {
            let mut columns = line.split('\t');
            if let (Some(version), Some(type_name), Some(url)) =
                (columns.next(), columns.next(), columns.next())
                && let Some(type_id) = self.type_id(type_name)
            {
                self.us_core_profiles.push(Profile {
                    version,
                    type_id,
                    url,
                });
            }
        }
    }

    fn read_summaries(&mut self) {
        for name in &self.types {
            let mut summary = Vec::new();
            let mut mandatory = Vec::new();
            if let Some((_, one)) = self.elements.by_name(name) {
                let mut properties: Vec<_> = one.properties.iter().collect();
                properties.sort_by_key(|(name, property)| (property.element, **name));
                for (name, property) in properties {
                    let Some(element) = one.elements.get(usize::from(property.element)) else {
                        continue;
                    };
                    if element.min > 0 {
                        mandatory.push((*name).to_owned());
                    }
                    if element.min > 0 || element.is_summary {
                        summary.push((*name).to_owned());
                    }
                }
            }
            self.summaries.push(summary);
            self.mandatory.push(mandatory);
        }
    }
}

impl ParamKind {
    /// The kind by its code in `SearchParameter.type`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "number" => Self::Number,
            "date" => Self::Date,
            "string" => Self::String,
            "token" => Self::Token,
            "reference" => Self::Reference,
            "composite" => Self::Composite,
            "quantity" => Self::Quantity,
            "uri" => Self::Uri,
            "special" => Self::Special,
            _ => return None,
        })
    }

    /// The code in `SearchParameter.type`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Date => "date",
            Self::String => "string",
            Self::Token => "token",
            Self::Reference => "reference",
            Self::Composite => "composite",
            Self::Quantity => "quantity",
            Self::Uri => "uri",
            Self::Special => "special",
        }
    }
}

fn by_type(rows: &[Vec<String>], type_id: TypeId) -> &[String] {
    usize::try_from(type_id)
        .ok()
        .and_then(|at| rows.get(at))
        .map_or(&[], Vec::as_slice)
}

/// `number TAB name` lines.
fn numbered(table: &'static str) -> impl Iterator<Item = (i16, &'static str)> {
    table.lines().filter_map(|line| {
        let (number, name) = line.split_once('\t')?;
        Some((number.parse().ok()?, name))
    })
}

/// The derived definitions, parsed on first use.
#[must_use]
pub fn definitions() -> &'static Definitions {
    static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(Definitions::load);
    &DEFINITIONS
}
