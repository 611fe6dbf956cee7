//! The selectors of XML Patch (RFC 5261 section 4.1): the part of XPath 1.0 that it allows, which is
//! steps to children, with conditions.
//!
//! ```text
//! f:Patient/f:name[2]/f:given[1]      f:Patient/f:name[f:use/@value='official']
//! f:Patient/f:birthDate/@value        /*/f:text/h:div/h:p/text()
//! ```
//!
//! No axes, functions or `//`: a selector costs a look at the children of the steps, and no more. `id()`
//! finds nothing in FHIR, whose ids are not XML's; `namespace::` has no sense where names are kept
//! without prefixes. Both are refused.

use quick_xml::name::NamespaceResolver;

use super::document::{Document, Kind, Name, NodeId, is_name, name};

/// Characters of a selector.
const MOST_TEXT: usize = 2_000;
/// Steps and conditions of a selector.
const MOST_PARTS: usize = 100;

/// A selector.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    steps: Vec<Step>,
    leaf: Leaf,
}

#[derive(Clone, Debug, PartialEq)]
enum Leaf {
    Node,
    Attribute(String),
}

#[derive(Clone, Debug)]
struct Step {
    test: Test,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug)]
enum Test {
    Named(Name),
    Any,
    Text,
}

#[derive(Clone, Debug)]
enum Condition {
    /// `[2]`, from 1.
    Number(usize),
    /// `[last()]`.
    Last,
    /// `[f:use/@value='official']`, `[@value='1']`, `[.='x']`; without a value: that it is there.
    Path {
        path: Vec<Test>,
        attribute: Option<String>,
        value: Option<String>,
    },
}

/// What a selector found.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    Node(NodeId),
    Attribute(NodeId, String),
}

/// Why a selector found nothing to work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// Not exactly one.
    NotOne,
    /// It took too much.
    TooMuch,
}

impl Selector {
    /// Reads a selector; prefixes mean what `resolver` says.
    pub(super) fn parse(text: &str, resolver: &NamespaceResolver) -> Result<Self, &'static str> {
        if text.len() > MOST_TEXT {
            return Err("its selector is too long.");
        }
        let mut parser = Parser {
            rest: text.trim_ascii(),
            resolver,
            parts: 0,
        };
        let selector = parser.selector()?;
        if parser.rest.is_empty() {
            Ok(selector)
        } else {
            Err(NO_SELECTOR)
        }
    }

    /// Whether it looks at no values: its conditions are numbers.
    pub(super) fn is_plain(&self) -> bool {
        self.steps.iter().all(|step| {
            step.conditions
                .iter()
                .all(|condition| matches!(condition, Condition::Number(_) | Condition::Last))
        })
    }

    /// The one node or attribute that is meant. `work` is what is left of the looks that a patch may
    /// take.
    pub(super) fn find(&self, document: &Document, work: &mut usize) -> Result<Found, Missed> {
        let mut nodes: Vec<Option<NodeId>> = vec![None];
        for step in &self.steps {
            let mut next = Vec::new();
            for of in nodes {
                let mut these = Vec::new();
                for id in document.children(of) {
                    spend(work)?;
                    if step.test.fits(document, *id) {
                        these.push(*id);
                    }
                }
                for condition in &step.conditions {
                    these = condition.apply(document, these, work)?;
                }
                next.extend(these.into_iter().map(Some));
            }
            nodes = next;
        }
        let [Some(node)] = nodes.as_slice() else {
            return Err(Missed::NotOne);
        };
        match &self.leaf {
            Leaf::Node => Ok(Found::Node(*node)),
            Leaf::Attribute(name) => match attribute(document, *node, name) {
                Some(_) => Ok(Found::Attribute(*node, name.clone())),
                None => Err(Missed::NotOne),
            },
        }
    }
}

fn spend(work: &mut usize) -> Result<(), Missed> {
    *work = work.checked_sub(1).ok_or(Missed::TooMuch)?;
    Ok(())
}

pub(super) fn attribute<'d>(document: &'d Document, id: NodeId, name: &str) -> Option<&'d str> {
    document
        .element(id)?
        .attributes
        .iter()
        .find(|(own, _)| own == name)
        .map(|(_, value)| value.as_str())
}

impl Test {
    fn fits(&self, document: &Document, id: NodeId) -> bool {
        match (self, document.kind(id)) {
            (Self::Named(name), Some(Kind::Element(element))) => element.name == *name,
            (Self::Any, Some(Kind::Element(_))) | (Self::Text, Some(Kind::Text(_))) => true,
            _ => false,
        }
    }
}

impl Condition {
    fn apply(
        &self,
        document: &Document,
        nodes: Vec<NodeId>,
        work: &mut usize,
    ) -> Result<Vec<NodeId>, Missed> {
        match self {
            Self::Number(number) => Ok(number
                .checked_sub(1)
                .and_then(|at| nodes.get(at).copied())
                .into_iter()
                .collect()),
            Self::Last => Ok(nodes.last().copied().into_iter().collect()),
            Self::Path {
                path,
                attribute: name,
                value,
            } => {
                let mut kept = Vec::new();
                for id in nodes {
                    let mut ends = vec![id];
                    for test in path {
                        let mut next = Vec::new();
                        for of in ends {
                            for child in document.children(Some(of)) {
                                spend(work)?;
                                if test.fits(document, *child) {
                                    next.push(*child);
                                }
                            }
                        }
                        ends = next;
                    }
                    for end in ends {
                        let own = match name {
                            Some(name) => attribute(document, end, name).map(str::to_owned),
                            None => Some(string(document, end, work)?),
                        };
                        if own.is_some() && (value.is_none() || own == *value) {
                            kept.push(id);
                            break;
                        }
                    }
                }
                Ok(kept)
            }
        }
    }
}

/// XPath's string-value: all texts within.
fn string(document: &Document, id: NodeId, work: &mut usize) -> Result<String, Missed> {
    let mut text = String::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        spend(work)?;
        if let Some(Kind::Text(own)) = document.kind(id) {
            *work = work.checked_sub(own.len() / 64).ok_or(Missed::TooMuch)?;
            text.push_str(own);
        }
        open.extend(document.children(Some(id)).iter().rev());
    }
    Ok(text)
}

struct Parser<'t> {
    rest: &'t str,
    resolver: &'t NamespaceResolver,
    parts: usize,
}

const NO_SELECTOR: &str = "its selector is none of RFC 5261: steps such as f:name[2], \
    f:name[f:use/@value='official'], @value and text(), with / between them.";

impl<'t> Parser<'t> {
    fn selector(&mut self) -> Result<Selector, &'static str> {
        if self.rest.contains("namespace::") {
            return Err("its selector names a namespace declaration; this server keeps none.");
        }
        if self.rest.starts_with("id(") {
            return Err("its selector uses id(); name the place by its path.");
        }
        self.take("/");
        let mut steps = Vec::new();
        loop {
            if self.take("@") {
                if steps.is_empty() {
                    return Err(NO_SELECTOR);
                }
                let leaf = Leaf::Attribute(self.word()?.to_owned());
                return Ok(Selector { steps, leaf });
            }
            let test = self.test()?;
            let mut conditions = Vec::new();
            while self.take("[") {
                conditions.push(self.condition()?);
                self.need("]")?;
            }
            steps.push(Step { test, conditions });
            if !self.take("/") {
                let leaf = Leaf::Node;
                return Ok(Selector { steps, leaf });
            }
        }
    }

    fn count(&mut self) -> Result<(), &'static str> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err("its selector has too many steps.");
        }
        Ok(())
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest.trim_ascii_start();
                true
            }
            None => false,
        }
    }

    fn need(&mut self, text: &str) -> Result<(), &'static str> {
        if self.take(text) {
            Ok(())
        } else {
            Err(NO_SELECTOR)
        }
    }

    /// A name with its prefix, as it is written.
    fn word(&mut self) -> Result<&'t str, &'static str> {
        let end = self
            .rest
            .find(|one: char| {
                !(one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '.' | ':'))
            })
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let fits = match word.split_once(':') {
            Some((prefix, local)) => is_name(prefix) && is_name(local),
            None => is_name(word),
        };
        if !fits {
            return Err(NO_SELECTOR);
        }
        self.rest = rest.trim_ascii_start();
        Ok(word)
    }

    fn test(&mut self) -> Result<Test, &'static str> {
        self.count()?;
        if self.take("*") {
            return Ok(Test::Any);
        }
        if self.take("text()") {
            return Ok(Test::Text);
        }
        let word = self.word()?;
        if self.rest.starts_with('(') {
            return Err("its selector uses a function; of those only text() and last() are taken.");
        }
        name(self.resolver, word)
            .map(Test::Named)
            .map_err(|_| "its selector has a prefix that is not declared.")
    }

    fn condition(&mut self) -> Result<Condition, &'static str> {
        self.count()?;
        if self.rest.starts_with(|one: char| one.is_ascii_digit()) {
            let end = self
                .rest
                .find(|one: char| !one.is_ascii_digit())
                .unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            self.rest = rest.trim_ascii_start();
            return digits
                .parse()
                .map(Condition::Number)
                .map_err(|_| NO_SELECTOR);
        }
        if self.take("last()") {
            return Ok(Condition::Last);
        }
        let mut path = Vec::new();
        let mut attribute = None;
        if !self.take(".") || self.take("/") {
            loop {
                if self.take("@") {
                    attribute = Some(self.word()?.to_owned());
                    break;
                }
                path.push(self.test()?);
                if !self.take("/") {
                    break;
                }
            }
        }
        let value = if self.take("=") {
            Some(self.literal()?.to_owned())
        } else {
            None
        };
        Ok(Condition::Path {
            path,
            attribute,
            value,
        })
    }

    fn literal(&mut self) -> Result<&'t str, &'static str> {
        let quote = self
            .rest
            .chars()
            .next()
            .filter(|one| matches!(one, '\'' | '"'))
            .ok_or(NO_SELECTOR)?;
        let (value, rest) = self
            .rest
            .get(1..)
            .and_then(|rest| rest.split_once(quote))
            .ok_or(NO_SELECTOR)?;
        self.rest = rest.trim_ascii_start();
        Ok(value)
    }
}
