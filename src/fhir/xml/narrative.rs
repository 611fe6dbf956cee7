//! The XHTML of a narrative as one piece of text: is it well-formed, and can it stand in FHIR XML
//! as it is? What it may contain (no scripts, no forms) is validation's to judge.

use std::borrow::Cow;

use quick_xml::XmlVersion;
use quick_xml::escape::{resolve_html5_entity, resolve_xml_entity};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::{MAX_DEPTH, XHTML_NAMESPACE, is_xml_char};

/// Attributes of one tag; quick-xml compares each with all before it.
pub(super) const MAX_ATTRIBUTES: usize = 64;

/// The narrative as it can stand in XML: unchanged, or with XHTML's namespace added to a root that
/// has none. Blanks around the root are cut off.
///
/// # Errors
/// What is wrong, for a person, and the byte where.
pub(super) fn checked(div: &str) -> Result<Cow<'_, str>, (&'static str, usize)> {
    let start = div.len() - div.trim_ascii_start().len();
    let div = div.trim_ascii();
    match check(div).map_err(|(text, at)| (text, at + start))? {
        Root::Bound => Ok(Cow::Borrowed(div)),
        Root::Unbound => {
            let rest = div.strip_prefix("<div").unwrap_or_default();
            Ok(Cow::Owned(format!(
                "<div xmlns=\"{XHTML_NAMESPACE}\"{rest}"
            )))
        }
    }
}

/// HTML's named entities, which JSON senders use and XML does not know, as character references.
/// Texts with comments or CDATA stay as they are, for there `&` means itself.
pub(super) fn without_html_entities(div: &str) -> Cow<'_, str> {
    if !div.contains('&') || div.contains("<!") {
        return Cow::Borrowed(div);
    }
    let mut out = String::new();
    let mut rest = div;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let name_end = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (name, tail) = after.split_at(name_end);
        let html = match tail.strip_prefix(';') {
            Some(tail) if resolve_xml_entity(name).is_none() => {
                resolve_html5_entity(name).map(|text| (text, tail))
            }
            _ => None,
        };
        if let Some((text, tail)) = html {
            for character in text.chars() {
                out.push_str(&format!("&#{};", u32::from(character)));
            }
            rest = tail;
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

enum Root {
    Bound,
    Unbound,
}

fn check(div: &str) -> Result<Root, (&'static str, usize)> {
    if let Some((at, _)) = div
        .char_indices()
        .find(|(_, character)| !is_xml_char(*character))
    {
        return Err(("narrative holds a character that XML cannot", at));
    }
    let mut reader = NsReader::from_str(div);
    reader.config_mut().check_comments = true;
    let mut root = None;
    let mut depth = 0_usize;
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let event = reader
            .read_event()
            .map_err(|_| ("narrative is not well-formed XML", at))?;
        let inside = depth > 0;
        match event {
            Event::Start(_) | Event::Empty(_) if !inside && root.is_some() => {
                return Err(("narrative has more than one root element", at));
            }
            Event::Start(start) => {
                let unbound = matches!(root, Some(Root::Unbound));
                let bound = tag(&reader, &start, inside, unbound).map_err(|text| (text, at))?;
                root.get_or_insert(bound);
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(("narrative is nested more than 64 deep", at));
                }
            }
            Event::Empty(start) => {
                let unbound = matches!(root, Some(Root::Unbound));
                let bound = tag(&reader, &start, inside, unbound).map_err(|text| (text, at))?;
                root.get_or_insert(bound);
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::GeneralRef(reference) if inside => {
                let known = match reference.resolve_char_ref() {
                    Ok(Some(character)) => is_xml_char(character),
                    Ok(None) => resolve_xml_entity(&reference).is_some(),
                    Err(_) => false,
                };
                if !known {
                    return Err(("narrative refers to an entity that XML does not know", at));
                }
            }
            Event::Text(text) if inside && !text.contains("]]>") => {}
            Event::CData(_) | Event::Comment(_) if inside => {}
            Event::PI(_) | Event::Decl(_) | Event::DocType(_) => {
                return Err((
                    "narrative holds a declaration or processing instruction",
                    at,
                ));
            }
            Event::Eof if depth == 0 => break,
            Event::Eof => return Err(("narrative lacks an end tag", at)),
            _ => {
                return Err((
                    "narrative must be one <div> element with nothing around it",
                    at,
                ));
            }
        }
    }
    root.ok_or(("narrative must be one <div> element", 0))
}

/// Checks one tag; says whether its element is in XHTML's namespace or, `unbound` allowing or at
/// the root, in none.
fn tag(
    reader: &NsReader<&[u8]>,
    start: &BytesStart<'_>,
    inside: bool,
    unbound: bool,
) -> Result<Root, &'static str> {
    let qualified = start.name();
    let name = qualified.as_ref();
    if !inside && name != "div" {
        return Err("narrative must be one <div> element, without a prefix");
    }
    if !name.starts_with(|first: char| first.is_ascii_alphabetic())
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return Err("narrative has an element whose name is not XHTML's, or has a prefix");
    }
    let root = match reader.resolver().resolve_element(qualified).0 {
        ResolveResult::Bound(Namespace(XHTML_NAMESPACE)) => Root::Bound,
        ResolveResult::Unbound if !inside || unbound => Root::Unbound,
        _ => return Err("narrative has an element outside the XHTML namespace"),
    };
    let raw = start.attributes_raw();
    if start
        .attributes()
        .with_checks(false)
        .take(MAX_ATTRIBUTES + 1)
        .count()
        > MAX_ATTRIBUTES
    {
        return Err("narrative has a tag with more than 64 attributes");
    }
    for attribute in start.attributes() {
        let Ok(attribute) = attribute else {
            return Err("narrative has a malformed or repeated attribute");
        };
        let key = attribute.key.as_ref();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if !key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            || !key.bytes().all(legal)
        {
            return Err("narrative has a malformed attribute name");
        }
        if let Some(prefix) = attribute.key.prefix()
            && !["xml", "xmlns"].contains(&prefix.as_ref())
        {
            return Err("narrative has an attribute with a prefix");
        }
        let offset = (key.as_ptr() as usize).wrapping_sub(raw.as_ptr() as usize);
        let blank_before = offset.checked_sub(1).and_then(|at| raw.as_bytes().get(at));
        if !blank_before.is_some_and(u8::is_ascii_whitespace) {
            return Err("narrative has attributes without a blank between them");
        }
        let value = attribute
            .normalized_value_with(XmlVersion::Explicit1_0, 1, resolve_xml_entity)
            .map_err(|_| "narrative refers to an entity that XML does not know")?;
        if attribute.value.contains('<') || !value.chars().all(is_xml_char) {
            return Err("narrative has an attribute value that XML cannot hold");
        }
    }
    Ok(root)
}
