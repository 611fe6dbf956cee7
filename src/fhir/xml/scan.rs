//! The first step in: checks everything fhirbolt does not, cuts narratives out, and writes the
//! plain XML that fhirbolt reads without surprises.

use fhirbolt::FhirReleases;
use fhirbolt_shared::path::ElementPath;
use quick_xml::XmlVersion;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::narrative::{self, MAX_ATTRIBUTES};
use super::{
    FHIR_NAMESPACE, KEPT_ID, MAX_DEPTH, MAX_ELEMENTS, PLACEHOLDER, PLACEHOLDER_END,
    XHTML_NAMESPACE, integer, is_decimal, is_xml_char,
};
use crate::fhir::json::line_and_column;
use crate::fhir::outcome::Issue;

/// Schema locations and types, which carry nothing a receiver needs.
const XSI_NAMESPACE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// What [`scan`] makes of a body.
pub(super) struct Scanned {
    /// The body without comments, prefixes and blanks, a placeholder for each narrative.
    pub(super) xml: String,
    /// The narratives by the number in their placeholder.
    pub(super) narratives: Vec<String>,
}

/// What an open element is to the format.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Resource,
    /// Holds exactly one resource: `contained`, `Bundle.entry.resource`, ...
    Wrapper,
    Primitive,
    Extension,
    Complex,
}

struct Frame {
    name: String,
    kind: Kind,
    /// Child names so far and how often.
    children: Vec<(String, usize)>,
    /// Has a value, an id, a url or a child.
    filled: bool,
}

struct Scan<'t> {
    text: &'t str,
    path: ElementPath,
    frames: Vec<Frame>,
    /// FHIRPath steps of the open elements; empty for a nested resource's own element.
    place: Vec<String>,
    elements: usize,
    /// The id of the element that is being opened, where fhirbolt would take it for a value ([`KEPT_ID`]).
    kept_id: Option<String>,
    out: Scanned,
}

type Reader<'t> = NsReader<&'t [u8]>;

/// Checks a body (text without byte order mark) and prepares it for fhirbolt.
pub(super) fn scan(text: &str) -> Result<Scanned, Issue> {
    let mut reader = NsReader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut scan = Scan {
        text,
        path: ElementPath::new(FhirReleases::R4),
        frames: Vec::new(),
        place: Vec::new(),
        elements: 0,
        kept_id: None,
        out: Scanned {
            xml: String::with_capacity(text.len()),
            narratives: Vec::new(),
        },
    };
    if let Some((at, _)) = text
        .char_indices()
        .find(|(_, character)| !is_xml_char(*character))
    {
        return Err(scan.refuse("structure", at, "a character that XML cannot hold"));
    }
    loop {
        let at = offset(reader.buffer_position());
        let event = reader
            .read_event()
            .map_err(|error| scan.malformed(&error, &reader))?;
        match event {
            Event::Start(start) => scan.open(&mut reader, &start, at, false)?,
            Event::Empty(start) => scan.open(&mut reader, &start, at, true)?,
            Event::End(_) => scan.close(at)?,
            Event::Text(text) if text.bytes().all(|byte| byte.is_ascii_whitespace()) => {}
            Event::Comment(_) => {}
            Event::Decl(declaration) if at == 0 => scan.declaration(&declaration)?,
            Event::Eof => break,
            Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                return Err(scan.refuse(
                    "structure",
                    at,
                    "text between elements; FHIR has values in `value` attributes only",
                ));
            }
            Event::DocType(_) => {
                return Err(scan.refuse(
                    "not-supported",
                    at,
                    "a DOCTYPE or entity declaration, which is not accepted",
                ));
            }
            Event::Decl(_) | Event::PI(_) => {
                return Err(scan.refuse(
                    "not-supported",
                    at,
                    "a processing instruction, which is not accepted",
                ));
            }
        }
    }
    if scan.out.xml.is_empty() || !scan.frames.is_empty() {
        return Err(scan.refuse(
            "structure",
            text.len(),
            "the end, before the resource is whole",
        ));
    }
    Ok(scan.out)
}

impl<'t> Scan<'t> {
    fn open(
        &mut self,
        reader: &mut Reader<'t>,
        start: &BytesStart<'_>,
        at: usize,
        empty: bool,
    ) -> Result<(), Issue> {
        let (namespace, local) = reader.resolver().resolve_element(start.name());
        let name = local.into_inner();
        match namespace {
            ResolveResult::Bound(Namespace(FHIR_NAMESPACE)) => {}
            ResolveResult::Bound(Namespace(XHTML_NAMESPACE)) if name == "div" => {
                return self.narrative(reader, at, empty);
            }
            _ => {
                return Err(self.refuse(
                    "structure",
                    at,
                    "an element outside the namespace http://hl7.org/fhir",
                ));
            }
        }
        self.elements += 1;
        if self.frames.len() == MAX_DEPTH {
            return Err(self.refuse("too-costly", at, "elements nested more than 64 deep"));
        }
        if self.elements > MAX_ELEMENTS {
            return Err(self.refuse("too-costly", at, "more than 1000000 elements"));
        }
        let kind = self.enter(name, at)?;
        self.out.xml.push('<');
        self.out.xml.push_str(name);
        if self.frames.is_empty() {
            self.out.xml.push_str(" xmlns=\"");
            self.out.xml.push_str(FHIR_NAMESPACE);
            self.out.xml.push('"');
        }
        let filled = self.attributes(reader, start, kind, at)?;
        self.out.xml.push('>');
        if let Some(id) = self.kept_id.take() {
            let kept = format!("<extension url=\"{KEPT_ID}{id}\"></extension>");
            self.out.xml.push_str(&kept);
        }
        self.frames.push(Frame {
            name: name.to_owned(),
            kind,
            children: Vec::new(),
            filled,
        });
        if empty { self.close(at) } else { Ok(()) }
    }

    /// Steps onto a child, if the parent may have it.
    fn enter(&mut self, name: &str, at: usize) -> Result<Kind, Issue> {
        let parent = self.frames.last().map(|frame| frame.kind);
        let step = match parent {
            None if !self.out.xml.is_empty() => {
                return Err(self.refuse("structure", at, "a second root element"));
            }
            None => {
                self.path.push(name);
                name.to_owned()
            }
            Some(Kind::Wrapper) => {
                if self.frames.last().is_some_and(|frame| frame.filled) {
                    return Err(self.refuse("structure", at, "a second resource in one place"));
                }
                self.path.push(name);
                String::new()
            }
            Some(kind) => {
                let known = match kind {
                    Kind::Primitive => name == "extension",
                    // These are attributes, and fhirbolt would mix the two.
                    Kind::Complex | Kind::Extension if name == "id" => false,
                    Kind::Extension if name == "url" => false,
                    _ => {
                        name != "div" && self.path.children().is_some_and(|set| set.contains(name))
                    }
                };
                if !known {
                    return Err(self.refuse(
                        "structure",
                        at,
                        "an element that R4 does not have here",
                    ));
                }
                self.path.push(name);
                self.occurrence(name, at)?
            }
        };
        if let Some(frame) = self.frames.last_mut() {
            frame.filled = true;
        }
        self.place.push(step);
        if matches!(parent, None | Some(Kind::Wrapper)) {
            // Every resource has it, no datatype does.
            if !self
                .path
                .children()
                .is_some_and(|set| set.contains("implicitRules"))
            {
                return Err(self.refuse("structure", at, "an element that is no R4 resource"));
            }
            return Ok(Kind::Resource);
        }
        Ok(if self.path.current_element_is_resource() {
            Kind::Wrapper
        } else if self.path.current_element_is_primitive() {
            Kind::Primitive
        } else if self.path.current_element_is_extension() {
            Kind::Extension
        } else {
            Kind::Complex
        })
    }

    /// Counts a child; its FHIRPath step.
    fn occurrence(&mut self, name: &str, at: usize) -> Result<String, Issue> {
        let repeats = self.path.current_element_is_sequence();
        let mut index = 0;
        if let Some(frame) = self.frames.last_mut() {
            match frame.children.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => {
                    index = *count;
                    *count += 1;
                }
                None => frame.children.push((name.to_owned(), 1)),
            }
        }
        match (repeats, index) {
            (true, _) => Ok(format!("{name}[{index}]")),
            (false, 0) => Ok(name.to_owned()),
            (false, _) => Err(self.refuse(
                "structure",
                at,
                "a repeat of an element that may occur once",
            )),
        }
    }

    /// Checks and copies the attributes; says whether there were any that matter.
    fn attributes(
        &mut self,
        reader: &Reader<'t>,
        start: &BytesStart<'_>,
        kind: Kind,
        at: usize,
    ) -> Result<bool, Issue> {
        let mut filled = false;
        let all = start
            .attributes()
            .with_checks(false)
            .take(MAX_ATTRIBUTES + 1)
            .count();
        if all > MAX_ATTRIBUTES {
            return Err(self.refuse("too-costly", at, "a tag with more than 64 attributes"));
        }
        for attribute in start.attributes() {
            let Ok(attribute) = attribute else {
                return Err(self.refuse("structure", at, "a malformed or repeated attribute"));
            };
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
            if namespace == ResolveResult::Bound(Namespace(XSI_NAMESPACE)) {
                continue;
            }
            let known = namespace == ResolveResult::Unbound
                && matches!(
                    (local.as_ref(), kind),
                    ("id", Kind::Primitive | Kind::Extension | Kind::Complex)
                        | ("url", Kind::Extension)
                        | ("value", Kind::Primitive)
                );
            if !known {
                return Err(self.refuse(
                    "structure",
                    at,
                    "an attribute that R4 does not have here",
                ));
            }
            let value = attribute
                .normalized_value_with(XmlVersion::Explicit1_0, 1, resolve_xml_entity)
                .map_err(|_| self.refuse("structure", at, "an unknown entity or bad reference"))?;
            if value.is_empty() || !value.chars().all(is_xml_char) {
                return Err(self.refuse("value", at, "an empty or unreadable attribute"));
            }
            let value = if local.as_ref() == "value" {
                self.typed(&value, at)?
            } else {
                &value
            };
            filled = true;
            let escaped = quick_xml::escape::escape(value);
            if local.as_ref() == "id" && kind == Kind::Primitive && self.is_unquoted() {
                self.kept_id = Some(escaped.into_owned());
                continue;
            }
            self.out.xml.push(' ');
            self.out.xml.push_str(local.as_ref());
            self.out.xml.push_str("=\"");
            self.out.xml.push_str(&escaped);
            self.out.xml.push('"');
        }
        Ok(filled)
    }

    /// Whether JSON writes the primitive that the path is on without quotes.
    fn is_unquoted(&self) -> bool {
        let path = &self.path;
        path.current_element_is_boolean()
            || path.current_element_is_decimal()
            || path.current_element_is_integer()
            || path.current_element_is_positive_integer()
            || path.current_element_is_unsigned_integer()
    }

    /// The value of the primitive that the path is on, if it has the form of its type.
    fn typed<'v>(&self, value: &'v str, at: usize) -> Result<&'v str, Issue> {
        let path = &self.path;
        if path.current_element_is_boolean() {
            if !["true", "false"].contains(&value) {
                return Err(self.refuse("value", at, "a value that is not `true` or `false`"));
            }
        } else if path.current_element_is_decimal() {
            if !is_decimal(value) {
                return Err(self.refuse("value", at, "a value that is not a decimal"));
            }
        } else if path.current_element_is_integer()
            || path.current_element_is_positive_integer()
            || path.current_element_is_unsigned_integer()
        {
            // The only type whose form allows a plus sign.
            let value = value.strip_prefix('+').unwrap_or(value);
            if integer(value).is_none() {
                return Err(self.refuse("value", at, "a value that is not a 32-bit integer"));
            }
            return Ok(value);
        }
        Ok(value)
    }

    fn close(&mut self, at: usize) -> Result<(), Issue> {
        let Some(frame) = self.frames.pop() else {
            return Err(self.refuse("structure", at, "an end tag too many"));
        };
        if !frame.filled && frame.kind != Kind::Resource {
            return Err(self.refuse(
                "structure",
                at,
                "an element with neither value nor children",
            ));
        }
        self.out.xml.push_str("</");
        self.out.xml.push_str(&frame.name);
        self.out.xml.push('>');
        self.path.pop();
        self.place.pop();
        Ok(())
    }

    /// Cuts out a narrative whose first tag was just read.
    fn narrative(&mut self, reader: &mut Reader<'t>, at: usize, empty: bool) -> Result<(), Issue> {
        // The place is right if `div` is a child here and only XHTML can be meant by it.
        let known = self.path.children().is_some_and(|set| set.contains("div"));
        if !known
            || !self
                .frames
                .last()
                .is_some_and(|frame| frame.kind == Kind::Complex)
        {
            return Err(self.refuse("structure", at, "XHTML where R4 has none"));
        }
        self.path.push("div");
        let step = self.occurrence("div", at)?;
        self.place.push(step);
        let mut open = usize::from(!empty);
        while open > 0 {
            let here = offset(reader.buffer_position());
            match reader
                .read_event()
                .map_err(|error| self.malformed(&error, reader))?
            {
                Event::Start(_) if open == MAX_DEPTH => {
                    return Err(self.refuse("too-costly", here, "narrative nested too deep"));
                }
                Event::Start(_) => open += 1,
                Event::End(_) => open -= 1,
                Event::Eof => return Err(self.refuse("structure", here, "the end of the body")),
                _ => {}
            }
        }
        let end = offset(reader.buffer_position());
        let raw = self.text.get(at..end).unwrap_or_default();
        let div = narrative::checked(raw)
            .map_err(|(text, inner)| self.refuse("structure", at + inner, text))?;
        let number = self.out.narratives.len();
        self.out.narratives.push(div.into_owned());
        self.out
            .xml
            .push_str(&format!("{PLACEHOLDER}{number}{PLACEHOLDER_END}"));
        if let Some(frame) = self.frames.last_mut() {
            frame.filled = true;
        }
        self.path.pop();
        self.place.pop();
        Ok(())
    }

    fn declaration(&self, declaration: &BytesDecl<'_>) -> Result<(), Issue> {
        let version = declaration.version();
        if !version.is_ok_and(|version| version == "1.0") {
            return Err(self.refuse("not-supported", 0, "an XML version other than 1.0"));
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(name)) if name.eq_ignore_ascii_case("utf-8") => Ok(()),
            Some(_) => Err(self.refuse("not-supported", 0, "an encoding other than UTF-8")),
        }
    }

    fn malformed(&self, error: &Error, reader: &Reader<'_>) -> Issue {
        let text = match error {
            Error::Syntax(_) => "markup that does not end or is not known",
            Error::IllFormed(IllFormedError::MismatchedEndTag { .. }) => {
                "an end tag that does not match its start tag"
            }
            Error::IllFormed(IllFormedError::MissingEndTag(_)) => "an element without its end tag",
            Error::IllFormed(IllFormedError::UnmatchedEndTag(_)) => "an end tag too many",
            Error::InvalidAttr(_) => "a malformed attribute",
            Error::Namespace(_) => "namespace declarations that are not acceptable",
            _ => "what is not well-formed XML",
        };
        self.refuse("structure", offset(reader.error_position()), text)
    }

    /// An issue about the byte at `at`, inside the element that is open.
    fn refuse(&self, code: &'static str, at: usize, text: &str) -> Issue {
        let (line, column) = line_and_column(self.text.as_bytes(), at);
        let issue = Issue::error(code, format!("XML line {line} column {column}: {text}"));
        let steps: Vec<&str> = self
            .place
            .iter()
            .map(String::as_str)
            .filter(|step| !step.is_empty())
            .collect();
        issue.at(steps.join("."))
    }
}

fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
