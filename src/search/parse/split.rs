//! Separators and escapes: `\,`, `\$`, `\|` and `\\` (FHIR R4 search, 3.1.1.4.4).

/// Splits at each `separator` that is not escaped. The pieces keep their escapes.
pub fn split(raw: &str, separator: char) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, letter) in raw.char_indices() {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == separator {
            pieces.push(raw.get(start..at).unwrap_or_default());
            start = at + letter.len_utf8();
        }
    }
    pieces.push(raw.get(start..).unwrap_or_default());
    pieces
}

/// Resolves the escapes of one piece. A backslash before any other letter is itself.
pub fn unescape(piece: &str) -> String {
    let mut text = String::with_capacity(piece.len());
    let mut letters = piece.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(&next) if letter == '\\' && matches!(next, ',' | '$' | '|' | '\\') => {
                text.push(next);
                letters.next();
            }
            _ => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_hide_separators() {
        assert_eq!(split(r"a\,b,c\\,d", ','), [r"a\,b", r"c\\", "d"]);
        assert_eq!(unescape(r"a\,b\$\|\\\x"), r"a,b$|\\x");
        assert_eq!(split("", ','), [""]);
    }
}
