//! Search parameters cut to the types they apply to, compartments, and whose each type is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::elements::Tables;
use super::{DeriveError, Package, list, text};

/// Parameters of R4 that are examples or name things that R4 does not have.
const NOT_PARAMETERS: [&str; 3] = [
    // `Condition.subject` again and `_id` again, as samples of how to write one.
    "http://hl7.org/fhir/SearchParameter/example",
    "http://hl7.org/fhir/SearchParameter/example-reference",
    // Based on Patient, expression on DocumentReference, extension under example.org.
    "http://hl7.org/fhir/SearchParameter/example-extension",
];

/// Expressions that cannot work as published, by code and what to say instead.
const MENDED: [(&str, &str, &str); 9] = [
    // Published without any expression; its XPath names multipleBirth[x].
    (
        "Patient",
        "birthOrderBoolean",
        "(Patient.multipleBirth as boolean)",
    ),
    // The published URL of the extension is the search parameter's own.
    (
        "Patient",
        "mothersMaidenName",
        "Patient.extension('http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName').value",
    ),
    // R4 has one extension with Name and Type inside, not the ones that are named.
    ("Observation", "amino-acid-change", AMINO_ACID_CHANGE),
    ("Observation", "gene-amino-acid-change", AMINO_ACID_CHANGE),
    ("Observation", "dna-variant", VARIANT),
    ("Observation", "gene-dnavariant", VARIANT),
    // The published ones end in `.code`, so that `system|code` could never match.
    (
        "Patient",
        "race",
        "Patient.extension.where(url = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-race').extension.value.ofType(Coding)",
    ),
    (
        "Patient",
        "ethnicity",
        "Patient.extension.where(url = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity').extension.value.ofType(Coding)",
    ),
    (
        "Patient",
        "gender-identity",
        "Patient.extension.where(url = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-genderIdentity').value.ofType(CodeableConcept)",
    ),
];
const AMINO_ACID_CHANGE: &str = "Observation.extension('http://hl7.org/fhir/StructureDefinition/observation-geneticsAminoAcidChange').extension('Name').value";
const VARIANT: &str = "Observation.extension('http://hl7.org/fhir/StructureDefinition/observation-geneticsVariant').extension('Name').value";

/// The reference that says whose a resource is, for types without a `patient` parameter.
/// Group has many members and is nobody's; Patient is its own.
const PRIMARY: [(&str, &str); 3] = [
    ("AdverseEvent", "subject"),
    ("Schedule", "actor"),
    ("SupplyRequest", "subject"),
];

struct Param {
    kind: String,
    targets: Vec<String>,
    url: String,
    expression: String,
    /// `code kind expression` each.
    components: Vec<String>,
}

/// All search parameters by (type, code); `Resource` and `DomainResource` stand for every type.
pub(super) struct Search(BTreeMap<(String, String), Param>);

impl Search {
    pub(super) fn read(
        core: &Package,
        us_core: &[&Package],
        tables: &Tables,
    ) -> Result<Self, DeriveError> {
        let mut params = BTreeMap::new();
        let by_url: BTreeMap<&str, &Value> = core
            .of_type("SearchParameter")
            .map(|one| (text(one, "url"), one))
            .collect();
        for definition in core.of_type("SearchParameter") {
            if NOT_PARAMETERS.contains(&text(definition, "url")) {
                continue;
            }
            for base in list(definition, "base").iter().filter_map(Value::as_str) {
                let param = cut(definition, base, tables, &by_url)?;
                let key = (base.to_owned(), text(definition, "code").to_owned());
                if let Some(before) = params.insert(key, param) {
                    return Err(DeriveError::Package(format!(
                        "{} and {} have one code on one type",
                        text(definition, "url"),
                        before.url
                    )));
                }
            }
        }
        let own: BTreeSet<(String, String)> = params.keys().cloned().collect();
        for definition in us_core
            .iter()
            .flat_map(|package| package.of_type("SearchParameter"))
        {
            let code = text(definition, "code");
            for base in list(definition, "base").iter().filter_map(Value::as_str) {
                let in_r4 = |name: &str| own.contains(&(name.to_owned(), code.to_owned()));
                if !in_r4(base) && !in_r4("Resource") && !in_r4("DomainResource") {
                    let param = cut(definition, base, tables, &by_url)?;
                    params.insert((base.to_owned(), code.to_owned()), param);
                }
            }
        }
        Ok(Self(params))
    }

    /// Every code once, in order.
    pub(super) fn codes(&self) -> BTreeSet<&str> {
        self.0.keys().map(|(_, code)| code.as_str()).collect()
    }

    /// `type TAB code TAB kind TAB targets TAB url TAB expression`, then a column for each
    /// component of a composite: `code kind expression`.
    pub(super) fn write(&self) -> String {
        let mut out = String::new();
        for ((base, code), param) in &self.0 {
            let targets = param.targets.join(",");
            let mut row = vec![
                base.as_str(),
                code,
                &param.kind,
                &targets,
                &param.url,
                &param.expression,
            ];
            row.extend(param.components.iter().map(String::as_str));
            out.push_str(row.join("\t").trim_end());
            out.push('\n');
        }
        out
    }

    /// `type TAB code` of the parameter whose reference decides which patient a resource is about.
    pub(super) fn primary_patient(&self, tables: &Tables) -> String {
        let mut out = String::new();
        for name in tables.resource_types() {
            let has_patient = self
                .0
                .contains_key(&(name.to_owned(), "patient".to_owned()));
            let other = PRIMARY
                .iter()
                .find(|(one, _)| *one == name)
                .map(|(_, code)| *code);
            if let Some(code) = if has_patient { Some("patient") } else { other } {
                out.push_str(&format!("{name}\t{code}\n"));
            }
        }
        out
    }
}

/// `compartment TAB type TAB code,code`, for the five compartments of R4. `{def}` (the type is the
/// compartment's own) is left out: the resource itself is always in its compartment.
pub(super) fn compartments(core: &Package) -> String {
    let mut rows = BTreeSet::new();
    for definition in core.of_type("CompartmentDefinition") {
        // One file is a sample.
        if !text(definition, "url").starts_with("http://hl7.org/fhir/CompartmentDefinition/")
            || text(definition, "id") == "example"
        {
            continue;
        }
        for resource in list(definition, "resource") {
            let codes: Vec<&str> = list(resource, "param")
                .iter()
                .filter_map(Value::as_str)
                .filter(|code| *code != "{def}")
                .collect();
            if !codes.is_empty() {
                let row = [
                    text(definition, "code"),
                    text(resource, "code"),
                    &codes.join(","),
                ];
                rows.insert(row.join("\t") + "\n");
            }
        }
    }
    rows.into_iter().collect()
}

/// One SearchParameter as it applies to one of its types.
fn cut(
    definition: &Value,
    base: &str,
    tables: &Tables,
    by_url: &BTreeMap<&str, &Value>,
) -> Result<Param, DeriveError> {
    let url = text(definition, "url");
    let code = text(definition, "code");
    let mended = MENDED
        .iter()
        .find(|(one, name, _)| *one == base && *name == code);
    // The store answers these two from its own columns.
    let expression = match mended {
        _ if matches!(code, "_id" | "_lastUpdated") => String::new(),
        Some((_, _, expression)) => (*expression).to_owned(),
        None => cut_expression(text(definition, "expression"), base)?,
    };
    // Without an expression there is nothing to index: `_text`, `_content`, `_query`, `_filter`,
    // and Patient's `age`, which would change every day.
    let special = expression.is_empty() && !matches!(code, "_id" | "_lastUpdated");
    let kind = if special {
        "special"
    } else {
        text(definition, "type")
    };

    let published = list(definition, "target").iter().filter_map(Value::as_str);
    let targets = targets(published.map(str::to_owned).collect(), &expression, tables);

    let mut components = Vec::new();
    for component in list(definition, "component") {
        let part_url = text(component, "definition");
        let part = by_url.get(part_url).ok_or_else(|| {
            DeriveError::Package(format!(
                "{url}: component {part_url} is not in the core package"
            ))
        })?;
        // The type is spelt dateTime; published as DateTime.
        let expression = text(component, "expression").replace("(DateTime)", "(dateTime)");
        components.push(format!(
            "{} {} {expression}",
            text(part, "code"),
            text(part, "type")
        ));
    }
    Ok(Param {
        kind: kind.to_owned(),
        targets,
        url: url.to_owned(),
        expression,
        components,
    })
}

/// The target types that can occur: R4 publishes one list for all types that share a parameter, so
/// Observation's `encounter` would have EpisodeOfCare as well. Empty is any type.
fn targets(published: BTreeSet<String>, expression: &str, tables: &Tables) -> Vec<String> {
    let mut possible = BTreeSet::new();
    for part in union_parts(expression) {
        if let Some((_, rest)) = part.split_once(".where(resolve() is ") {
            possible.insert(rest.trim_end_matches(')').to_owned());
        } else if let Some(some) = tables.targets(part) {
            possible.extend(some.iter().cloned());
        } else {
            possible.clear();
            break;
        }
    }
    let any = possible.is_empty() || possible.contains("Resource");
    let left: BTreeSet<String> = if any || published.is_disjoint(&possible) {
        published
    } else {
        published.intersection(&possible).cloned().collect()
    };
    // R4 spells "any" as the list of all types but Parameters.
    if left.len() + 1 >= tables.resource_types().count() {
        return Vec::new();
    }
    left.into_iter().collect()
}

/// The parts of a union that start at `base`.
///
/// # Errors
/// When the expression says nothing about the type it claims to be for.
fn cut_expression(expression: &str, base: &str) -> Result<String, DeriveError> {
    if expression.is_empty() {
        return Ok(String::new());
    }
    let parts: Vec<String> = union_parts(expression)
        .into_iter()
        .filter_map(|part| {
            let root: String = part
                .trim_start_matches('(')
                .chars()
                .take_while(|one| one.is_ascii_alphanumeric())
                .collect();
            if root == base {
                Some(value_of_extension(part))
            } else if root == "Resource" || root == "DomainResource" {
                Some(part.replacen(&root, base, 1))
            } else if root.starts_with(|one: char| one.is_ascii_lowercase()) {
                // `name | alias`: relative to the resource.
                Some(format!("{base}.{part}"))
            } else {
                None
            }
        })
        .collect();
    if parts.is_empty() {
        return Err(DeriveError::Package(format!(
            "{expression}: nothing in it is about {base}"
        )));
    }
    Ok(parts.join(" | "))
}

/// A parameter on an extension means its value; several are published as the extension itself.
fn value_of_extension(part: &str) -> String {
    if part.contains(".extension(") && part.ends_with("')") {
        format!("{part}.value")
    } else {
        part.to_owned()
    }
}

/// Splits at the `|` that lie outside parentheses and strings.
pub(super) fn union_parts(expression: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut quoted, mut start) = (0_i32, false, 0);
    for (at, one) in expression.char_indices() {
        match one {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            '|' if !quoted && depth == 0 => {
                parts.push(expression[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(expression[start..].trim());
    parts
}
