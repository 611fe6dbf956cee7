//! `__schema` and `__type` (GraphQL October 2021, 4): what a query may name. The answer is written as it
//! is found; as a tree it would take ten times the memory. It tells what the server can do, never
//! what it stores, and is the same for everybody.

use std::collections::HashMap;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::directives::{self, Directive};
use super::fields::{Group, too_costly};
use super::inputs::Input;
use super::meta::Meta;
use super::run::{MOST_DEPTH, Run, unknown};
use super::schema::{Field, Named, Ref, TypeKind, Wrap, interfaces, of_fhir, schema};
use super::shape::Shape;
use super::{unsupported, wrong};
use crate::fhir::definitions::elements::{Kind, Type};
use crate::rest::RestError;

/// Bytes of introspection in one answer. Clients ask for 13 MB, or 16 with all that there is to be asked.
const MOST_BYTES: usize = 24 << 20;
/// Answers that are written at one time; others wait, and the threads are there for other work.
static WRITERS: Semaphore = Semaphore::const_new(2);

/// What introspection has answered, by its names in the answer.
#[derive(Debug, Default)]
pub(super) struct Described {
    parts: HashMap<String, Vec<u8>>,
    bytes: usize,
}

impl Described {
    /// `{"data": …}`, with what has been described in its place; and the errors, if there are any.
    pub(super) fn envelope(
        &mut self,
        data: &Value,
        errors: &[Value],
    ) -> Result<Vec<u8>, RestError> {
        let mut out = b"{\"data\":".to_vec();
        match data {
            Value::Object(object) if !self.parts.is_empty() => {
                for (at, (name, value)) in object.iter().enumerate() {
                    out.push(if at == 0 { b'{' } else { b',' });
                    json(&mut out, name)?;
                    out.push(b':');
                    match self.parts.remove(name) {
                        // The first is most often the only one, and long: it is not copied.
                        Some(mut part) if part.len() > out.len() => {
                            part.splice(0..0, out);
                            out = part;
                        }
                        Some(part) => out.extend_from_slice(&part),
                        None => json(&mut out, value)?,
                    }
                }
                out.push(b'}');
            }
            data => json(&mut out, data)?,
        }
        if !errors.is_empty() {
            out.extend_from_slice(b",\"errors\":");
            json(&mut out, errors)?;
        }
        out.push(b'}');
        Ok(out)
    }
}

fn json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), RestError> {
    serde_json::to_writer(out, value).map_err(|_| RestError::Internal)
}

/// What is selected of one kind of object, fragments spread out: worked out once, however many
/// objects there are.
#[derive(Debug)]
struct Plan(Vec<Step>);

#[derive(Debug)]
struct Step {
    /// `"name":`, as it is written.
    key: Vec<u8>,
    field: &'static str,
    inner: Plan,
}

/// What a plan is carried out on.
enum Object<'a> {
    Schema,
    Type(Ref),
    Field(&'a Field),
    Input(&'a Input),
    EnumValue(&'static str),
    Directive(&'static Directive),
}

impl<'q> Run<'q> {
    /// `__schema` or `__type`, at the root. `root` is the type of the resource that an instance's
    /// query is about.
    pub(super) async fn describe(
        &mut self,
        root: Option<&'static Type>,
        group: &Group<'q>,
        shape: &mut Shape,
    ) -> Result<(), RestError> {
        no_directives(group)?;
        let (meta, object) = match (group.name, group.arguments.as_slice()) {
            ("__schema", []) => (Meta::Schema, Some(Object::Schema)),
            ("__schema", _) => return Err(wrong("`__schema` takes no arguments.")),
            (_, [(name, Value::String(text))]) if name == "name" => {
                let found = schema().find(root, text);
                let object = found.map(|named| Object::Type(Ref::new(named, Wrap::Plain)));
                (Meta::Type, object)
            }
            _ => return Err(wrong("`__type` takes one argument, `name`.")),
        };
        let plan = self.plan(meta, group, 1)?;
        shape.add(group.alias.to_owned(), false, meta.name(), Value::Null)?;
        let Some(object) = object else {
            return Ok(());
        };
        let most = MOST_BYTES.saturating_sub(self.described.bytes);
        let permit = WRITERS.acquire().await.map_err(|_| RestError::Internal)?;
        let part = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut writer = Writer {
                out: Vec::new(),
                most,
                root,
            };
            writer.object(&plan, &object).map(|()| writer.out)
        })
        .await
        .map_err(|_| RestError::Internal)??;
        self.described.bytes += part.len();
        self.described.parts.insert(group.alias.to_owned(), part);
        Ok(())
    }

    fn plan(&mut self, meta: Meta, group: &Group<'q>, depth: usize) -> Result<Plan, RestError> {
        if depth > MOST_DEPTH {
            return Err(too_costly());
        }
        if group.is_leaf() {
            return Err(wrong(&format!(
                "Say which fields of `{}` you want: {{ … }}.",
                group.name
            )));
        }
        let mut steps = Vec::new();
        for group in self.groups(&group.selections, meta.name(), &[])? {
            no_directives(&group)?;
            let mut key = Vec::new();
            json(&mut key, group.alias)?;
            key.push(b':');
            let known = meta.fields().iter().find(|field| field.name == group.name);
            let (field, inner, arguments) = match known {
                Some(field) => (field.name, field.inner(), field.arguments),
                None if group.name == "__typename" => ("__typename", None, [].as_slice()),
                None => return Err(unknown(group.name, meta.name())),
            };
            for (name, value) in &group.arguments {
                if !value.is_boolean() || !arguments.iter().any(|one| one.name == *name) {
                    return Err(wrong(&match arguments.is_empty() {
                        true => format!("`{field}` takes no arguments."),
                        false => {
                            format!("`{field}` takes `includeDeprecated`, which is true or false.")
                        }
                    }));
                }
            }
            let inner = match inner {
                Some(inner) => self.plan(inner, &group, depth + 1)?,
                None if group.is_leaf() => Plan(Vec::new()),
                None => {
                    return Err(wrong(&format!(
                        "`{field}` is primitive: select nothing of it."
                    )));
                }
            };
            steps.push(Step { key, field, inner });
        }
        Ok(Plan(steps))
    }
}

fn no_directives(group: &Group<'_>) -> Result<(), RestError> {
    match group.directives.are_none() {
        true => Ok(()),
        false => Err(unsupported(
            "FHIR's directives mean nothing in introspection.",
        )),
    }
}

/// Carries plans out.
struct Writer {
    out: Vec<u8>,
    most: usize,
    root: Option<&'static Type>,
}

impl Writer {
    fn object(&mut self, plan: &Plan, object: &Object<'_>) -> Result<(), RestError> {
        self.out.push(b'{');
        for (at, step) in plan.0.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.out.extend_from_slice(&step.key);
            // Whatever is done ends in bytes, so their number bounds the work.
            if self.out.len() > self.most {
                return Err(too_costly());
            }
            match object {
                Object::Schema => self.of_schema(step)?,
                Object::Type(one) => self.of_type(step, *one)?,
                Object::Field(one) => self.of_field(step, one)?,
                Object::Input(one) => self.of_input(step, one)?,
                Object::EnumValue(one) => self.of_value(step, one)?,
                Object::Directive(one) => self.of_directive(step, one)?,
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn objects<'o>(
        &mut self,
        plan: &Plan,
        objects: impl IntoIterator<Item = Object<'o>>,
    ) -> Result<(), RestError> {
        self.out.push(b'[');
        for (at, object) in objects.into_iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.object(plan, &object)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn types(
        &mut self,
        plan: &Plan,
        types: impl IntoIterator<Item = Named>,
    ) -> Result<(), RestError> {
        let types = types.into_iter();
        self.objects(
            plan,
            types.map(|one| Object::Type(Ref::new(one, Wrap::Plain))),
        )
    }

    /// A text that JSON writes as it is.
    fn name(&mut self, name: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'"');
    }

    fn literal(&mut self, literal: &str) {
        self.out.extend_from_slice(literal.as_bytes());
    }

    fn of_schema(&mut self, step: &Step) -> Result<(), RestError> {
        match step.field {
            "__typename" => self.name("__Schema"),
            "description" => self.name(match self.root {
                None => "FHIR R4: $graphql of the system.",
                Some(_) => "FHIR R4: $graphql of a resource.",
            }),
            "types" => return self.types(&step.inner, schema().types(self.root)),
            "queryType" => {
                let root = self.root.map_or(Named::Query, Named::Own);
                return self.object(&step.inner, &Object::Type(Ref::new(root, Wrap::Plain)));
            }
            "directives" => {
                return self.objects(&step.inner, directives::ALL.iter().map(Object::Directive));
            }
            // mutationType, subscriptionType
            _ => self.literal("null"),
        }
        Ok(())
    }

    fn of_type(&mut self, step: &Step, one: Ref) -> Result<(), RestError> {
        if let Some((kind, inner)) = one.outer() {
            match step.field {
                "__typename" => self.name("__Type"),
                "kind" => self.name(kind),
                "ofType" => return self.object(&step.inner, &Object::Type(inner)),
                _ => self.literal("null"),
            }
            return Ok(());
        }
        let named = one.named;
        let kind = named.kind();
        match (step.field, kind) {
            ("__typename", _) => self.name("__Type"),
            ("kind", _) => self.name(match kind {
                TypeKind::Scalar => "SCALAR",
                TypeKind::Object => "OBJECT",
                TypeKind::Interface => "INTERFACE",
                TypeKind::Enum => "ENUM",
            }),
            ("name", _) => self.name(&named.name()),
            ("specifiedByURL", TypeKind::Scalar) => match named.specified_by() {
                Some(url) => self.name(&url),
                None => self.literal("null"),
            },
            ("fields", TypeKind::Object | TypeKind::Interface) => {
                let fields = schema().fields(named);
                return self.objects(&step.inner, fields.iter().map(Object::Field));
            }
            ("interfaces", TypeKind::Object | TypeKind::Interface) => {
                let names = match named {
                    Named::Own(own) => interfaces(own),
                    _ => &[],
                };
                return self.types(&step.inner, names.iter().filter_map(|name| of_fhir(name)));
            }
            ("possibleTypes", TypeKind::Interface) => {
                let name = named.name();
                let all = schema().types(self.root).filter(|one| match one {
                    Named::Own(own) => {
                        own.kind == Kind::Resource && interfaces(own).contains(&&*name)
                    }
                    _ => false,
                });
                return self.types(&step.inner, all);
            }
            ("enumValues", TypeKind::Enum) => {
                let values = match named {
                    Named::Meta(meta) => meta.values(),
                    _ => &[],
                };
                return self.objects(&step.inner, values.iter().map(|one| Object::EnumValue(one)));
            }
            // description, inputFields, ofType, isOneOf, and lists of other kinds
            _ => self.literal("null"),
        }
        Ok(())
    }

    fn of_field(&mut self, step: &Step, one: &Field) -> Result<(), RestError> {
        match step.field {
            "__typename" => self.name("__Field"),
            "name" => self.name(&one.name),
            "args" => {
                let all = one.arguments.all();
                return self.objects(&step.inner, all.iter().map(Object::Input));
            }
            "type" => return self.object(&step.inner, &Object::Type(one.of)),
            "isDeprecated" => self.literal("false"),
            _ => self.literal("null"),
        }
        Ok(())
    }

    fn of_input(&mut self, step: &Step, one: &Input) -> Result<(), RestError> {
        match (step.field, one.default) {
            ("__typename", _) => self.name("__InputValue"),
            ("name", _) => self.name(&one.name),
            ("type", _) => return self.object(&step.inner, &Object::Type(one.of)),
            ("defaultValue", Some(text)) => self.name(text),
            ("isDeprecated", _) => self.literal("false"),
            _ => self.literal("null"),
        }
        Ok(())
    }

    fn of_value(&mut self, step: &Step, one: &str) -> Result<(), RestError> {
        match step.field {
            "__typename" => self.name("__EnumValue"),
            "name" => self.name(one),
            "isDeprecated" => self.literal("false"),
            _ => self.literal("null"),
        }
        Ok(())
    }

    fn of_directive(&mut self, step: &Step, one: &Directive) -> Result<(), RestError> {
        match step.field {
            "__typename" => self.name("__Directive"),
            "name" => self.name(one.name),
            "description" => json(&mut self.out, one.description)?,
            "args" => return self.objects(&step.inner, one.arguments.iter().map(Object::Input)),
            "locations" => json(&mut self.out, one.locations)?,
            _ => self.literal("false"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::fhir::definitions::definitions;
    use crate::rest::operation::graphql::schema::type_name;

    #[test]
    fn no_two_types_have_one_name() {
        let mut names: HashSet<String> = HashSet::new();
        let elements = definitions().elements();
        let (count, _) = elements.counts();
        for index in 0..count {
            let own = elements.get(u16::try_from(index).unwrap()).unwrap();
            assert!(names.insert(type_name(own).into_owned()), "{}", own.name);
        }
        for (type_id, _) in definitions().types() {
            for one in [Named::Connection(type_id), Named::Edge(type_id)] {
                assert!(names.insert(one.name().into_owned()), "{}", one.name());
            }
        }
        assert!(!names.contains("Query"));
    }

    #[test]
    fn no_two_fields_and_no_two_arguments_have_one_name() {
        let is_name = |name: &str| {
            name.chars()
                .all(|one| one.is_ascii_alphanumeric() || one == '_')
                && !name.starts_with(|one: char| one.is_ascii_digit())
        };
        for named in schema().types(None) {
            let mut names = HashSet::new();
            for field in schema().fields(named) {
                assert!(is_name(&field.name), "{}", field.name);
                assert!(names.insert(field.name.clone()), "{}", field.name);
                let mut arguments = HashSet::new();
                for one in field.arguments.all() {
                    assert!(is_name(&one.name), "{}", one.name);
                    assert!(
                        arguments.insert(one.name.clone()),
                        "{}: {}",
                        field.name,
                        one.name
                    );
                }
            }
        }
    }
}
