//! A Bundle written as bytes: stored bodies go in as they are, unread.

use bytes::Bytes;

/// Writes one JSON object into a buffer.
#[derive(Debug)]
pub(in crate::rest) struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> ObjectWriter<'o> {
    fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn key(&mut self, name: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        string(self.out, name);
        self.out.push(b':');
    }

    /// A string property.
    pub(in crate::rest) fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        string(self.out, value);
    }

    /// A property whose value is JSON already.
    pub(in crate::rest) fn raw(&mut self, name: &str, json: &[u8]) {
        self.key(name);
        self.out.extend_from_slice(json);
    }

    /// An object property.
    pub(in crate::rest) fn object(&mut self, name: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.key(name);
        let mut inner = ObjectWriter::open(self.out);
        fill(&mut inner);
        inner.close();
    }

    fn close(self) {
        self.out.push(b'}');
    }
}

/// Writes a Bundle: links first, then entries.
#[derive(Debug)]
pub(in crate::rest) struct BundleWriter {
    out: Vec<u8>,
    links: Vec<u8>,
    entries: usize,
}

impl BundleWriter {
    /// A bundle of this `Bundle.type`.
    pub(in crate::rest) fn new(kind: &str) -> Self {
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(b"{\"resourceType\":\"Bundle\",\"type\":");
        string(&mut out, kind);
        Self {
            out,
            links: Vec::new(),
            entries: 0,
        }
    }

    /// Room for this many bytes of bodies.
    pub(in crate::rest) fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// `Bundle.total`; before any entry.
    pub(in crate::rest) fn total(&mut self, total: i64) {
        self.out.extend_from_slice(b",\"total\":");
        self.out.extend_from_slice(total.to_string().as_bytes());
    }

    /// `Bundle.link`; before any entry.
    pub(in crate::rest) fn link(&mut self, relation: &str, url: &str) {
        if !self.links.is_empty() {
            self.links.push(b',');
        }
        let mut link = ObjectWriter::open(&mut self.links);
        link.text("relation", relation);
        link.text("url", url);
        link.close();
    }

    /// One `Bundle.entry`.
    pub(in crate::rest) fn entry(&mut self, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        if self.entries == 0 {
            self.flush_links();
            self.out.extend_from_slice(b",\"entry\":[");
        } else {
            self.out.push(b',');
        }
        self.entries += 1;
        let mut entry = ObjectWriter::open(&mut self.out);
        fill(&mut entry);
        entry.close();
    }

    fn flush_links(&mut self) {
        if !self.links.is_empty() {
            self.out.extend_from_slice(b",\"link\":[");
            self.out.append(&mut self.links);
            self.out.push(b']');
        }
    }

    /// The finished bytes. FHIR has no empty arrays: a bundle without entries has no `entry`.
    pub(in crate::rest) fn finish(mut self) -> Bytes {
        if self.entries == 0 {
            self.flush_links();
        } else {
            self.out.push(b']');
        }
        self.out.push(b'}');
        self.out.into()
    }
}

/// A JSON string with its quotes.
fn string(out: &mut Vec<u8>, text: &str) {
    let is_plain = text
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if is_plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_json_with_bodies_as_they_are() {
        let mut bundle = BundleWriter::new("searchset");
        bundle.total(1);
        bundle.link("self", "http://x/\"quoted\"\n");
        bundle.entry(|out| {
            out.raw("resource", b"{\"a\":1.50}");
            out.object("search", |out| out.text("mode", "match"));
        });
        let text = String::from_utf8(bundle.finish().to_vec()).unwrap_or_default();
        assert_eq!(
            text,
            "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":1,\
             \"link\":[{\"relation\":\"self\",\"url\":\"http://x/\\\"quoted\\\"\\n\"}],\
             \"entry\":[{\"resource\":{\"a\":1.50},\"search\":{\"mode\":\"match\"}}]}"
        );
        let empty = BundleWriter::new("history").finish();
        assert_eq!(
            &empty[..],
            b"{\"resourceType\":\"Bundle\",\"type\":\"history\"}"
        );
    }
}
