//! XML Patch (RFC 5261, as R4 3.1.0.7 has it): `<diff>` with `add`, `replace` and `remove`, applied to
//! the resource as XML.
//!
//! The resource is written as XML, changed as a tree, and read back; what the format does not allow
//! is found there, as if it had been sent. Element order and blanks carry nothing in FHIR, so `ws`
//! changes nothing. A narrative stays as it is to the letter unless the patch goes into it.

mod document;
mod select;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::NsReader;
use serde_json::Value;

use self::document::{Document, Kind, MAX_DEPTH, NodeId, is_name};
use self::select::{Found, Missed, Selector, attribute};
use super::{MOST_OPERATIONS, malformed, misfit, too_many};
use crate::fhir::json::utf8;
use crate::fhir::outcome::Issue;
use crate::fhir::xml;
use crate::rest::RestError;

/// Looks at nodes that the selectors of one patch may take.
const MOST_WORK: usize = 5_000_000;
/// Bytes that the changed resource may have as XML.
const MOST_BYTES: usize = xml::MAX_BYTES;

/// One operation.
#[derive(Clone, Debug)]
pub(in crate::rest) struct Operation {
    selector: Selector,
    kind: Change,
}

impl Operation {
    /// Whether its selector has no conditions but numbers.
    pub(super) fn is_blind(&self) -> bool {
        self.selector.is_plain()
    }
}

#[derive(Clone, Debug)]
enum Change {
    Add(Position, Document),
    AddAttribute(String, String),
    Replace(Document),
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Append,
    Prepend,
    Before,
    After,
}

/// Reads a patch.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Operation>, RestError> {
    let text = utf8(body).map_err(|issue| RestError::BadRequest(vec![issue]))?;
    let wrong = |text: &str| RestError::bad_request("structure", format!("XML Patch: {text}."));
    let mut reader = NsReader::from_str(text);
    let mut operations = Vec::new();
    let mut is_open = false;
    let mut is_done = false;
    loop {
        let at = reader.buffer_position();
        let event = reader
            .read_event()
            .map_err(|_| wrong("it is not well-formed XML"))?;
        match event {
            Event::Text(text) if text.bytes().all(|byte| byte.is_ascii_whitespace()) => {}
            Event::Comment(_) => {}
            Event::Decl(_) if at == 0 => {}
            Event::Start(start) if !is_open && !is_done => {
                is_open = true;
                require_diff(&start)?;
            }
            Event::Empty(start) if !is_open && !is_done => {
                is_done = true;
                require_diff(&start)?;
            }
            Event::Start(start) if is_open => {
                if operations.len() == MOST_OPERATIONS {
                    return Err(too_many());
                }
                let start = start.into_owned();
                let number = operations.len();
                let head = Head::read(&start, &reader).map_err(|text| malformed(number, &text))?;
                let mut content = Document::default();
                content
                    .read(&mut reader, text)
                    .map_err(|text| malformed(number, &format!("{text}.")))?;
                let operation = head
                    .finish(content)
                    .map_err(|text| malformed(number, text))?;
                operations.push(operation);
            }
            Event::Empty(start) if is_open => {
                if operations.len() == MOST_OPERATIONS {
                    return Err(too_many());
                }
                let number = operations.len();
                let head = Head::read(&start, &reader).map_err(|text| malformed(number, &text))?;
                let operation = head
                    .finish(Document::default())
                    .map_err(|text| malformed(number, text))?;
                operations.push(operation);
            }
            Event::End(_) => {
                is_open = false;
                is_done = true;
            }
            Event::Eof if is_done => return Ok(operations),
            Event::Eof => return Err(wrong("it ends before <diff> is whole")),
            Event::DocType(_) | Event::PI(_) | Event::Decl(_) => {
                return Err(wrong(
                    "declarations and processing instructions are not accepted",
                ));
            }
            _ => return Err(wrong("in <diff> stand only add, replace and remove")),
        }
    }
}

fn require_diff(start: &BytesStart<'_>) -> Result<(), RestError> {
    if start.local_name().into_inner() == "diff" {
        return Ok(());
    }
    Err(RestError::bad_request(
        "structure",
        "An XML Patch is one <diff> element (RFC 5261).",
    ))
}

/// The tag of an operation, understood.
struct Head {
    name: String,
    selector: Selector,
    /// `type="@value"`.
    attribute: Option<String>,
    position: Position,
}

impl Head {
    fn read(start: &BytesStart<'_>, reader: &NsReader<&[u8]>) -> Result<Self, String> {
        let name = start.local_name().into_inner().to_owned();
        if !matches!(&*name, "add" | "replace" | "remove") {
            return Err("it is one of add, replace and remove.".to_owned());
        }
        let mut selector = None;
        let mut attribute = None;
        let mut position = Position::Append;
        for one in start.attributes() {
            let one = one.map_err(|_| "it has a malformed or repeated attribute.".to_owned())?;
            if one.key.as_namespace_binding().is_some() {
                continue;
            }
            let value = one
                .normalized_value_with(XmlVersion::Explicit1_0, 1, resolve_xml_entity)
                .map_err(|_| "an attribute refers to an unknown entity.".to_owned())?;
            match (one.key.0, &*value) {
                ("sel", text) => {
                    selector = Some(Selector::parse(text, reader.resolver())?);
                }
                ("type", text) if name == "add" => match text.trim().strip_prefix('@') {
                    Some(own) if is_name(own) => attribute = Some(own.to_owned()),
                    _ => {
                        return Err(
                            "its type is @ and the name of an attribute; namespaces are not kept."
                                .to_owned(),
                        );
                    }
                },
                ("pos", "prepend") if name == "add" => position = Position::Prepend,
                ("pos", "before") if name == "add" => position = Position::Before,
                ("pos", "after") if name == "add" => position = Position::After,
                ("pos", _) if name == "add" => {
                    return Err("its pos is one of prepend, before and after.".to_owned());
                }
                ("ws", "before" | "after" | "both") if name == "remove" => {}
                _ => {
                    return Err("it has an attribute that RFC 5261 does not know there.".to_owned());
                }
            }
        }
        Ok(Self {
            name,
            selector: selector.ok_or_else(|| "it needs an attribute `sel`.".to_owned())?,
            attribute,
            position,
        })
    }

    fn finish(self, content: Document) -> Result<Operation, &'static str> {
        let kind = match (&*self.name, self.attribute) {
            ("add", Some(name)) => {
                if self.position != Position::Append {
                    return Err("attributes have no order: pos says nothing here.");
                }
                Change::AddAttribute(name, text_of(&content).ok_or(NO_TEXT)?)
            }
            ("add", None) => {
                if content.roots.is_empty() {
                    return Err("it has nothing to add.");
                }
                Change::Add(self.position, tidied(content)?)
            }
            ("replace", _) => Change::Replace(content),
            _ if content.roots.is_empty() => Change::Remove,
            _ => return Err("remove has no content."),
        };
        Ok(Operation {
            selector: self.selector,
            kind,
        })
    }
}

const NO_TEXT: &str = "an attribute's value is a text without elements.";

/// The text that is all of the content.
fn text_of(content: &Document) -> Option<String> {
    let mut text = String::new();
    for root in &content.roots {
        match content.kind(*root)? {
            Kind::Text(own) => text.push_str(own),
            Kind::Comment(_) => {}
            Kind::Element(_) => return None,
        }
    }
    Some(text)
}

/// Without the blanks and comments around elements.
fn tidied(mut content: Document) -> Result<Document, &'static str> {
    let has_elements = content
        .roots
        .iter()
        .any(|id| content.element(*id).is_some());
    if has_elements {
        let roots = std::mem::take(&mut content.roots);
        content.roots = roots
            .into_iter()
            .filter(|id| match content.kind(*id) {
                Some(Kind::Text(text)) => !text.trim_ascii().is_empty(),
                Some(Kind::Element(_)) => true,
                _ => false,
            })
            .collect();
    }
    if content.height() > MAX_DEPTH {
        return Err("its content is nested too deep.");
    }
    Ok(content)
}

/// Applies the operations one after another.
pub(super) fn apply(operations: &[Operation], resource: &mut Value) -> Result<(), RestError> {
    let text = xml::to_xml(resource)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let document = text.and_then(|text| Document::parse(&text).ok());
    let mut document = document.ok_or_else(|| {
        refused(Issue::error(
            "processing",
            "This resource has no XML form to patch; use JSON Patch or FHIRPath Patch.",
        ))
    })?;
    let mut work = MOST_WORK;
    for (at, operation) in operations.iter().enumerate() {
        step(operation, &mut document, &mut work).map_err(|text| misfit(at, text))?;
    }
    document.prune();
    let text = document.write();
    *resource = xml::from_xml_within(text.as_bytes(), MOST_BYTES).map_err(|issue| {
        // Line and column are of a text that nobody sent.
        let text = issue.diagnostics.split_once(": ").map(|(_, text)| text);
        let text = text.unwrap_or(&issue.diagnostics);
        refused(
            Issue::error(issue.code, format!("What the patch makes has {text}."))
                .at(issue.expression.clone()),
        )
    })?;
    Ok(())
}

fn refused(issue: Issue) -> RestError {
    RestError::Refused {
        status: axum::http::StatusCode::UNPROCESSABLE_ENTITY,
        issues: vec![issue],
    }
}

const NO_ELEMENT: &str = "the selector must find an element.";
const TOO_LARGE: &str = "the resource becomes too deep or too large.";

fn step(
    operation: &Operation,
    document: &mut Document,
    work: &mut usize,
) -> Result<(), &'static str> {
    let found = operation
        .selector
        .find(document, work)
        .map_err(|missed| match missed {
            Missed::NotOne => "the selector must find one node, and finds none or several.",
            Missed::TooMuch => "the selectors of the patch take more work than is allowed.",
        })?;
    match (&operation.kind, found) {
        (Change::Remove, Found::Attribute(id, name)) => document.set_attribute(id, &name, None),
        (Change::Remove, Found::Node(id)) => {
            document.remove(id).ok_or("the resource itself stays.")?;
        }
        (Change::Replace(content), Found::Attribute(id, name)) => {
            let text = text_of(content).ok_or(NO_TEXT)?;
            document.set_attribute(id, &name, Some(text));
        }
        (Change::Replace(content), Found::Node(id)) => replace(document, id, content)?,
        (Change::AddAttribute(name, value), Found::Node(id)) => {
            if document.element(id).is_none() {
                return Err(NO_ELEMENT);
            }
            if attribute(document, id, name).is_some() {
                return Err("the element has this attribute already; use replace.");
            }
            document.set_attribute(id, name, Some(value.clone()));
        }
        (Change::Add(position, content), Found::Node(id)) => add(document, id, *position, content)?,
        (Change::Add(..) | Change::AddAttribute(..), Found::Attribute(..)) => {
            return Err(NO_ELEMENT);
        }
    }
    Ok(())
}

fn add(
    document: &mut Document,
    id: NodeId,
    position: Position,
    content: &Document,
) -> Result<(), &'static str> {
    let (parent, at) = match position {
        Position::Append | Position::Prepend if document.element(id).is_none() => {
            return Err(NO_ELEMENT);
        }
        Position::Append => (id, usize::MAX),
        Position::Prepend => (id, 0),
        Position::Before | Position::After => {
            let (parent, at) = document
                .position(id)
                .ok_or("nothing stands beside the resource itself.")?;
            (parent, at + usize::from(position == Position::After))
        }
    };
    if document.depth(parent) + content.height() > MAX_DEPTH {
        return Err(TOO_LARGE);
    }
    document.insert(parent, at, content).ok_or(TOO_LARGE)
}

/// One element for another, a text for a text.
fn replace(document: &mut Document, id: NodeId, content: &Document) -> Result<(), &'static str> {
    if document.element(id).is_none() {
        let text = text_of(content).ok_or("a text is replaced by a text.")?;
        document.set_text(id, text);
        return Ok(());
    }
    let content = tidied(content.clone())?;
    let [root] = content.roots.as_slice() else {
        return Err("one element is replaced by one element.");
    };
    if content.element(*root).is_none() {
        return Err("one element is replaced by one element; a value is replaced at /@value.");
    }
    match document.remove(id) {
        None => document.set_root(&content),
        Some((parent, at)) => {
            if document.depth(parent) + content.height() > MAX_DEPTH {
                return Err(TOO_LARGE);
            }
            document.insert(parent, at, &content).ok_or(TOO_LARGE)?;
        }
    }
    Ok(())
}
