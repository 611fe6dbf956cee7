//! Requests that a curious app might make, from the words that stand in the record.

use std::collections::BTreeSet;
use std::sync::Arc;

use candor::fhir::definitions::{ParamKind, SearchParam, definitions};
use candor::search::extract::custom::Custom;
use proptest::test_runner::{RngAlgorithm, TestRng};
use rand::RngExt as _;
use serde_json::Value;

use super::data::Twins;

/// A request below the base.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    /// The body of a POST to `_search`.
    pub form: Option<String>,
    /// Any other body, with its media type.
    pub body: Option<(&'static str, String)>,
}

/// Makes requests, the same ones for the same seed.
pub struct Generator {
    random: TestRng,
    types: Vec<String>,
    references: Vec<String>,
    codes: Vec<String>,
    dates: Vec<String>,
    words: Vec<String>,
    numbers: Vec<String>,
    urls: Vec<String>,
    /// Search parameters of the servers' own.
    own: Arc<Custom>,
}

/// The server's own Provenance of the first version of a resource.
fn made_of(reference: &str) -> String {
    format!("Provenance/{}.1", reference.replace('/', "."))
}

impl Generator {
    pub fn new(seed: u64, twins: &Twins) -> Self {
        let mut words = Words::default();
        for resource in &twins.resources {
            words.collect(resource);
        }
        let types: BTreeSet<String> = twins
            .resources
            .iter()
            .filter_map(|one| Some(one["resourceType"].as_str()?.to_owned()))
            .collect();
        let mut bytes = [0_u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let list = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>();
        let mut references = words.references;
        for resource in &twins.resources {
            let id = resource["id"].as_str().unwrap_or_default();
            references.insert(format!(
                "{}/{id}",
                resource["resourceType"].as_str().unwrap_or_default()
            ));
        }
        // What the server wrote down about the writing of each.
        let made: Vec<String> = references
            .iter()
            .filter(|one| !one.starts_with("Provenance/"))
            .map(|one| made_of(one))
            .collect();
        references.extend(made);
        references.insert("Observation/unknown".to_owned());
        Self {
            random: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
            types: types.into_iter().collect(),
            references: list(references),
            codes: list(words.codes),
            dates: list(words.dates),
            words: list(words.words),
            numbers: list(words.numbers),
            urls: list(words.urls),
            own: twins.with.store.custom(),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end.max(1))
    }

    fn one<'a>(&mut self, of: &'a [String]) -> &'a str {
        let at = self.below(of.len());
        of.get(at).map_or("x", String::as_str)
    }

    /// The next request.
    pub fn next(&mut self) -> Request {
        let mut headers = Vec::new();
        let (mut method, mut form) = ("GET", None);
        let references = self.references.clone();
        let mut body = None;
        let path = match self.below(28) {
            0 | 1 => self.one(&references).to_owned(),
            2 => {
                let at = if self.chance(30) {
                    format!("?_at=2026-11-10T15:00:{:02}Z", self.below(60))
                } else {
                    String::new()
                };
                format!("{}/_history{at}", self.one(&references))
            }
            3 => format!("{}/_history/{}", self.one(&references), 1 + self.below(3)),
            4 => {
                let types = self.types.clone();
                let type_name = self.one(&types).to_owned();
                if self.chance(20) {
                    "_history?_count=7".to_owned()
                } else {
                    format!("{type_name}/_history?_count=3")
                }
            }
            5 => {
                headers.push(("if-none-match", format!("W/\"{}\"", 1 + self.below(3))));
                self.one(&references).to_owned()
            }
            6 => {
                let types = self.types.clone();
                let type_name = self.one(&types).to_owned();
                let query = self.query(&type_name);
                format!("Patient/p/{type_name}?{query}")
            }
            7 => {
                let types = self.types.clone();
                let type_name = self.one(&types).to_owned();
                method = "POST";
                form = Some(self.query(&type_name));
                format!("{type_name}/_search")
            }
            8 => {
                let types = self.types.clone();
                let two = format!("{},{}", self.one(&types), self.one(&types));
                let from = self.one(&self.dates.clone()).to_owned();
                format!("?_type={two}&_lastUpdated=ge{}&_count=5", escape(&from))
            }
            9 => {
                // Writes are refused alike, whatever they name.
                method = if self.chance(50) { "DELETE" } else { "PUT" };
                self.one(&references).to_owned()
            }
            10 => {
                // A patch as well.
                method = "PATCH";
                body = Some(if self.chance(50) {
                    (
                        "application/json-patch+json",
                        r#"[{"op": "test", "path": "/status", "value": "final"}]"#.to_owned(),
                    )
                } else {
                    (
                        "application/xml-patch+xml",
                        "<diff><remove sel=\"*/status\"/></diff>".to_owned(),
                    )
                });
                self.one(&references).to_owned()
            }
            11 | 12 => self.everything(),
            13 => self.lastn(),
            14 => self.docref(),
            15 => {
                let operation = ["$meta", "$validate", "$meta", "$everything"][self.below(4)];
                if self.chance(30) {
                    let types = self.types.clone();
                    let type_name = self.one(&types).to_owned();
                    ["$meta".to_owned(), format!("{type_name}/$meta")][self.below(2)].clone()
                } else {
                    format!("{}/{operation}", self.one(&references))
                }
            }
            16 => {
                // Reads as a batch has them.
                method = "POST";
                let urls = [
                    self.everything(),
                    self.lastn(),
                    self.docref(),
                    self.one(&references).to_owned(),
                ];
                let entries: Vec<Value> = urls
                    .iter()
                    .map(|url| serde_json::json!({"request": {"method": "GET", "url": url}}))
                    .collect();
                let batch = serde_json::json!({
                    "resourceType": "Bundle", "type": "batch", "entry": entries});
                body = Some(("application/fhir+json", batch.to_string()));
                String::new()
            }
            17 | 18 => {
                method = "POST";
                let (path, query) = self.graph(&references);
                body = Some(("application/graphql", query));
                path
            }
            _ => {
                let types = self.types.clone();
                let type_name = self.one(&types).to_owned();
                let query = self.query(&type_name);
                format!("{type_name}?{query}")
            }
        };
        if self.chance(10) {
            headers.push(("prefer", "handling=strict".to_owned()));
        }
        if self.chance(5) {
            headers.push(("accept", "application/fhir+xml".to_owned()));
        }
        Request {
            method,
            path,
            headers,
            form,
            body,
        }
    }

    /// `$graphql`: of a resource, of the system, with references there and back.
    fn graph(&mut self, references: &[String]) -> (String, String) {
        let inner = [
            "id meta { lastUpdated versionId }",
            "id ... on Observation { status subject { resource(optional: true) { id } } \
             hasMember { resource(optional: true) { id } } }",
            "id ... on DiagnosticReport { result { resource { id } } }",
            "id ... on Encounter { reason: ConditionList(_reference: encounter) { id } \
             ObservationConnection(_reference: encounter) { count edges { resource { id } } } }",
            "id ... on Patient { all: ObservationList(_reference: subject, _sort: \"-date\") \
             { id note @flatten { text } } }",
        ][self.below(5)];
        if self.chance(40) {
            let on = self.one(references).to_owned();
            return (format!("{on}/$graphql"), format!("{{ {inner} }}"));
        }
        let types = self.types.clone();
        let type_name = self.one(&types).to_owned();
        let id = self.id();
        let query = match self.below(3) {
            0 => format!("{{ {type_name}(id: \"{id}\") {{ {inner} }} }}"),
            1 => format!(
                "{{ {type_name}List(_count: {}) {{ {inner} }} }}",
                1 + self.below(5)
            ),
            _ => format!(
                "{{ {type_name}Connection(_count: {}) {{ count next edges {{ resource {{ {inner} }} }} }} }}",
                1 + self.below(3)
            ),
        };
        ("$graphql".to_owned(), query)
    }

    /// `$everything` of the patient or of the encounter.
    fn everything(&mut self) -> String {
        let mut parts = Vec::new();
        if self.chance(60) {
            parts.push(format!("_count={}", 1 + self.below(6)));
        }
        if self.chance(30) {
            let types = self.types.clone();
            let two = format!("{},{}", self.one(&types), self.one(&types));
            parts.push(format!("_type={two}"));
        }
        for name in ["start", "end"] {
            if self.chance(20) {
                let date = self.one(&self.dates.clone()).to_owned();
                parts.push(format!("{name}={}", escape(&date)));
            }
        }
        if self.chance(10) {
            parts.push("_since=2026-11-10T15:00:10Z".to_owned());
        }
        let of = [
            "Patient/p",
            "Patient/p",
            "Patient",
            "Encounter/e",
            "Patient/q",
        ][self.below(5)];
        format!("{of}/$everything?{}", parts.join("&"))
    }

    fn lastn(&mut self) -> String {
        let mut parts = Vec::new();
        if self.chance(70) {
            parts.push("patient=p".to_owned());
        }
        if self.chance(50) {
            parts.push(format!("max={}", 1 + self.below(3)));
        }
        if self.chance(20) {
            parts.push(format!("_count={}", 1 + self.below(2)));
        }
        if self.chance(40) {
            let codes = self.codes.clone();
            parts.push(format!("code={}", escape(self.one(&codes))));
        }
        if self.chance(30) {
            parts.push("category=laboratory".to_owned());
        }
        if self.chance(20) {
            parts.push(
                "_include=Observation:performer&_revinclude=DiagnosticReport:result".to_owned(),
            );
        }
        if self.chance(20) {
            let date = self.one(&self.dates.clone()).to_owned();
            parts.push(format!("date={}{}", self.prefix(), escape(&date)));
        }
        format!("Observation/$lastn?{}", parts.join("&"))
    }

    fn docref(&mut self) -> String {
        let mut parts = vec!["patient=p".to_owned()];
        if self.chance(40) {
            let codes = self.codes.clone();
            parts.push(format!("type={}", escape(self.one(&codes))));
        }
        if self.chance(20) {
            let date = self.one(&self.dates.clone()).to_owned();
            parts.push(format!("start={}", escape(&date)));
        }
        if self.chance(40) {
            parts.push(format!("_count={}", 1 + self.below(3)));
        }
        format!("DocumentReference/$docref?{}", parts.join("&"))
    }

    /// A query on a type: parameters, modifiers, prefixes, chains, `_has`, results parameters.
    fn query(&mut self, type_name: &str) -> String {
        let mut parts = Vec::new();
        for _ in 0..self.below(3) {
            parts.extend(self.criterion(type_name));
        }
        if self.chance(6) {
            let ways = ["true", "both", "true&_containedType=contained"];
            let at = self.below(ways.len());
            parts.push(format!("_contained={}", ways[at]));
            return parts.join("&");
        }
        if self.chance(30) {
            let sort = self.sort(type_name);
            parts.push(format!("_sort={sort}"));
        }
        if self.chance(40) {
            parts.push(format!("_count={}", 1 + self.below(4)));
        }
        if self.chance(15) {
            parts.push("_total=accurate".to_owned());
        }
        if self.chance(15) {
            let kinds = ["count", "true", "text", "data", "false"];
            let at = self.below(kinds.len());
            parts.push(format!("_summary={}", kinds[at]));
        }
        if self.chance(10) {
            parts.push("_elements=status,code,subject,result,focus".to_owned());
        }
        if self.chance(25) {
            parts.push(self.include(type_name));
        }
        if self.chance(6) {
            let lists = [
                self.id(),
                "$current-problems".to_owned(),
                "$current-medications".to_owned(),
                "$current-allergies".to_owned(),
            ];
            parts.push(format!("_list={}", lists[self.below(4)]));
        }
        if self.chance(10) {
            let name = if self.chance(50) { "_text" } else { "_content" };
            let words = self.words_of_text();
            parts.push(format!("{name}={}", escape(&words)));
        }
        if self.chance(12) {
            let filter = self.filter(type_name, 2);
            parts.push(format!("_filter={}", escape(&filter)));
        }
        if self.chance(3) {
            parts.push("_explain=true".to_owned());
        }
        parts.join("&")
    }

    fn id(&mut self) -> String {
        let reference = self.one(&self.references.clone()).to_owned();
        reference.split('/').nth(1).unwrap_or("x").to_owned()
    }

    /// Words for full text, sometimes in quotes, sometimes the beginning of one.
    fn words_of_text(&mut self) -> String {
        let text = self.one(&self.words.clone()).to_owned();
        let word = text
            .split(|c: char| !c.is_alphanumeric())
            .find(|word| !word.is_empty())
            .unwrap_or("x")
            .to_owned();
        match self.below(4) {
            0 => format!("\"{text}\""),
            1 => format!("{}*", word.chars().take(3).collect::<String>()),
            2 => format!("{word} OR {}", self.one(&self.words.clone())),
            _ => word,
        }
    }

    /// Comparisons joined with `and`, `or` and `not`.
    fn filter(&mut self, type_name: &str, depth: usize) -> String {
        if depth > 0 && self.chance(50) {
            let (a, b) = (
                self.filter(type_name, depth - 1),
                self.filter(type_name, depth - 1),
            );
            return match self.below(3) {
                0 => format!("({a}) and ({b})"),
                1 => format!("({a}) or ({b})"),
                _ => format!("not ({a})"),
            };
        }
        let params = self.params(type_name);
        let Some(param) = params.get(self.below(params.len())) else {
            return "_id eq x".to_owned();
        };
        if self.chance(15) {
            return format!("{} pr {}", param.code, self.chance(50));
        }
        let operators: &[&str] = match param.kind {
            ParamKind::Date => &["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "po"],
            ParamKind::Number | ParamKind::Quantity => &["eq", "ne", "gt", "lt", "ge", "le"],
            ParamKind::String => &["eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le"],
            ParamKind::Token => &["eq", "ne", "co", "sw"],
            _ => &["eq", "ne"],
        };
        let operator = operators[self.below(operators.len())];
        let value = match param.kind {
            ParamKind::Token => self.one(&self.codes.clone()).to_owned(),
            ParamKind::Date => self.one(&self.dates.clone()).to_owned(),
            ParamKind::Number | ParamKind::Quantity => self.one(&self.numbers.clone()).to_owned(),
            ParamKind::String => self.one(&self.words.clone()).to_owned(),
            ParamKind::Uri => self.one(&self.urls.clone()).to_owned(),
            _ => self.one(&self.references.clone()).to_owned(),
        };
        format!("{} {operator} \"{}\"", param.code, value.replace('"', ""))
    }

    fn params(&self, type_name: &str) -> Vec<&'static SearchParam> {
        let Some(type_id) = definitions().type_id(type_name) else {
            return Vec::new();
        };
        definitions()
            .search_params(type_id)
            .iter()
            // More often than by chance: they are few.
            .chain((0..5).flat_map(|_| self.own.ready(type_id)))
            .filter(|param| param.kind != ParamKind::Special || param.code == "near")
            .collect()
    }

    fn criterion(&mut self, type_name: &str) -> Vec<String> {
        match self.below(12) {
            0 => return vec!["patient=p".to_owned()],
            1 => {
                let references = self.references.clone();
                let list: Vec<&str> = (0..2)
                    .filter_map(|_| self.one(&references).split('/').nth(1))
                    .collect();
                return vec![format!("_id={}", list.join(","))];
            }
            2 => {
                let (prefix, date) = (self.prefix(), self.one(&self.dates.clone()).to_owned());
                return vec![format!("_lastUpdated={prefix}{}", escape(&date))];
            }
            3 => return self.has(type_name).into_iter().collect(),
            4 => return self.chain(type_name).into_iter().collect(),
            _ => {}
        }
        let params = self.params(type_name);
        let at = self.below(params.len());
        let Some(param) = params.get(at) else {
            return Vec::new();
        };
        vec![self.value_of(param, &param.code)]
    }

    fn value_of(&mut self, param: &SearchParam, name: &str) -> String {
        if self.chance(8) {
            let missing = self.chance(50);
            return format!("{name}:missing={missing}");
        }
        let value = self.value(param);
        let modifier = match param.kind {
            ParamKind::Token if self.chance(12) => ":not",
            ParamKind::Token if self.chance(5) => ":text",
            ParamKind::Token if self.chance(5) => ":below",
            ParamKind::Token if self.chance(3) => {
                return format!("{name}:in={}", self.id());
            }
            ParamKind::Reference if self.chance(8) => ":below",
            ParamKind::Reference if self.chance(8) => ":above",
            ParamKind::Reference if self.chance(5) => ":identifier",
            ParamKind::String if self.chance(20) => ":contains",
            ParamKind::String if self.chance(20) => ":exact",
            _ => "",
        };
        format!("{name}{modifier}={value}")
    }

    fn value(&mut self, param: &SearchParam) -> String {
        let one = match param.kind {
            ParamKind::Token => {
                let codes = self.codes.clone();
                let code = self.one(&codes).to_owned();
                match code.split_once('|') {
                    Some((_, code)) if self.chance(40) => code.to_owned(),
                    _ => code,
                }
            }
            ParamKind::Date => format!("{}{}", self.prefix(), self.one(&self.dates.clone())),
            ParamKind::String => self.one(&self.words.clone()).to_owned(),
            ParamKind::Reference => {
                let reference = self.one(&self.references.clone()).to_owned();
                if self.chance(30) {
                    reference.split('/').nth(1).unwrap_or("x").to_owned()
                } else {
                    reference
                }
            }
            ParamKind::Number => format!("{}{}", self.prefix(), self.one(&self.numbers.clone())),
            ParamKind::Quantity => {
                let number = self.one(&self.numbers.clone()).to_owned();
                let unit = if self.chance(40) {
                    "|http://unitsofmeasure.org|g/dL"
                } else {
                    ""
                };
                format!("{}{number}{unit}", self.prefix())
            }
            ParamKind::Uri => self.one(&self.urls.clone()).to_owned(),
            ParamKind::Composite => {
                let code = self.one(&self.codes.clone()).to_owned();
                let number = self.one(&self.numbers.clone()).to_owned();
                let unit = if self.chance(40) {
                    "|http://unitsofmeasure.org|g/L"
                } else {
                    ""
                };
                format!("{code}${}{number}{unit}", self.prefix())
            }
            ParamKind::Special => {
                let distances = ["", "|1|m", "|300", "|20000|km"];
                let at = self.below(distances.len());
                format!("42.26|-83.69{}", distances[at])
            }
        };
        escape(&one)
    }

    fn prefix(&mut self) -> &'static str {
        let prefixes = ["", "", "eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap"];
        let at = self.below(prefixes.len());
        prefixes[at]
    }

    /// Something that refers to the type.
    fn has(&mut self, type_name: &str) -> Option<String> {
        let types = self.types.clone();
        let from = self.one(&types).to_owned();
        let own = definitions().type_id(type_name)?;
        let links: Vec<_> = self
            .params(&from)
            .into_iter()
            .filter(|param| param.kind == ParamKind::Reference)
            .filter(|param| param.targets.is_empty() || param.targets.contains(&own))
            .collect();
        let link = links.get(self.below(links.len()))?.code.clone();
        let params = self.params(&from);
        let param = *params.get(self.below(params.len()))?;
        let value = self.value(param);
        Some(format!("_has:{from}:{link}:{}={value}", param.code))
    }

    fn chain(&mut self, type_name: &str) -> Option<String> {
        let links: Vec<_> = self
            .params(type_name)
            .into_iter()
            .filter(|param| param.kind == ParamKind::Reference && !param.targets.is_empty())
            .collect();
        let link = *links.get(self.below(links.len()))?;
        let target = *link.targets.get(self.below(link.targets.len()))?;
        let target = definitions().type_name(target);
        let params = self.params(target);
        let param = *params.get(self.below(params.len()))?;
        let value = self.value(param);
        Some(format!("{}:{target}.{}={value}", link.code, param.code))
    }

    fn sort(&mut self, type_name: &str) -> String {
        let mut keys = vec!["_lastUpdated".to_owned(), "_id".to_owned()];
        keys.extend(
            self.params(type_name)
                .into_iter()
                .map(|param| param.code.clone()),
        );
        let key = self.one(&keys).to_owned();
        if self.chance(50) {
            format!("-{key}")
        } else {
            key
        }
    }

    fn include(&mut self, type_name: &str) -> String {
        let types = self.types.clone();
        let reverse = self.chance(50);
        let from = if reverse {
            self.one(&types).to_owned()
        } else {
            type_name.to_owned()
        };
        let links: Vec<String> = self
            .params(&from)
            .into_iter()
            .filter(|param| param.kind == ParamKind::Reference)
            .map(|param| param.code.clone())
            .collect();
        let link = if self.chance(15) {
            "*".to_owned()
        } else {
            self.one(&links).to_owned()
        };
        let name = if reverse { "_revinclude" } else { "_include" };
        let iterate = if self.chance(20) { ":iterate" } else { "" };
        format!("{name}{iterate}={from}:{link}")
    }
}

fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[derive(Default)]
struct Words {
    references: BTreeSet<String>,
    codes: BTreeSet<String>,
    dates: BTreeSet<String>,
    words: BTreeSet<String>,
    numbers: BTreeSet<String>,
    urls: BTreeSet<String>,
}

impl Words {
    fn collect(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(code) = map.get("code").and_then(Value::as_str) {
                    let system = map
                        .get("system")
                        .and_then(Value::as_str)
                        .unwrap_or_default();
                    self.codes.insert(format!("{system}|{code}"));
                }
                if let (Some(Value::String(system)), Some(Value::String(value))) =
                    (map.get("system"), map.get("value"))
                {
                    self.codes.insert(format!("{system}|{value}"));
                }
                for (name, value) in map {
                    match (name.as_str(), value) {
                        ("reference", Value::String(text)) => {
                            self.references.insert(text.clone());
                        }
                        ("status" | "intent" | "gender", Value::String(text)) => {
                            self.codes.insert(text.clone());
                        }
                        ("url" | "system", Value::String(text)) => {
                            self.urls.insert(text.clone());
                        }
                        (_, Value::String(text)) if text.starts_with("20") => {
                            self.dates.insert(text.clone());
                            self.dates.insert(text.chars().take(10).collect());
                            self.dates.insert(text.chars().take(7).collect());
                        }
                        (_, Value::String(text)) => {
                            self.words.insert(text.chars().take(12).collect());
                        }
                        (_, Value::Number(number)) => {
                            self.numbers.insert(number.to_string());
                        }
                        _ => {}
                    }
                    self.collect(value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            _ => {}
        }
    }
}
