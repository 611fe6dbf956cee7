//! Narrative: one well-formed `<div>` without active content
//! (<http://hl7.org/fhir/R4/narrative.html#xhtml>).

/// Elements that txt-1 allows: chapters 7 to 11 and 15 of HTML 4.0, links and images.
const ALLOWED: [&str; 60] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "area",
    "b",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "map",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
];
/// Elements that act: never in a record.
const ACTIVE: [&str; 18] = [
    "applet", "audio", "base", "body", "button", "embed", "form", "frame", "frameset", "head",
    "html", "iframe", "input", "link", "object", "script", "select", "video",
];
/// Attributes of one tag: a bound for the search for repeated ones.
const MAX_ATTRIBUTES: usize = 32;
const XHTML: &str = "http://www.w3.org/1999/xhtml";

/// Checks a narrative. A remark is for what is against the letter and does no harm.
///
/// # Errors
/// The words for the outcome.
pub(super) fn check(text: &str) -> Result<Option<&'static str>, String> {
    let mut scan = Scan {
        rest: text,
        open: Vec::new(),
        remark: None,
        content: false,
    };
    scan.rest = scan.rest.trim_start();
    if !scan.rest.starts_with("<div") {
        return Err("A narrative must start with <div".to_owned());
    }
    loop {
        let Some(at) = scan.rest.find('<') else {
            return Err("The narrative's <div> is not closed".to_owned());
        };
        let (before, rest) = scan.rest.split_at(at);
        scan.text(before)?;
        scan.rest = rest;
        scan.markup()?;
        if scan.open.is_empty() {
            break;
        }
    }
    if !scan.rest.trim().is_empty() {
        return Err("Nothing may follow the narrative's </div>".to_owned());
    }
    if !scan.content {
        scan.remark = scan.remark.or(Some("txt-2: the narrative has no content"));
    }
    Ok(scan.remark)
}

struct Scan<'a> {
    rest: &'a str,
    open: Vec<&'a str>,
    remark: Option<&'static str>,
    /// Something to see was found.
    content: bool,
}

impl<'a> Scan<'a> {
    fn text(&mut self, text: &str) -> Result<(), String> {
        self.content = self.content || text.bytes().any(|one| !one.is_ascii_whitespace());
        entities(text)
    }

    /// What stands at a `<`.
    fn markup(&mut self) -> Result<(), String> {
        if let Some(rest) = self.rest.strip_prefix("<!--") {
            return self.skip(rest, "-->", "comment");
        }
        if let Some(rest) = self.rest.strip_prefix("<![CDATA[") {
            self.content = true;
            return self.skip(rest, "]]>", "CDATA section");
        }
        if self.rest.starts_with("<!") || self.rest.starts_with("<?") {
            return Err("A narrative has no DOCTYPE and no processing instruction".to_owned());
        }
        if let Some(rest) = self.rest.strip_prefix("</") {
            let end = rest
                .find('>')
                .ok_or("A tag in the narrative is not closed")?;
            let (name, rest) = rest.split_at(end);
            if self.open.pop() != Some(name.trim_end()) {
                return Err("The narrative's end tags do not match its start tags".to_owned());
            }
            self.rest = rest.get(1..).unwrap_or_default();
            return Ok(());
        }
        self.start_tag()
    }

    fn skip(&mut self, rest: &'a str, end: &str, what: &str) -> Result<(), String> {
        let (_, after) = rest
            .split_once(end)
            .ok_or_else(|| format!("A {what} in the narrative is not closed"))?;
        self.rest = after;
        Ok(())
    }

    fn start_tag(&mut self) -> Result<(), String> {
        let rest = self.rest.get(1..).unwrap_or_default();
        let (name, mut rest) = name(rest);
        if name.is_empty() {
            return Err("A `<` in the narrative is not escaped".to_owned());
        }
        let lower = name.to_ascii_lowercase();
        if ACTIVE.contains(&lower.as_str()) {
            return Err(format!("<{lower}> is not allowed in a narrative"));
        }
        if !ALLOWED.contains(&name) {
            self.remark = Some("txt-1: the narrative has elements that are not basic HTML");
        }
        self.content = self.content || name == "img";
        let mut seen: Vec<&str> = Vec::new();
        loop {
            let spaced = rest.trim_start();
            if let Some(after) = spaced.strip_prefix("/>") {
                self.rest = after;
                return Ok(());
            }
            if let Some(after) = spaced.strip_prefix('>') {
                self.open.push(name);
                self.rest = after;
                return Ok(());
            }
            if spaced.len() == rest.len() {
                return Err("A tag in the narrative is not well-formed".to_owned());
            }
            let (attribute, value, after) = attribute(spaced)?;
            if seen.len() == MAX_ATTRIBUTES {
                return Err("A tag in the narrative has too many attributes".to_owned());
            }
            if seen.contains(&attribute) {
                return Err("A tag in the narrative repeats an attribute".to_owned());
            }
            seen.push(attribute);
            self.attribute(name, attribute, value)?;
            rest = after;
        }
    }

    fn attribute(&mut self, tag: &str, attribute: &str, value: &str) -> Result<(), String> {
        entities(value)?;
        if attribute
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("on"))
        {
            return Err("Event attributes are not allowed in a narrative".to_owned());
        }
        let is_link = matches!(attribute, "href" | "src" | "action" | "background");
        if is_link && is_script(value) {
            return Err("Scripts are not allowed in a narrative".to_owned());
        }
        if attribute == "xmlns" && tag == "div" && value != XHTML {
            return Err(format!("The narrative's namespace must be {XHTML}"));
        }
        Ok(())
    }
}

/// Whether a link would run a script. Browsers read character references and leave out white space
/// and control characters before they look at the scheme.
fn is_script(link: &str) -> bool {
    let mut plain = String::new();
    let mut rest = link;
    while let Some(one) = rest.chars().next().filter(|_| plain.len() < 12) {
        let reference = rest
            .strip_prefix('&')
            .and_then(|after| after.split_once(';'));
        let (read, after) = match reference {
            Some((name, after)) => (referenced(name).unwrap_or('&'), after),
            None => (one, rest.get(one.len_utf8()..).unwrap_or_default()),
        };
        rest = after;
        if !read.is_whitespace() && !read.is_control() {
            plain.push(read.to_ascii_lowercase());
        }
    }
    plain.starts_with("javascript:") || plain.starts_with("vbscript:")
}

/// The character of `#38` or `#x26`.
fn referenced(name: &str) -> Option<char> {
    let number = name.strip_prefix('#')?;
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    code.ok().and_then(char::from_u32)
}

/// A name and what follows it.
fn name(text: &str) -> (&str, &str) {
    let end = text
        .find(|one: char| !(one.is_alphanumeric() || matches!(one, '-' | '_' | ':' | '.')))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// `name = "value"` and what follows it.
fn attribute(text: &str) -> Result<(&str, &str, &str), String> {
    let bad = || "An attribute in the narrative is not well-formed".to_owned();
    let (name, rest) = name(text);
    let rest = rest
        .trim_start()
        .strip_prefix('=')
        .map(str::trim_start)
        .ok_or_else(bad)?;
    let quote = rest
        .chars()
        .next()
        .filter(|one| matches!(one, '"' | '\''))
        .ok_or_else(bad)?;
    let (value, after) = rest
        .get(1..)
        .unwrap_or_default()
        .split_once(quote)
        .ok_or_else(bad)?;
    if name.is_empty() || value.contains('<') {
        return Err(bad());
    }
    Ok((name, value, after))
}

/// Every `&` starts one of XML's five entities or a character reference; HTML's names are not XML.
fn entities(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('&') {
        let (name, next) = after.split_once(';').unwrap_or(("", after));
        let known = matches!(name, "amp" | "lt" | "gt" | "quot" | "apos");
        if !known && referenced(name).is_none() {
            return Err(
                "An `&` in the narrative is neither escaped nor an entity of XML".to_owned(),
            );
        }
        rest = next;
    }
    Ok(())
}
