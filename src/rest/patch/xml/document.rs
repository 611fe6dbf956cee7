//! A resource as an XML tree that can be changed: elements, attributes and, in narratives, texts.
//!
//! quick-xml reads, this only holds what it read. Namespaces stand in the names, so that prefixes
//! of one document mean nothing in another. A narrative that nobody changes is written as it was.

use std::collections::HashMap;
use std::sync::Arc;

use quick_xml::XmlVersion;
use quick_xml::escape::{escape, resolve_xml_entity};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, NamespaceResolver, QName, ResolveResult};
use quick_xml::reader::NsReader;

/// FHIR's namespace; in a patch also what has none, for nothing in FHIR is without.
pub(super) const FHIR: &str = "http://hl7.org/fhir";
const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// Elements inside each other: those of a resource, and as many again in its narrative.
pub(super) const MAX_DEPTH: usize = 128;
/// Nodes of one document.
pub(super) const MAX_NODES: usize = 2_000_000;
/// Attributes of one tag; quick-xml compares each with all before it.
const MAX_ATTRIBUTES: usize = 64;

/// The name of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) namespace: Arc<str>,
    pub(super) local: Arc<str>,
}

/// The number of a node in its document.
pub(super) type NodeId = usize;

/// An element.
#[derive(Clone, Debug)]
pub(super) struct Element {
    pub(super) name: Name,
    /// Without namespaces: FHIR's have none, a narrative's only `xml:`.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<NodeId>,
    /// How a narrative stood in the text that it was read from, while nothing in it has changed.
    raw: Option<String>,
    /// Something was taken out of it.
    emptied: bool,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Element(Element),
    Text(String),
    Comment(String),
}

#[derive(Clone, Debug)]
struct Node {
    parent: Option<NodeId>,
    kind: Kind,
}

/// A tree of nodes, or several beside each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    nodes: Vec<Node>,
    pub(super) roots: Vec<NodeId>,
}

/// What is wrong with a text that should be XML.
pub(super) type Malformed = &'static str;

impl Document {
    /// Reads a whole text.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut reader = NsReader::from_str(text);
        let mut document = Self::default();
        document.read(&mut reader, text)?;
        Ok(document)
    }

    /// Reads what stands until the end tag of the element that `reader` is in, that tag included.
    pub(super) fn read(
        &mut self,
        reader: &mut NsReader<&[u8]>,
        text: &str,
    ) -> Result<(), Malformed> {
        let mut open: Vec<(NodeId, usize)> = Vec::new();
        loop {
            let at = offset(reader);
            let event = reader.read_event().map_err(|_| NOT_WELL_FORMED)?;
            let parent = open.last().map(|(id, _)| *id);
            match event {
                Event::Start(_) | Event::Empty(_) if open.len() >= MAX_DEPTH => {
                    return Err("elements are nested too deep");
                }
                Event::Start(start) => {
                    let element = element(reader.resolver(), &start)?;
                    open.push((self.push(parent, Kind::Element(element))?, at));
                }
                Event::Empty(start) => {
                    let element = element(reader.resolver(), &start)?;
                    let id = self.push(parent, Kind::Element(element))?;
                    self.keep_raw(id, text.get(at..offset(reader)));
                }
                Event::End(_) => match open.pop() {
                    Some((id, start)) => self.keep_raw(id, text.get(start..offset(reader))),
                    None => return Ok(()),
                },
                Event::Text(content) => self.text(parent, &content.xml10_content())?,
                Event::CData(content) => self.text(parent, &content.xml10_content())?,
                Event::GeneralRef(reference) => self.text(parent, &resolve(&reference)?)?,
                Event::Comment(content) => {
                    self.push(parent, Kind::Comment(content.into_inner().into_owned()))?;
                }
                Event::Decl(_) if at == 0 => {}
                Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                    return Err("declarations and processing instructions are not accepted");
                }
                Event::Eof if open.is_empty() => return Ok(()),
                Event::Eof => return Err(NOT_WELL_FORMED),
            }
        }
    }

    /// A narrative is kept as it was written, unless a patch goes into it.
    fn keep_raw(&mut self, id: NodeId, raw: Option<&str>) {
        let above = self.parent(id).and_then(|parent| self.element(parent));
        let is_below_fhir = above.is_some_and(|above| &*above.name.namespace == FHIR);
        // Without its own declaration it means nothing by itself.
        let is_whole = |raw: &&str| {
            let tag = raw.split_once('>').map_or(*raw, |(tag, _)| tag);
            tag.contains(" xmlns=")
        };
        if let Some(element) = self.element_mut(id)
            && is_below_fhir
            && &*element.name.namespace == XHTML
            && let Some(raw) = raw.filter(is_whole)
        {
            element.raw = Some(raw.to_owned());
        }
    }

    fn push(&mut self, parent: Option<NodeId>, kind: Kind) -> Result<NodeId, Malformed> {
        if self.nodes.len() >= MAX_NODES {
            return Err("there are too many elements");
        }
        let id = self.nodes.len();
        self.nodes.push(Node { parent, kind });
        match parent {
            None => self.roots.push(id),
            Some(parent) => {
                if let Some(element) = self.element_mut(parent) {
                    element.children.push(id);
                }
            }
        }
        Ok(id)
    }

    /// Adds a text; blanks between FHIR's elements mean nothing.
    fn text(&mut self, parent: Option<NodeId>, text: &str) -> Result<(), Malformed> {
        let last = match parent {
            None => self.roots.last(),
            Some(parent) => self.element(parent).and_then(|own| own.children.last()),
        };
        if let Some(Node {
            kind: Kind::Text(own),
            ..
        }) = last.copied().and_then(|last| self.nodes.get_mut(last))
        {
            own.push_str(text);
            return Ok(());
        }
        let is_fhir = parent
            .and_then(|parent| self.element(parent))
            .is_some_and(|own| &*own.name.namespace == FHIR);
        if is_fhir && text.trim_ascii().is_empty() {
            return Ok(());
        }
        self.push(parent, Kind::Text(text.to_owned())).map(|_| ())
    }

    pub(super) fn kind(&self, id: NodeId) -> Option<&Kind> {
        self.nodes.get(id).map(|node| &node.kind)
    }

    pub(super) fn element(&self, id: NodeId) -> Option<&Element> {
        match self.kind(id) {
            Some(Kind::Element(element)) => Some(element),
            _ => None,
        }
    }

    fn element_mut(&mut self, id: NodeId) -> Option<&mut Element> {
        match self.nodes.get_mut(id).map(|node| &mut node.kind) {
            Some(Kind::Element(element)) => Some(element),
            _ => None,
        }
    }

    pub(super) fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.nodes.get(id)?.parent
    }

    /// The children of a node; those of none are the roots.
    pub(super) fn children(&self, of: Option<NodeId>) -> &[NodeId] {
        match of {
            None => &self.roots,
            Some(id) => self
                .element(id)
                .map(|element| element.children.as_slice())
                .unwrap_or_default(),
        }
    }

    /// Elements around a node, itself counted.
    pub(super) fn depth(&self, id: NodeId) -> usize {
        std::iter::successors(Some(id), |id| self.parent(*id)).count()
    }

    /// Elements inside each other at most, from the roots down.
    pub(super) fn height(&self) -> usize {
        let mut deepest = 0;
        let mut open: Vec<(NodeId, usize)> = self.roots.iter().map(|id| (*id, 1)).collect();
        while let Some((id, depth)) = open.pop() {
            deepest = deepest.max(depth);
            open.extend(self.children(Some(id)).iter().map(|id| (*id, depth + 1)));
        }
        deepest
    }

    /// Says that something in or below `id` changes.
    fn touch(&mut self, id: Option<NodeId>) {
        let mut next = id;
        while let Some(id) = next {
            if let Some(element) = self.element_mut(id) {
                element.raw = None;
            }
            next = self.parent(id);
        }
    }

    /// Puts copies of another document's roots among the children of `parent`, before the one that
    /// has number `at`. None if there are too many then.
    pub(super) fn insert(&mut self, parent: NodeId, at: usize, other: &Self) -> Option<()> {
        let shift = self.nodes.len();
        if shift + other.nodes.len() > MAX_NODES {
            return None;
        }
        self.touch(Some(parent));
        for node in &other.nodes {
            let mut node = node.clone();
            node.parent = Some(node.parent.map_or(parent, |parent| parent + shift));
            if let Kind::Element(element) = &mut node.kind {
                element.children.iter_mut().for_each(|id| *id += shift);
            }
            self.nodes.push(node);
        }
        let new: Vec<NodeId> = other.roots.iter().map(|id| id + shift).collect();
        let children = &mut self.element_mut(parent)?.children;
        let at = at.min(children.len());
        children.splice(at..at, new);
        Some(())
    }

    /// The number of a node among its parent's children.
    pub(super) fn position(&self, id: NodeId) -> Option<(NodeId, usize)> {
        let parent = self.parent(id)?;
        let at = self
            .children(Some(parent))
            .iter()
            .position(|one| *one == id)?;
        Some((parent, at))
    }

    /// Takes a node out; its parent and its number there. None for the root.
    pub(super) fn remove(&mut self, id: NodeId) -> Option<(NodeId, usize)> {
        let (parent, at) = self.position(id)?;
        self.touch(Some(parent));
        let element = self.element_mut(parent)?;
        element.children.remove(at);
        element.emptied = true;
        Some((parent, at))
    }

    /// Replaces the root.
    pub(super) fn set_root(&mut self, other: &Self) {
        *self = other.clone();
    }

    /// Gives an attribute its value, or takes it away.
    pub(super) fn set_attribute(&mut self, id: NodeId, name: &str, value: Option<String>) {
        self.touch(Some(id));
        if let Some(element) = self.element_mut(id) {
            let own = element.attributes.iter().position(|(own, _)| own == name);
            match (own, value) {
                (Some(at), Some(value)) => {
                    if let Some(slot) = element.attributes.get_mut(at) {
                        slot.1 = value;
                    }
                }
                (Some(at), None) => {
                    element.attributes.remove(at);
                    element.emptied = true;
                }
                (None, Some(value)) => element.attributes.push((name.to_owned(), value)),
                (None, None) => {}
            }
        }
    }

    /// Changes a text.
    pub(super) fn set_text(&mut self, id: NodeId, text: String) {
        let parent = self.parent(id);
        self.touch(parent);
        if let Some(node) = self.nodes.get_mut(id) {
            node.kind = Kind::Text(text);
        }
    }

    /// Takes away the elements of FHIR in which a patch left nothing: FHIR has no empty ones.
    pub(super) fn prune(&mut self) {
        for start in (0..self.nodes.len()).rev() {
            let mut next = Some(start);
            while let Some(id) = next.take() {
                let is_empty = self.element(id).is_some_and(|one| {
                    one.emptied
                        && &*one.name.namespace == FHIR
                        && one.attributes.is_empty()
                        && one.children.is_empty()
                });
                if is_empty {
                    next = self.remove(id).map(|(parent, _)| parent);
                }
            }
        }
    }

    /// The document as text.
    pub(super) fn write(&self) -> String {
        let mut out = String::new();
        for root in &self.roots {
            self.write_node(*root, "", &mut out);
        }
        out
    }

    /// The children of an element; of FHIR's those of one name beside each other, as its XML has them.
    fn in_order(&self, element: &Element) -> Vec<NodeId> {
        let mut children = element.children.clone();
        if &*element.name.namespace == FHIR {
            let mut first: HashMap<&str, usize> = HashMap::new();
            for (at, child) in element.children.iter().enumerate() {
                if let Some(child) = self.element(*child) {
                    first.entry(&*child.name.local).or_insert(at);
                }
            }
            children.sort_by_key(|child| {
                let name = self.element(*child).map(|child| &*child.name.local);
                name.and_then(|name| first.get(name).copied())
            });
        }
        children
    }

    /// Recursion ends: no document is deeper than [`MAX_DEPTH`].
    fn write_node(&self, id: NodeId, outer: &str, out: &mut String) {
        match self.kind(id) {
            None => {}
            Some(Kind::Text(text)) => out.push_str(&escape(text.as_str())),
            Some(Kind::Comment(text)) => {
                out.push_str("<!--");
                out.push_str(text);
                out.push_str("-->");
            }
            Some(Kind::Element(element)) => {
                if let Some(raw) = &element.raw {
                    out.push_str(raw);
                    return;
                }
                out.push('<');
                out.push_str(&element.name.local);
                if &*element.name.namespace != outer {
                    out.push_str(" xmlns=\"");
                    out.push_str(&escape(&*element.name.namespace));
                    out.push('"');
                }
                for (name, value) in &element.attributes {
                    out.push(' ');
                    out.push_str(name);
                    out.push_str("=\"");
                    for part in escape(value.as_str()).chars() {
                        match part {
                            '\n' => out.push_str("&#10;"),
                            '\r' => out.push_str("&#13;"),
                            '\t' => out.push_str("&#9;"),
                            part => out.push(part),
                        }
                    }
                    out.push('"');
                }
                if element.children.is_empty() {
                    out.push_str("/>");
                    return;
                }
                out.push('>');
                for child in self.in_order(element) {
                    self.write_node(child, &element.name.namespace, out);
                }
                out.push_str("</");
                out.push_str(&element.name.local);
                out.push('>');
            }
        }
    }
}

const NOT_WELL_FORMED: Malformed = "it is not well-formed XML";

fn offset(reader: &NsReader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// The element that a tag opens.
fn element(resolver: &NamespaceResolver, start: &BytesStart<'_>) -> Result<Element, Malformed> {
    let name = name(resolver, start.name().0)?;
    let mut attributes = Vec::new();
    for attribute in start.attributes().take(MAX_ATTRIBUTES + 1) {
        let attribute = attribute.map_err(|_| "a tag has a malformed or repeated attribute")?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        if attributes.len() == MAX_ATTRIBUTES {
            return Err("a tag has too many attributes");
        }
        let key = attribute.key.0;
        if !is_name(key.strip_prefix("xml:").unwrap_or(key)) {
            return Err("a tag has an attribute with a prefix");
        }
        let value = attribute
            .normalized_value_with(XmlVersion::Explicit1_0, 1, resolve_xml_entity)
            .map_err(|_| "an attribute refers to an entity that XML does not know")?;
        attributes.push((key.to_owned(), value.into_owned()));
    }
    Ok(Element {
        name,
        attributes,
        children: Vec::new(),
        raw: None,
        emptied: false,
    })
}

/// A name by the declarations around it; without any it is FHIR's.
pub(super) fn name(resolver: &NamespaceResolver, qualified: &str) -> Result<Name, Malformed> {
    let (namespace, local) = resolver.resolve_element(QName(qualified));
    let namespace = match namespace {
        ResolveResult::Bound(Namespace(namespace)) => namespace,
        ResolveResult::Unbound => FHIR,
        ResolveResult::Unknown(_) => return Err("a prefix is not declared"),
    };
    let local = local.into_inner();
    if !is_name(local) {
        return Err("a name is not one that FHIR or XHTML have");
    }
    Ok(Name {
        namespace: namespace.into(),
        local: local.into(),
    })
}

/// Whether a text is a name as FHIR's and XHTML's are.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// The text of `&amp;` or `&#160;`.
fn resolve(reference: &BytesRef<'_>) -> Result<String, Malformed> {
    const UNKNOWN: Malformed = "a text refers to an entity that XML does not know";
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Ok(character.to_string()),
        Ok(None) => resolve_xml_entity(reference)
            .map(str::to_owned)
            .ok_or(UNKNOWN),
        Err(_) => Err(UNKNOWN),
    }
}
