//! `$graphql` (<http://hl7.org/fhir/R4/graphql.html>): reading with GraphQL, of the whole system and of
//! one resource. Every resource it names goes through the same reads and searches as any other request,
//! so what a viewer may not see does not exist here either.
//!
//! There are no mutations and no subscriptions; each is refused by name. Introspection tells what a
//! query may name. The answer is `application/json`, no resource.

mod arguments;
mod directives;
mod fields;
mod inputs;
mod introspect;
mod meta;
mod run;
mod schema;
mod search;
mod shape;

use std::collections::HashMap;

use bytes::Bytes;
use graphql_parser::query::{
    Definition, Document, FragmentDefinition, OperationDefinition, SelectionSet, VariableDefinition,
};
use serde_json::{Value, json};

use self::run::Run;
use crate::fhir::definitions::TypeId;
use crate::fhir::json;
use crate::fhir::outcome::Issue;
use crate::rest::RestError;
use crate::rest::audit::{self, names_events};
use crate::rest::negotiate::{Format, Sent};
use crate::rest::query::{self, Pairs};
use crate::rest::reply::{Content, Reply};
use crate::rest::route::Route;
use crate::rest::session::Session;

/// The name of the operation.
pub(in crate::rest) const NAME: &str = "$graphql";
/// Bytes of a query.
const MOST_TEXT: usize = 64 * 1024;

/// Whether a request goes here, which has its own form of error.
pub(in crate::rest) fn is_at(route: Route<'_>) -> bool {
    matches!(
        route,
        Route::SystemOperation(NAME) | Route::InstanceOperation(_, _, NAME)
    )
}

/// What was asked, as text.
#[derive(Clone, Debug, Default)]
pub(in crate::rest) struct Request {
    query: String,
    operation: Option<String>,
    variables: Value,
}

impl Request {
    /// `?query=…&operationName=…&variables={…}`.
    pub(in crate::rest) fn of_pairs(pairs: &Pairs) -> Result<Self, RestError> {
        query::only(pairs, &["query", "operationName", "variables"])?;
        let variables = match query::single(pairs, "variables")?.filter(|text| !text.is_empty()) {
            None => Value::Null,
            Some(text) => json::parse(text.as_bytes())
                .map_err(|_| wrong("`variables` must be a JSON object."))?,
        };
        Ok(Self {
            query: query::single(pairs, "query")?
                .unwrap_or_default()
                .to_owned(),
            operation: query::single(pairs, "operationName")?
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            variables,
        })
    }

    /// Whether it may look at AuditEvents: no type's resources are found without its name.
    pub(super) fn names_events(&self) -> bool {
        names_events(&self.query) || names_events(&self.variables.to_string())
    }

    /// The body of a POST: GraphQL, JSON with `query`, or Parameters.
    pub(in crate::rest) fn sent(
        pairs: &Pairs,
        sent: &Sent,
        body: &Bytes,
    ) -> Result<Self, RestError> {
        let mut request = Self::of_pairs(pairs)?;
        if body.is_empty() {
            return Ok(request);
        }
        match sent {
            Sent::Other(media) if is_graphql(media) => {
                let text =
                    std::str::from_utf8(body).map_err(|_| wrong("The query is not UTF-8."))?;
                text.clone_into(&mut request.query);
                Ok(request)
            }
            Sent::Fhir(Format::Json) => {
                let value =
                    json::parse(body).map_err(|issue| RestError::BadRequest(vec![issue]))?;
                if value["resourceType"] == "Parameters" {
                    return Self::of_pairs(&super::inputs::pairs(pairs, Some(&value))?);
                }
                let Value::Object(mut object) = value else {
                    return Err(wrong("The body must be a JSON object with `query`."));
                };
                for (key, value) in std::mem::take(&mut object) {
                    match (&*key, value) {
                        ("query", Value::String(text)) => request.query = text,
                        ("operationName", Value::String(name)) => request.operation = Some(name),
                        ("operationName" | "variables" | "extensions", Value::Null) => {}
                        ("variables", value @ Value::Object(_)) => request.variables = value,
                        ("extensions", Value::Object(map)) if map.is_empty() => {}
                        ("query" | "operationName" | "variables", _) => {
                            return Err(wrong(
                                "`query` and `operationName` are strings, `variables` an object.",
                            ));
                        }
                        _ => {
                            return Err(wrong(
                                "The body has `query`, `operationName` and `variables`, nothing else.",
                            ));
                        }
                    }
                }
                Ok(request)
            }
            _ => Err(RestError::UnsupportedMediaType(
                "$graphql takes a query as application/graphql, or application/json with `query`."
                    .to_owned(),
            )),
        }
    }
}

fn is_graphql(media: &str) -> bool {
    let name = media.split(';').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("application/graphql")
}

pub(super) fn wrong(text: &str) -> RestError {
    RestError::bad_request("invalid", text)
}

/// 400 for what GraphQL or FHIR has and this server does not.
pub(super) fn unsupported(text: impl Into<String>) -> RestError {
    RestError::bad_request("not-supported", text)
}

/// The answer; `on` is the resource that an instance's query is about.
pub(in crate::rest) async fn answer(
    session: &Session,
    on: Option<(TypeId, &str)>,
    request: Request,
) -> Result<Reply, RestError> {
    if request.query.trim().is_empty() {
        return Err(RestError::bad_request(
            "required",
            "Send the query: ?query=… , or the body of a POST.",
        ));
    }
    let document = parse(&request.query)?;
    let operation = Operation::find(&document, request.operation.as_deref())?;
    let variables = variables(operation.variables, &request.variables)?;
    let mut run = Run::new(session, fragments(&document)?, variables);
    let data = match on {
        Some((type_id, id)) => run.instance(type_id, id, operation.selections).await?,
        None => run.system(operation.selections).await?,
    };
    let errors: Vec<Value> = match audit::incomplete(session) {
        Some(issue) if names_events(&request.query) => vec![error_of(issue)],
        _ => Vec::new(),
    };
    let body = run.described.envelope(&data, &errors)?;
    Ok(Reply::ok(Content::Plain(body.into())))
}

/// The body of an error: GraphQL's form with an OperationOutcome in it.
pub(in crate::rest) fn error_body(error: &RestError) -> Bytes {
    let errors: Vec<Value> = error.issues().into_iter().map(error_of).collect();
    json::to_bytes(&json!({"data": null, "errors": errors})).into()
}

/// An issue in GraphQL's form.
fn error_of(issue: Issue) -> Value {
    let message = issue.diagnostics.clone();
    let resource = crate::fhir::outcome::operation_outcome(&[issue]);
    json!({"message": message, "extensions": {"resource": resource}})
}

fn parse(text: &str) -> Result<Document<'static, String>, RestError> {
    if text.len() > MOST_TEXT {
        return Err(RestError::bad_request(
            "too-long",
            "A GraphQL query has at most 64 KiB.",
        ));
    }
    graphql_parser::parse_query::<String>(text)
        .map(Document::into_static)
        .map_err(|error| {
            // Its words quote the query, which may name a person.
            let words = error.to_string();
            let place = words
                .split_once("at ")
                .map(|(_, rest)| {
                    let digits = |one: &char| one.is_ascii_digit() || *one == ':';
                    rest.chars().take_while(digits).collect::<String>()
                })
                .filter(|place| !place.is_empty());
            wrong(&match place {
                Some(place) => {
                    format!("The query is not GraphQL; see line and column {place} of it.")
                }
                None => "The query is not GraphQL, or nests too deep.".to_owned(),
            })
        })
}

struct Operation<'q> {
    variables: &'q [VariableDefinition<'static, String>],
    selections: &'q SelectionSet<'static, String>,
}

impl<'q> Operation<'q> {
    /// The one operation, or the one of this name.
    fn find(
        document: &'q Document<'static, String>,
        name: Option<&str>,
    ) -> Result<Self, RestError> {
        let mut found = None;
        for definition in &document.definitions {
            let Definition::Operation(operation) = definition else {
                continue;
            };
            let own = match operation {
                OperationDefinition::SelectionSet(_) => None,
                OperationDefinition::Query(query) => query.name.as_deref(),
                OperationDefinition::Mutation(one) => one.name.as_deref(),
                OperationDefinition::Subscription(one) => one.name.as_deref(),
            };
            if name.is_some() && own != name {
                continue;
            }
            if found.is_some() {
                return Err(wrong(
                    "The document has several operations: say which in operationName.",
                ));
            }
            found = Some(match operation {
                OperationDefinition::SelectionSet(selections) => Self {
                    variables: &[],
                    selections,
                },
                OperationDefinition::Query(query) => {
                    if !query.directives.is_empty() {
                        return Err(unsupported("Directives on a query mean nothing here."));
                    }
                    Self {
                        variables: &query.variable_definitions,
                        selections: &query.selection_set,
                    }
                }
                OperationDefinition::Mutation(_) => {
                    return Err(unsupported(
                        "GraphQL mutations are not supported: write with create, update, patch and \
                         delete.",
                    ));
                }
                OperationDefinition::Subscription(_) => {
                    return Err(unsupported("GraphQL subscriptions are not supported."));
                }
            });
        }
        found.ok_or_else(|| wrong("The document has no such operation."))
    }
}

type Fragments<'q> = HashMap<&'q str, &'q FragmentDefinition<'static, String>>;

fn fragments<'q>(document: &'q Document<'static, String>) -> Result<Fragments<'q>, RestError> {
    let mut all = Fragments::new();
    for definition in &document.definitions {
        if let Definition::Fragment(fragment) = definition
            && all.insert(&fragment.name, fragment).is_some()
        {
            return Err(wrong("Two fragments have one name."));
        }
    }
    Ok(all)
}

/// The variables with their values.
fn variables<'q>(
    definitions: &'q [VariableDefinition<'static, String>],
    given: &Value,
) -> Result<HashMap<&'q str, Value>, RestError> {
    let mut all = HashMap::new();
    for one in definitions {
        let value = match given.get(&one.name) {
            Some(value) => value.clone(),
            None => match &one.default_value {
                Some(value) => arguments::constant(value)?,
                None => Value::Null,
            },
        };
        let is_required = matches!(one.var_type, graphql_parser::query::Type::NonNullType(_));
        if is_required && value.is_null() {
            return Err(RestError::bad_request(
                "required",
                format!("The variable `{}` needs a value.", one.name),
            ));
        }
        all.insert(one.name.as_str(), value);
    }
    Ok(all)
}
