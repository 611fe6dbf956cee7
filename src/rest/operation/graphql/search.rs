//! `PatientList(…)` and `PatientConnection(…)`: searches of the system, and of what refers to a resource
//! (R4 GraphQL, "Searching resources", "Reverse References").

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use serde_json::Value;

use super::arguments;
use super::fields::{Group, too_costly};
use super::run::{Around, Focus, Run, unknown};
use super::shape::Shape;
use super::{unsupported, wrong};
use crate::fhir::definitions::{ParamKind, TypeId, definitions};
use crate::rest::RestError;
use crate::rest::query::{self, Pairs};
use crate::search::{self, Entry, SearchRequest, SearchResult};
use crate::visibility::Access;

/// Resources that the searches of one query find together.
pub(super) const MOST_RESOURCES: usize = 10_000;

/// A field that searches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    type_id: TypeId,
    type_name: &'static str,
    is_connection: bool,
}

impl Search {
    /// `ConditionList` or `ConditionConnection`.
    pub(super) fn named(field: &str) -> Option<Self> {
        let (name, is_connection) = match field.strip_suffix("List") {
            Some(name) => (name, false),
            None => (field.strip_suffix("Connection")?, true),
        };
        let type_id = definitions().type_id(name)?;
        Some(Self {
            type_id,
            type_name: definitions().type_name(type_id),
            is_connection,
        })
    }
}

/// The arguments of a search, as a query has them.
struct Asked {
    pairs: Pairs,
    fhirpath: Option<crate::fhirpath::Expr>,
    has_count: bool,
}

impl<'q> Run<'q> {
    /// A search; `from` is the resource that what is found must refer to.
    pub(super) async fn search(
        &mut self,
        search: &Search,
        group: &Group<'q>,
        from: Option<Focus<'_>>,
        around: &Around,
        shape: &mut Shape,
    ) -> Result<(), RestError> {
        self.session.require(search.type_id, Access::Search)?;
        if group.is_leaf() {
            return Err(wrong(&format!(
                "Say which fields of `{}` you want: {{ … }}.",
                group.name
            )));
        }
        let mut asked = asked(search, group, from)?;
        if search.is_connection {
            return self.connection(search, group, asked, around, shape).await;
        }
        if !asked.has_count {
            let most = self.session.limits.max_page.to_string();
            asked.pairs.push(("_count".to_owned(), most));
        }
        asked.pairs.push(("_total".to_owned(), "none".to_owned()));
        let result = self.find(search.type_id, &asked.pairs).await?;
        if result.next.is_some() && !asked.has_count {
            return Err(RestError::bad_request(
                "too-costly",
                format!(
                    "More match than one list holds: narrow the search, say `_count`, or ask for \
                     {}Connection.",
                    search.type_name
                ),
            ));
        }
        let resources = read(result.entries, asked.fhirpath.as_ref())?;
        let items = resources
            .iter()
            .map(|(resource, _)| Focus::of(resource))
            .collect::<Result<Vec<_>, _>>()?;
        let directives = &group.directives;
        if directives.are_none() && !around.is_list {
            let name = format!("{}{}", group.alias, around.suffix);
            shape.list(&name, search.type_name);
        }
        self.emit(group, &items, true, around, shape).await
    }

    async fn find(&mut self, type_id: TypeId, pairs: &Pairs) -> Result<SearchResult, RestError> {
        self.look_up()?;
        search::own_resources(pairs)?;
        let request = SearchRequest {
            type_id: Some(type_id),
            pairs,
            compartment: None,
            strict: true,
        };
        let session = self.session;
        let result = search::search(&session.store, &session.viewer, &request).await?;
        let seen = result.entries.iter();
        session.touch(seen.map(|entry| (entry.type_id, &*entry.fhir_id)));
        self.resources = self
            .resources
            .checked_sub(result.entries.len())
            .ok_or_else(too_costly)?;
        Ok(result)
    }

    /// A page with what leads to the next.
    async fn connection(
        &mut self,
        search: &Search,
        group: &Group<'q>,
        asked: Asked,
        around: &Around,
        shape: &mut Shape,
    ) -> Result<(), RestError> {
        if !group.directives.are_none() {
            return Err(unsupported(
                "FHIR's directives stand within `edges { resource { … } }`, not at a connection.",
            ));
        }
        let name = format!("{}Connection", search.type_name);
        let groups = self.groups(&group.selections, &name, &[])?;
        let mut pairs = asked.pairs;
        // What a cursor brings along has said so on the first page.
        if !pairs.iter().any(|(name, _)| name == "_total") {
            let is_counted = groups.iter().any(|group| group.name == "count");
            let total = if is_counted { "accurate" } else { "none" };
            pairs.push(("_total".to_owned(), total.to_owned()));
        }
        let own: Pairs = pairs
            .iter()
            .filter(|(name, _)| name != "_cursor")
            .cloned()
            .collect();
        let mut result = self.find(search.type_id, &pairs).await?;
        let entries = std::mem::take(&mut result.entries);
        let resources = read(entries, asked.fhirpath.as_ref())?;
        let mut inner = Shape::default();
        for group in groups {
            if group.name != "edges" && (!group.is_leaf() || !group.arguments.is_empty()) {
                return Err(wrong(&format!(
                    "`{}` takes no arguments and nothing is selected of it.",
                    group.name
                )));
            }
            if !group.directives.are_none() {
                return Err(unsupported(
                    "FHIR's directives stand within `edges { resource { … } }`.",
                ));
            }
            let alias = group.alias.to_owned();
            match group.name {
                "__typename" => inner.add(alias, false, "string", name.clone().into())?,
                "count" => {
                    if let Some(total) = result.total {
                        inner.add(alias, false, "integer", total.into())?;
                    }
                }
                "pagesize" | "pageSize" => {
                    let size = query::count(&pairs, &self.session.limits)?;
                    inner.add(alias, false, "integer", size.into())?;
                }
                "next" => {
                    if let Some(cursor) = &result.next {
                        let next = seal(search.type_name, &own, cursor);
                        inner.add(alias, false, "id", next.into())?;
                    }
                }
                // Pages are found by what stands last on the one before, not by numbers.
                "offset" | "first" | "previous" | "last" => {}
                "edges" => {
                    if !group.arguments.is_empty() {
                        return Err(wrong("`edges` takes no arguments."));
                    }
                    inner.list(&alias, "Edge");
                    for (resource, mode) in &resources {
                        let edge = self
                            .edge(search, &group, resource, mode, around.depth)
                            .await?;
                        inner.add(alias.clone(), true, "Edge", edge)?;
                    }
                }
                field => return Err(unknown(field, &name)),
            }
        }
        let alias = format!("{}{}", group.alias, around.suffix);
        shape.add(alias, around.is_list, search.type_name, inner.into_value())
    }

    async fn edge(
        &mut self,
        search: &Search,
        group: &Group<'q>,
        resource: &Value,
        mode: &'static str,
        depth: usize,
    ) -> Result<Value, RestError> {
        let mut shape = Shape::default();
        let around = Around {
            depth: depth + 2,
            ..Around::default()
        };
        let name = format!("{}Edge", search.type_name);
        for group in self.groups(&group.selections, &name, &[])? {
            let alias = group.alias.to_owned();
            match group.name {
                "__typename" => shape.add(alias, false, "string", name.clone().into())?,
                "mode" => shape.add(alias, false, "code", mode.into())?,
                // No search of this server is scored.
                "score" => {}
                "resource" => {
                    let items = [Focus::of(resource)?];
                    self.emit(&group, &items, false, &around, &mut shape)
                        .await?;
                }
                field => return Err(unknown(field, &name)),
            }
        }
        Ok(shape.into_value())
    }
}

/// The resources of a page that `fhirpath` is true of.
fn read(
    entries: Vec<Entry>,
    fhirpath: Option<&crate::fhirpath::Expr>,
) -> Result<Vec<(Value, &'static str)>, RestError> {
    let mut all = Vec::with_capacity(entries.len());
    for entry in entries {
        let body: Bytes = entry.body;
        let resource: Value = serde_json::from_slice(&body).map_err(|_| RestError::Internal)?;
        let focus = Focus::of(&resource)?;
        let is_wanted = match fhirpath {
            Some(path) => arguments::holds(path, focus.own, &resource, &resource)?,
            None => true,
        };
        if is_wanted {
            all.push((resource, entry.mode.code()));
        }
    }
    Ok(all)
}

/// Arguments as a query: `clinical_status: active` is `clinical-status=active`, a list is alternatives.
fn asked(search: &Search, group: &Group<'_>, from: Option<Focus<'_>>) -> Result<Asked, RestError> {
    let mut pairs = Pairs::new();
    let mut fhirpath = None;
    let mut has_count = false;
    if let Some(cursor) = group
        .argument("_cursor")
        .or_else(|| group.argument("cursor"))
    {
        if from.is_some() {
            return Err(wrong("`_cursor` stands at the root of a query only."));
        }
        if !search.is_connection || group.arguments.len() != 1 {
            return Err(wrong(
                "`_cursor` stands alone, at a connection: it knows the search that it is of.",
            ));
        }
        let pairs = cursor
            .as_str()
            .and_then(|cursor| open(search.type_name, cursor))
            .ok_or_else(|| wrong("The cursor is of another search, or damaged."))?;
        return Ok(Asked {
            pairs,
            fhirpath,
            has_count,
        });
    }
    let mut is_reverse = false;
    for (name, value) in &group.arguments {
        match (&**name, from) {
            ("fhirpath", _) => {
                fhirpath = Some(arguments::expression(value)?);
                continue;
            }
            ("_reference", Some(from)) => {
                is_reverse = true;
                pairs.push(reverse(search, value, from)?);
                continue;
            }
            ("_count", _) => {
                has_count = true;
                let count = arguments::number(name, value)?.max(1);
                pairs.push(("_count".to_owned(), count.to_string()));
                continue;
            }
            _ => {}
        }
        let code = parameter(search, name)?;
        let values: Vec<&Value> = match value {
            Value::Array(list) => list.iter().collect(),
            value => vec![value],
        };
        let texts = values
            .into_iter()
            .map(|value| {
                // A comma would separate alternatives (R4 3.1.1.4.3).
                let is_text = matches!(&*code, "_filter" | "_text" | "_content" | "_sort");
                arguments::text(value).map(|text| match is_text {
                    true => text,
                    false => text.replace(',', "\\,"),
                })
            })
            .collect::<Option<Vec<String>>>()
            .filter(|texts| !texts.is_empty())
            .ok_or_else(|| {
                wrong(&format!(
                    "`{name}` takes a string, a number, true or false, or a list of these."
                ))
            })?;
        pairs.push((code, texts.join(",")));
    }
    if from.is_some() && !is_reverse {
        return Err(RestError::bad_request(
            "required",
            format!(
                "Within a resource, `{}` needs `_reference`: the search parameter that refers to it.",
                group.name
            ),
        ));
    }
    Ok(Asked {
        pairs,
        fhirpath,
        has_count,
    })
}

/// The search parameter that an argument means.
fn parameter(search: &Search, argument: &str) -> Result<String, RestError> {
    if matches!(
        argument,
        "_sort" | "_filter" | "_text" | "_content" | "_list" | "_id"
    ) {
        return Ok(argument.to_owned());
    }
    definitions()
        .search_params(search.type_id)
        .iter()
        .find(|param| param.code.replace('-', "_") == argument)
        .map(|param| param.code.clone())
        .ok_or_else(|| {
            unsupported(format!(
                "A search for {} has no argument `{argument}`; for chains and modifiers there is \
                 `_filter`.",
                search.type_name
            ))
        })
}

/// `_reference: patient` within Patient/1 is `patient=Patient/1`.
fn reverse(search: &Search, value: &Value, from: Focus<'_>) -> Result<(String, String), RestError> {
    let code = value
        .as_str()
        .and_then(|name| {
            definitions()
                .search_params(search.type_id)
                .iter()
                .find(|param| {
                    param.kind == ParamKind::Reference && param.code.replace('-', "_") == name
                })
        })
        .map(|param| param.code.clone())
        .ok_or_else(|| {
            wrong(&format!(
                "`_reference` names a search parameter of {} that is a reference.",
                search.type_name
            ))
        })?;
    // What is contained has no address that another resource could refer to.
    let id = from.value["id"]
        .as_str()
        .filter(|_| std::ptr::eq(from.root, from.value))
        .ok_or_else(|| wrong("Nothing can refer to a contained resource."))?;
    Ok((code, format!("{}/{id}", from.own.name)))
}

/// A cursor that brings its search along: who follows it names nothing else.
fn seal(type_name: &str, pairs: &Pairs, cursor: &str) -> String {
    let mut text = vec![type_name.to_owned()];
    text.extend(
        pairs
            .iter()
            .map(|(name, value)| search::encode_pair(name, value)),
    );
    text.push(search::encode_pair("_cursor", cursor));
    BASE64.encode(text.join("&"))
}

fn open(type_name: &str, text: &str) -> Option<Pairs> {
    let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
    let (own, rest) = text.split_once('&')?;
    if own != type_name {
        return None;
    }
    query::pairs(rest).ok()
}
