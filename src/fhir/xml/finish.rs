//! The last step out: fhirbolt's text made compact and safe, narratives put back.

use super::{PLACEHOLDER, PLACEHOLDER_END};

/// Rewrites fhirbolt's output:
/// - narratives replace their placeholders;
/// - indentation goes;
/// - line breaks and tabs inside attributes become references, since every XML reader would turn
///   the characters themselves into spaces.
///
/// `None` when a placeholder names no narrative, which would be a bug in this adapter.
pub(super) fn finish(xml: &[u8], narratives: &[String]) -> Option<Vec<u8>> {
    let extra: usize = narratives.iter().map(String::len).sum();
    let mut out = Vec::with_capacity(xml.len() + extra);
    let mut rest = xml;
    let mut quoted = false;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            // fhirbolt delimits with double quotes only and escapes those inside.
            b'"' => {
                quoted = !quoted;
                out.push(byte);
            }
            b'\n' if quoted => out.extend_from_slice(b"&#10;"),
            b'\r' if quoted => out.extend_from_slice(b"&#13;"),
            b'\t' if quoted => out.extend_from_slice(b"&#9;"),
            b'\n' => {
                let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
                rest = rest.get(spaces..)?;
            }
            b'<' if !quoted => {
                if let Some(inner) = rest.strip_prefix(PLACEHOLDER.get(1..)?.as_bytes()) {
                    let digits = inner
                        .iter()
                        .take_while(|byte| byte.is_ascii_digit())
                        .count();
                    let (number, end) = inner.split_at_checked(digits)?;
                    let number: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
                    out.extend_from_slice(narratives.get(number)?.as_bytes());
                    rest = end.strip_prefix(PLACEHOLDER_END.as_bytes())?;
                } else {
                    out.push(byte);
                }
            }
            _ => out.push(byte),
        }
    }
    Some(out)
}
