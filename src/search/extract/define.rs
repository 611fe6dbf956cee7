//! What a SearchParameter resource defines (R4 SearchParameter), or what is wrong with it: each
//! problem is named with its element. A definition that is taken finds something somewhere; one that
//! can find nothing is refused when it is written, not when somebody searches.

use serde_json::Value;

use super::custom::{Custom, Definition, FIRST, Found};
use super::plan::{Fault, Plan};
use crate::fhir::definitions::{ParamKind, SearchParam, TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::fhirpath;

/// What becomes of a SearchParameter resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defined {
    /// A parameter of this server.
    Parameter(Box<Definition>),
    /// Its status is not `active`: stored, not searched with.
    Inactive,
    /// It is, or is derived from, the parameter of the specification that this server has anyway.
    BuiltIn,
}

/// What the resource under the surrogate id `doc` defines beside the parameters that stand.
///
/// # Errors
/// Every problem, with its element.
pub fn define(resource: &Value, doc: i64, standing: &Custom) -> Result<Defined, Vec<Issue>> {
    if text(resource, "status") != "active" {
        return Ok(Defined::Inactive);
    }
    let mut draft = Draft {
        resource,
        issues: Vec::new(),
    };
    let bases = draft.bases();
    let code = text(resource, "code");
    let (own, others): (Vec<TypeId>, Vec<TypeId>) = bases
        .iter()
        .copied()
        .partition(|type_id| is_built_in(resource, *type_id, code));
    if !own.is_empty() && others.is_empty() {
        return Ok(Defined::BuiltIn);
    }
    draft.code(&bases, doc, standing);
    let kind = draft.kind();
    if let Some(kind) = kind {
        draft.words(kind);
        let definition = draft.definition(&bases, kind, standing);
        draft.expression(&bases, &definition);
        if draft.issues.is_empty() {
            return Ok(Defined::Parameter(Box::new(definition)));
        }
    }
    Err(draft.issues)
}

/// Whether the resource speaks of the specification's own parameter of this code.
fn is_built_in(resource: &Value, type_id: TypeId, code: &str) -> bool {
    definitions()
        .search_param(type_id, code)
        .is_some_and(|own| {
            ["url", "derivedFrom"].iter().any(|name| {
                let named = text(resource, name);
                named.split('|').next() == Some(&own.url)
            })
        })
}

struct Draft<'r> {
    resource: &'r Value,
    issues: Vec<Issue>,
}

impl Draft<'_> {
    fn refuse(&mut self, element: &str, code: &'static str, words: impl Into<String>) {
        let issue = Issue::error(code, words).at(format!("SearchParameter.{element}"));
        self.issues.push(issue);
    }

    /// The concrete types of `base`.
    fn bases(&mut self) -> Vec<TypeId> {
        let all = definitions();
        let mut types = Vec::new();
        for (at, name) in texts(self.resource, "base").into_iter().enumerate() {
            match (name, all.type_id(name)) {
                (_, Some(type_id)) => types.push(type_id),
                ("Resource", _) => types.extend(all.types().map(|(type_id, _)| type_id)),
                ("DomainResource", _) => {
                    let domain = all.types().filter(|(_, name)| {
                        let one = all.elements().by_name(name);
                        one.is_some_and(|(_, one)| one.properties.contains_key("extension"))
                    });
                    types.extend(domain.map(|(type_id, _)| type_id));
                }
                _ => self.refuse(
                    &format!("base[{at}]"),
                    "value",
                    "Not a resource type of FHIR R4. Name one, or Resource or DomainResource.",
                ),
            }
        }
        types.sort_unstable();
        types.dedup();
        if types.is_empty() && self.issues.is_empty() {
            self.refuse("base", "required", "Say which resource types it is for.");
        }
        types
    }

    fn code(&mut self, bases: &[TypeId], doc: i64, standing: &Custom) {
        let all = definitions();
        let code = text(self.resource, "code");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_name = code.starts_with(|c: char| c.is_ascii_alphabetic())
            && code.len() <= 64
            && code.bytes().all(plain);
        if !is_name {
            self.refuse(
                "code",
                "value",
                "A code that can stand in a query begins with a letter and has letters, digits, '-' \
                 and '_', 64 at most.",
            );
            return;
        }
        if let Some(clash) = bases
            .iter()
            .find(|type_id| all.search_param(**type_id, code).is_some())
        {
            let words = format!(
                "'{code}' is a search parameter of {} in FHIR R4 already. Choose another code; a \
                 resource that only speaks of that parameter has its url in url or derivedFrom.",
                all.type_name(*clash)
            );
            self.refuse("code", "duplicate", words);
            return;
        }
        let taken = standing.standing().iter().find(|one| {
            one.doc != doc
                && one.definition.code == code
                && one.definition.types().iter().any(|own| bases.contains(own))
        });
        if let Some(taken) = taken {
            let words = format!(
                "'{code}' is the code of another active SearchParameter for the same type, {}. \
                 Retire that one or choose another code.",
                taken.definition.url
            );
            self.refuse("code", "duplicate", words);
        }
    }

    fn kind(&mut self) -> Option<ParamKind> {
        let kind = ParamKind::parse(text(self.resource, "type"));
        if kind.is_none() || kind == Some(ParamKind::Special) {
            self.refuse(
                "type",
                "not-supported",
                "One of number, date, string, token, reference, composite, quantity and uri; a special \
                 parameter needs a server that knows it.",
            );
            return None;
        }
        if let usage @ ("phonetic" | "nearby" | "distance") = text(self.resource, "xpathUsage") {
            let words =
                format!("This server does not index '{usage}'; leave it out or say normal.");
            self.refuse("xpathUsage", "not-supported", words);
        }
        kind
    }

    /// `target`, `comparator`, `modifier`, `chain`, as far as they fit the kind.
    fn words(&mut self, kind: ParamKind) {
        let resource = self.resource;
        let has = |name| !texts(resource, name).is_empty();
        let is_reference = kind == ParamKind::Reference;
        for name in ["target", "chain"] {
            if has(name) && !is_reference {
                self.refuse(
                    name,
                    "business-rule",
                    "Only a parameter of type reference has this.",
                );
            }
        }
        let targets = texts(self.resource, "target");
        for (at, name) in targets.iter().enumerate() {
            if definitions().type_id(name).is_none() && *name != "Resource" {
                let element = format!("target[{at}]");
                self.refuse(&element, "value", "Not a resource type of FHIR R4.");
            }
        }
        let compares = matches!(
            kind,
            ParamKind::Number | ParamKind::Date | ParamKind::Quantity
        );
        if has("comparator") && !compares {
            self.refuse(
                "comparator",
                "business-rule",
                "Only parameters of type number, date and quantity have comparators.",
            );
        }
        for (at, modifier) in texts(self.resource, "modifier").into_iter().enumerate() {
            let known = modifier == "missing" || modifiers(kind).contains(&modifier);
            if !known {
                let words = format!(
                    "This server has no modifier '{modifier}' for parameters of type {}.",
                    kind.code()
                );
                self.refuse(&format!("modifier[{at}]"), "not-supported", words);
            }
        }
        if is_reference {
            self.chains(&targets);
        }
    }

    fn chains(&mut self, targets: &[&str]) {
        let all = definitions();
        let targets: Vec<TypeId> = targets
            .iter()
            .filter_map(|name| all.type_id(name))
            .collect();
        for (at, chain) in texts(self.resource, "chain").into_iter().enumerate() {
            let code = chain.split(['.', ':']).next().unwrap_or_default();
            let known = |type_id: TypeId| all.search_param(type_id, code).is_some();
            let fits = if targets.is_empty() {
                all.types().any(|(type_id, _)| known(type_id))
            } else {
                targets.iter().any(|type_id| known(*type_id))
            };
            if !fits {
                let words = format!("No target type has the search parameter '{code}'.");
                self.refuse(&format!("chain[{at}]"), "value", words);
            }
        }
    }

    fn definition(&mut self, bases: &[TypeId], kind: ParamKind, standing: &Custom) -> Definition {
        let all = definitions();
        let list = |name| texts(self.resource, name).into_iter().map(str::to_owned);
        let flag = |name: &str| self.resource[name].as_bool().unwrap_or(true);
        let mut definition = Definition {
            url: text(self.resource, "url").to_owned(),
            code: text(self.resource, "code").to_owned(),
            kind: kind.code().to_owned(),
            bases: bases
                .iter()
                .map(|type_id| all.type_name(*type_id).to_owned())
                .collect(),
            expression: text(self.resource, "expression").to_owned(),
            targets: list("target").filter(|name| name != "Resource").collect(),
            comparators: list("comparator").collect(),
            modifiers: list("modifier").map(spelt).collect(),
            chains: list("chain").collect(),
            multiple_or: flag("multipleOr"),
            multiple_and: flag("multipleAnd"),
            components: Vec::new(),
        };
        definition.components = self.components(bases, kind, standing);
        definition
    }

    /// The components of a composite: code and kind of what they name.
    fn components(
        &mut self,
        bases: &[TypeId],
        kind: ParamKind,
        standing: &Custom,
    ) -> Vec<(String, String, String)> {
        let list = self.resource["component"].as_array();
        let list = list.map(Vec::as_slice).unwrap_or_default();
        let is_composite = kind == ParamKind::Composite;
        if is_composite && list.len() < 2 || !is_composite && !list.is_empty() {
            let words = if is_composite {
                "A composite has two components or more."
            } else {
                "Only a composite has components."
            };
            self.refuse("component", "business-rule", words);
            return Vec::new();
        }
        let mut components = Vec::new();
        for (at, component) in list.iter().enumerate() {
            let url = text(component, "definition");
            let url = url.split('|').next().unwrap_or_default();
            let known = bases
                .iter()
                .find_map(|type_id| by_url(*type_id, url, standing));
            match known {
                Some(param) if !matches!(param.kind, ParamKind::Composite | ParamKind::Special) => {
                    components.push((
                        param.code.clone(),
                        param.kind.code().to_owned(),
                        text(component, "expression").to_owned(),
                    ));
                }
                Some(_) => self.refuse(
                    &format!("component[{at}].definition"),
                    "not-supported",
                    "A component is no composite and no special parameter.",
                ),
                None => self.refuse(
                    &format!("component[{at}].definition"),
                    "not-found",
                    "No search parameter of a base with this url: one of FHIR R4, or an active \
                     SearchParameter of this server whose index is built.",
                ),
            }
        }
        if kind == ParamKind::Composite && !fits(&components) {
            self.refuse(
                "component",
                "not-supported",
                "Of an occurrence this server keeps two codes (a quantity's unit and a reference \
                 count), one text and one number, date or quantity: choose components of these.",
            );
        }
        components
    }

    fn expression(&mut self, bases: &[TypeId], definition: &Definition) {
        let all = definitions();
        if definition.expression.is_empty() {
            self.refuse("expression", "required", "Say in FHIRPath what it finds.");
            return;
        }
        if let Err(error) = fhirpath::parse(&definition.expression) {
            let words = format!("Not a FHIRPath expression: {error}.");
            self.refuse("expression", "invalid", words);
            return;
        }
        let Some(param) = definition.param(FIRST) else {
            return;
        };
        for type_id in bases {
            let name = all.type_name(*type_id);
            match Plan::check(all, name, &param) {
                Ok(()) => {}
                Err(Fault::Nothing) => {
                    let words = format!("It names no element of {name}.");
                    self.refuse("expression", "value", words);
                }
                Err(Fault::Kind) => {
                    let words = format!(
                        "What it finds in {name} cannot be searched as {}.",
                        definition.kind
                    );
                    self.refuse("type", "value", words);
                }
                Err(Fault::NoPath) => {
                    let words = "The base of a composite must be a path of elements.";
                    self.refuse("expression", "not-supported", words);
                }
                Err(Fault::Evaluation(error)) => {
                    let words = format!("It cannot be evaluated: {error}.");
                    self.refuse("expression", "value", words);
                }
                Err(Fault::Component(at)) => {
                    let words = format!("Not a path to values of its kind from there in {name}.");
                    self.refuse(&format!("component[{at}].expression"), "value", words);
                }
            }
            // A base more would say the same again.
            if !self.issues.is_empty() {
                return;
            }
        }
    }
}

fn by_url(type_id: TypeId, url: &str, standing: &Custom) -> Option<&'static SearchParam> {
    let of_ours = standing.standing().iter().find_map(|one| {
        if one.definition.url != url {
            return None;
        }
        match standing.find(type_id, &one.definition.code) {
            Some(Found::Ready(param)) => Some(param),
            _ => None,
        }
    });
    let mut own = definitions().search_params(type_id).iter();
    own.find(|param| param.url == url).or(of_ours)
}

/// Whether a row has room for these components (`CompositeRow`).
fn fits(components: &[(String, String, String)]) -> bool {
    let (mut codes, mut texts, mut spans) = (0, 0, 0);
    for (_, kind, _) in components {
        match ParamKind::parse(kind) {
            Some(ParamKind::Token | ParamKind::Reference) => codes += 1,
            Some(ParamKind::Quantity) => {
                codes += 1;
                spans += 1;
            }
            Some(ParamKind::Number | ParamKind::Date) => spans += 1,
            _ => texts += 1,
        }
    }
    codes <= 2 && texts <= 1 && spans <= 1
}

/// The modifiers of a kind in R4's own codes, `missing` apart.
fn modifiers(kind: ParamKind) -> &'static [&'static str] {
    match kind {
        ParamKind::String => &["exact", "contains"],
        ParamKind::Token => &["text", "not", "above", "below", "in", "not-in", "ofType"],
        ParamKind::Reference => &["type", "identifier", "above", "below"],
        ParamKind::Uri => &["above", "below"],
        _ => &[],
    }
}

/// A modifier as a query spells it.
fn spelt(code: String) -> String {
    match code.as_str() {
        "ofType" => "of-type".to_owned(),
        _ => code,
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'v>(value: &'v Value, name: &str) -> Vec<&'v str> {
    let list = value.get(name).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
