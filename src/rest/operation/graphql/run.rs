//! Carries a query out: objects field by field, references to what they refer to.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use graphql_parser::query::SelectionSet;
use serde_json::Value;

use super::arguments;
use super::fields::{Collect, Group, Slice, too_costly};
use super::introspect::Described;
use super::schema::{interfaces, type_name};
use super::shape::Shape;
use super::{Fragments, unsupported, wrong};
use crate::fhir::definitions::elements::{Kind, Type};
use crate::fhir::definitions::{TypeId, definitions};
use crate::rest::query::Pairs;
use crate::rest::session::Session;
use crate::rest::{RestError, read, route};

/// Objects inside each other.
pub(super) const MOST_DEPTH: usize = 24;
/// Reads and searches of one query.
const MOST_LOOKUPS: usize = 500;
/// Values, and 64 bytes of text each, of one answer.
const MOST_WORK: usize = 1_000_000;

/// What takes its time and calls itself.
pub(super) type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, RestError>> + Send + 'a>>;

/// One query at work.
pub(super) struct Run<'q> {
    pub(super) session: &'q Session,
    fragments: Fragments<'q>,
    variables: HashMap<&'q str, Value>,
    work: usize,
    lookups: usize,
    /// Resources that may still be searched for.
    pub(super) resources: usize,
    /// What references led to; None is nothing that this viewer sees.
    read: HashMap<(TypeId, String), Option<Arc<Value>>>,
    pub(super) described: Described,
}

/// An object with the resource that it is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Focus<'v> {
    pub(super) root: &'v Value,
    pub(super) own: &'static Type,
    pub(super) value: &'v Value,
}

impl<'v> Focus<'v> {
    /// A resource.
    pub(super) fn of(resource: &'v Value) -> Result<Self, RestError> {
        let own = resource["resourceType"]
            .as_str()
            .and_then(|name| definitions().elements().by_name(name))
            .ok_or(RestError::Internal)?
            .1;
        Ok(Self {
            root: resource,
            own,
            value: resource,
        })
    }

    fn is_resource(&self) -> bool {
        self.own.kind == Kind::Resource
    }
}

/// What flattened parents mean for the names and lists below them.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    /// Several of it come together, so that each name is a list.
    pub(super) is_list: bool,
    /// What `@slice` puts behind every name.
    pub(super) suffix: String,
    pub(super) depth: usize,
}

impl<'q> Run<'q> {
    pub(super) fn new(
        session: &'q Session,
        fragments: Fragments<'q>,
        variables: HashMap<&'q str, Value>,
    ) -> Self {
        Self {
            session,
            fragments,
            variables,
            work: MOST_WORK,
            lookups: MOST_LOOKUPS,
            resources: super::search::MOST_RESOURCES,
            read: HashMap::new(),
            described: Described::default(),
        }
    }

    /// `[type]/[id]/$graphql`.
    pub(super) async fn instance(
        &mut self,
        type_id: TypeId,
        id: &str,
        selections: &'q SelectionSet<'static, String>,
    ) -> Result<Value, RestError> {
        let resource = self.fetch(type_id, id).await?;
        let mut shape = Shape::default();
        let sets = [selections];
        let around = Around::default();
        self.object(Focus::of(&resource)?, &sets, &around, &mut shape)
            .await?;
        Ok(shape.into_value())
    }

    /// `$graphql` of the system: `Patient(id: …)`, `PatientList(…)`, `PatientConnection(…)`.
    pub(super) async fn system(
        &mut self,
        selections: &'q SelectionSet<'static, String>,
    ) -> Result<Value, RestError> {
        let mut shape = Shape::default();
        let around = Around::default();
        for group in self.groups(&[selections], "Query", &[])? {
            if group.name == "__typename" {
                shape.add(group.alias.to_owned(), false, "string", "Query".into())?;
                continue;
            }
            if matches!(group.name, "__schema" | "__type") {
                self.describe(None, &group, &mut shape).await?;
                continue;
            }
            if let Some(found) = super::search::Search::named(group.name) {
                self.search(&found, &group, None, &around, &mut shape)
                    .await?;
                continue;
            }
            let Some(type_id) = definitions().type_id(group.name) else {
                return Err(unknown(group.name, "Query"));
            };
            let [(name, id)] = group.arguments.as_slice() else {
                return Err(wrong("A resource is named by its `id` alone."));
            };
            let id = arguments::text(id)
                .filter(|_| name == "id" || name == "_id")
                .ok_or_else(|| wrong("A resource is named by its `id` alone."))?;
            let resource = self.fetch(type_id, &id).await?;
            let items = [Focus::of(&resource)?];
            self.emit(&group, &items, false, &around, &mut shape)
                .await?;
        }
        Ok(shape.into_value())
    }

    /// A resource that the query names.
    async fn fetch(&mut self, type_id: TypeId, id: &str) -> Result<Value, RestError> {
        self.look_up()?;
        let stored = read::fetch(self.session, type_id, id, &Pairs::new()).await?;
        serde_json::from_slice(&stored.body).map_err(|_| RestError::Internal)
    }

    pub(super) fn look_up(&mut self) -> Result<(), RestError> {
        self.lookups = self.lookups.checked_sub(1).ok_or_else(too_costly)?;
        Ok(())
    }

    fn spend(&mut self, work: usize) -> Result<(), RestError> {
        self.work = self.work.checked_sub(work).ok_or_else(too_costly)?;
        Ok(())
    }

    pub(super) fn groups(
        &mut self,
        sets: &[&'q SelectionSet<'static, String>],
        type_name: &str,
        interfaces: &[&str],
    ) -> Result<Vec<Group<'q>>, RestError> {
        Collect {
            fragments: &self.fragments,
            variables: &self.variables,
            work: &mut self.work,
        }
        .groups(sets, type_name, interfaces)
    }

    /// Puts what is selected of an object into `shape`.
    pub(super) fn object<'a>(
        &'a mut self,
        focus: Focus<'a>,
        sets: &'a [&'q SelectionSet<'static, String>],
        around: &'a Around,
        shape: &'a mut Shape,
    ) -> Later<'a, ()> {
        Box::pin(async move {
            if around.depth > MOST_DEPTH {
                return Err(too_costly());
            }
            let groups = self.groups(sets, &type_name(focus.own), interfaces(focus.own))?;
            if groups.is_empty() && sets.iter().all(|set| set.items.is_empty()) {
                return Err(wrong(&format!(
                    "Say which fields of `{}` you want: {{ … }}.",
                    focus.own.name
                )));
            }
            for group in groups {
                self.field(focus, &group, around, shape).await?;
            }
            Ok(())
        })
    }

    async fn field(
        &mut self,
        focus: Focus<'_>,
        group: &Group<'q>,
        around: &Around,
        shape: &mut Shape,
    ) -> Result<(), RestError> {
        let own = focus.own;
        match group.name {
            "__typename" => {
                return self.scalar(group, around, shape, &type_name(own).as_ref().into());
            }
            "__schema" | "__type" if around.depth == 0 => {
                return self.describe(Some(own), group, shape).await;
            }
            "resourceType" if focus.is_resource() => {
                return self.scalar(group, around, shape, &focus.value["resourceType"]);
            }
            "resource" if own.name == "Reference" => {
                return self.referred(focus, group, around, shape).await;
            }
            _ => {}
        }
        let elements = definitions().elements();
        let plain = group.name.strip_prefix('_').unwrap_or(group.name);
        let property = own.properties.get(plain).copied();
        let known = property.and_then(|property| {
            let element = own.elements.get(usize::from(property.element))?;
            Some((element, elements.get(property.type_index)?))
        });
        let Some((element, inner)) = known else {
            if focus.is_resource()
                && let Some(search) = super::search::Search::named(group.name)
            {
                return self
                    .search(&search, group, Some(focus), around, shape)
                    .await;
            }
            return Err(unknown(group.name, own.name));
        };
        let is_primitive = matches!(inner.kind, Kind::Primitive(_));
        let inner = match (group.name.starts_with('_'), is_primitive) {
            (false, _) => inner,
            (true, true) => elements.by_name("Element").ok_or(RestError::Internal)?.1,
            (true, false) => return Err(unknown(group.name, own.name)),
        };
        let values: Vec<&Value> = match focus.value.get(group.name) {
            None => Vec::new(),
            Some(Value::Array(list)) => list.iter().collect(),
            Some(value) => vec![value],
        };
        let is_leaf = matches!(inner.kind, Kind::Primitive(_));
        if is_leaf && !group.arguments.is_empty() {
            return Err(wrong(&format!(
                "`{}` is primitive and takes no arguments.",
                group.name
            )));
        }
        if is_leaf != group.is_leaf() {
            return Err(wrong(&match is_leaf {
                true => format!("`{}` is primitive: select nothing of it.", group.name),
                false => format!("Say which fields of `{}` you want: {{ … }}.", group.name),
            }));
        }
        let values = arguments::choose(&group.arguments, inner, values, focus.root)?;
        let mut items = Vec::with_capacity(values.len());
        for value in values {
            let own = match (inner.kind, value["resourceType"].as_str()) {
                (Kind::AnyResource, Some(name)) => {
                    elements.by_name(name).ok_or(RestError::Internal)?.1
                }
                _ => inner,
            };
            items.push(Focus {
                root: focus.root,
                own,
                value,
            });
        }
        self.emit(group, &items, element.is_array(), around, shape)
            .await
    }

    /// A value that every object has once.
    fn scalar(
        &mut self,
        group: &Group<'q>,
        around: &Around,
        shape: &mut Shape,
        value: &Value,
    ) -> Result<(), RestError> {
        if !group.is_leaf() || !group.arguments.is_empty() {
            return Err(wrong(&format!(
                "`{}` is primitive: it takes no arguments and nothing is selected of it.",
                group.name
            )));
        }
        self.spend(1)?;
        let name = format!("{}{}", group.alias, around.suffix);
        let is_list = around.is_list && !group.directives.singleton;
        shape.add(name, is_list, "string", value.clone())
    }

    /// Puts the values of a field into `shape`, as its directives say.
    pub(super) async fn emit(
        &mut self,
        group: &Group<'q>,
        items: &[Focus<'_>],
        is_array: bool,
        around: &Around,
        shape: &mut Shape,
    ) -> Result<(), RestError> {
        let directives = &group.directives;
        let items = match items {
            [first, ..] if directives.first => std::slice::from_ref(first),
            items => items,
        };
        let several = is_array && !directives.first;
        let is_list = (several || around.is_list) && !directives.singleton;
        for (at, item) in items.iter().enumerate() {
            let suffix = match &directives.slice {
                None => around.suffix.clone(),
                Some(Slice::Index) => format!("{}.{at}", around.suffix),
                Some(Slice::Path(path)) => {
                    let text = arguments::string(path, item.own, item.value, item.root)?;
                    format!("{}.{text}", around.suffix)
                }
            };
            self.spend(1)?;
            if matches!(item.own.kind, Kind::Primitive(_)) {
                if directives.flatten {
                    return Err(wrong(&format!(
                        "`{}` is primitive: there is nothing to flatten.",
                        group.name
                    )));
                }
                self.spend(item.value.as_str().map_or(0, |text| text.len() / 64))?;
                let name = format!("{}{suffix}", group.alias);
                shape.add(name, is_list, item.own.name, item.value.clone())?;
            } else if directives.flatten {
                let inside = Around {
                    is_list: around.is_list || several,
                    suffix,
                    depth: around.depth + 1,
                };
                self.object(*item, &group.selections, &inside, shape)
                    .await?;
            } else {
                let mut inner = Shape::default();
                let inside = Around {
                    depth: around.depth + 1,
                    ..Around::default()
                };
                self.object(*item, &group.selections, &inside, &mut inner)
                    .await?;
                let name = format!("{}{suffix}", group.alias);
                shape.add(name, is_list, item.own.name, inner.into_value())?;
            }
        }
        Ok(())
    }

    /// `subject { resource { … } }` (R4 GraphQL, "Resource references").
    async fn referred(
        &mut self,
        focus: Focus<'_>,
        group: &Group<'q>,
        around: &Around,
        shape: &mut Shape,
    ) -> Result<(), RestError> {
        let mut is_optional = false;
        let mut wanted = None;
        for (name, value) in &group.arguments {
            match (&**name, value) {
                ("optional", Value::Bool(flag)) => is_optional = *flag,
                ("type", Value::String(name)) if definitions().type_id(name).is_some() => {
                    wanted = Some(name.as_str());
                }
                _ => {
                    return Err(wrong(
                        "`resource` takes `optional`, true or false, and `type`, a resource type.",
                    ));
                }
            }
        }
        if group.is_leaf() {
            return Err(wrong("Say which fields of `resource` you want: { … }."));
        }
        let text = focus.value["reference"].as_str().unwrap_or_default();
        let contained = if let Some(id) = text.strip_prefix('#') {
            let mut list = focus.root["contained"].as_array().into_iter().flatten();
            match id {
                "" => Some(focus.root),
                id => list.find(|one| one["id"] == *id),
            }
        } else {
            None
        };
        let resource;
        let found = match contained {
            Some(found) => Some(found),
            None => {
                resource = self.follow(text, wanted).await?;
                match &resource {
                    Followed::Found(found) => Some(&**found),
                    Followed::OtherType => return Ok(()),
                    Followed::Nothing => None,
                }
            }
        };
        let Some(found) = found else {
            return match is_optional {
                true => Ok(()),
                false => Err(RestError::bad_request(
                    "not-found",
                    "A reference leads to no resource; `resource(optional: true)` leaves those out.",
                )),
            };
        };
        if wanted.is_some_and(|wanted| found["resourceType"] != *wanted) {
            return Ok(());
        }
        let mut item = Focus::of(found)?;
        if contained.is_some() {
            item.root = focus.root;
        }
        self.emit(group, &[item], false, around, shape).await
    }

    /// What a reference of this server's leads to, for this viewer.
    async fn follow(&mut self, text: &str, wanted: Option<&str>) -> Result<Followed, RestError> {
        let base = self.session.store.base();
        let local = text.strip_prefix(base).unwrap_or(text);
        let mut parts = local.trim_start_matches('/').split('/');
        let (Some(type_name), Some(id)) = (parts.next(), parts.next()) else {
            return Ok(Followed::Nothing);
        };
        // A reference to a version leads to the resource as it is now, as _include does.
        let rest: Vec<&str> = parts.collect();
        let is_local = rest.is_empty() || matches!(rest.as_slice(), ["_history", _]);
        let Some(type_id) = definitions().type_id(type_name).filter(|_| is_local) else {
            return Ok(Followed::Nothing);
        };
        if wanted.is_some_and(|wanted| wanted != type_name) {
            return Ok(Followed::OtherType);
        }
        let key = (type_id, id.to_owned());
        if let Some(known) = self.read.get(&key) {
            return Ok(Followed::of(known.clone()));
        }
        if !route::is_id(id) {
            return Ok(Followed::Nothing);
        }
        let found = match self.fetch(type_id, id).await {
            Ok(resource) => Some(Arc::new(resource)),
            // What the scopes do not open is as absent as what is withheld.
            Err(RestError::NotFound | RestError::Gone | RestError::Forbidden(_)) => None,
            Err(error) => return Err(error),
        };
        self.read.insert(key, found.clone());
        Ok(Followed::of(found))
    }
}

/// Where a reference led.
enum Followed {
    Found(Arc<Value>),
    OtherType,
    Nothing,
}

impl Followed {
    fn of(found: Option<Arc<Value>>) -> Self {
        found.map_or(Self::Nothing, Self::Found)
    }
}

/// 400 for a field that a type does not have.
pub(super) fn unknown(field: &str, type_name: &str) -> RestError {
    if matches!(field, "__schema" | "__type") {
        return unsupported("`__schema` and `__type` stand at the root of a query.");
    }
    unsupported(format!("`{type_name}` has no field `{field}`."))
}
