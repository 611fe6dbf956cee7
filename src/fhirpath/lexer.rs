//! Text to tokens, after the grammar of <http://hl7.org/fhirpath/N1/grammar.html>.

use super::ParseError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A name or a keyword.
    Name(String),
    /// A name in backticks, never a keyword.
    Quoted(String),
    String(String),
    Number(String),
    /// What follows `@`, without it; a time keeps its `T`.
    Date(String),
    /// What follows `%`.
    Variable(String),
    /// What follows `$`.
    Special(String),
    Symbol(&'static str),
    End,
}

/// Symbols, longer ones first where one begins another.
const SYMBOLS: &[&str] = &[
    "<=", ">=", "!=", "!~", "(", ")", "[", "]", "{", "}", ".", ",", "+", "-", "*", "/", "&", "|",
    "<", ">", "=", "~",
];

/// All tokens with the byte each begins at, an [`Token::End`] last.
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, ParseError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut found = Vec::new();
    loop {
        lexer.skip_space()?;
        let start = lexer.at;
        let token = lexer.next()?;
        let end = token == Token::End;
        found.push((token, start));
        if end {
            return Ok(found);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn fail<T>(&self, message: &str) -> Result<T, ParseError> {
        Err(ParseError {
            at: self.at,
            message: message.to_owned(),
        })
    }

    /// Takes characters while `good`; the text taken.
    fn run(&mut self, good: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !good(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn skip_space(&mut self) -> Result<(), ParseError> {
        loop {
            self.run(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            if self.rest().starts_with("//") {
                self.run(|c| !matches!(c, '\r' | '\n'));
            } else if self.rest().starts_with("/*") {
                match self.rest().find("*/") {
                    Some(end) => self.at += end + 2,
                    None => return self.fail("a comment that does not end"),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Token, ParseError> {
        let Some(first) = self.peek() else {
            return Ok(Token::End);
        };
        match first {
            'a'..='z' | 'A'..='Z' | '_' => Ok(Token::Name(self.name())),
            '0'..='9' => Ok(Token::Number(self.number())),
            '\'' => Ok(Token::String(self.quoted('\'')?)),
            '`' => Ok(Token::Quoted(self.quoted('`')?)),
            // Before FHIRPath 2 names were quoted like this; R4's older expressions still do.
            '"' => Ok(Token::Quoted(self.quoted('"')?)),
            '@' => {
                self.at += 1;
                self.date().map(Token::Date)
            }
            '%' => {
                self.at += 1;
                match self.peek() {
                    Some(quote @ ('`' | '\'' | '"')) => Ok(Token::Variable(self.quoted(quote)?)),
                    Some('a'..='z' | 'A'..='Z' | '_') => Ok(Token::Variable(self.name())),
                    _ => self.fail("a variable's name is missing after %"),
                }
            }
            '$' => {
                self.at += 1;
                Ok(Token::Special(self.name()))
            }
            _ => {
                let rest = self.rest();
                match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                    Some(symbol) => {
                        self.at += symbol.len();
                        Ok(Token::Symbol(symbol))
                    }
                    None => self.fail("a character that has no meaning here"),
                }
            }
        }
    }

    fn name(&mut self) -> String {
        self.run(|c| c.is_ascii_alphanumeric() || c == '_')
            .to_owned()
    }

    fn number(&mut self) -> String {
        let start = self.at;
        self.run(|c| c.is_ascii_digit());
        self.decimals();
        self.text[start..self.at].to_owned()
    }

    /// `.` and digits, if digits follow; `1.is(Integer)` has none.
    fn decimals(&mut self) {
        let mut rest = self.rest().chars();
        if rest.next() == Some('.') && rest.next().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            self.run(|c| c.is_ascii_digit());
        }
    }

    fn date(&mut self) -> Result<String, ParseError> {
        let start = self.at;
        if self.peek() != Some('T') {
            if self.run(|c| c.is_ascii_digit()).is_empty() {
                return self.fail("a date is missing after @");
            }
            while self.rest().starts_with('-') && self.digit_at(1) {
                self.at += 1;
                self.run(|c| c.is_ascii_digit());
            }
        }
        if self.peek() == Some('T') {
            let is_time = self.at == start;
            self.at += 1;
            if self.digit_at(0) {
                self.run(|c| c.is_ascii_digit() || c == ':');
                self.decimals();
                if !is_time {
                    self.zone();
                }
            }
        }
        Ok(self.text[start..self.at].to_owned())
    }

    fn zone(&mut self) {
        if self.peek() == Some('Z') {
            self.at += 1;
        } else if matches!(self.peek(), Some('+' | '-')) {
            // `@2015-02-04T14 - 1 hour` has a space; `+10:00` has none.
            let zone = self.rest().as_bytes();
            let is_zone = zone.len() >= 6
                && zone[3] == b':'
                && [1, 2, 4, 5].iter().all(|at| zone[*at].is_ascii_digit());
            if is_zone {
                self.at += 6;
            }
        }
    }

    fn digit_at(&self, offset: usize) -> bool {
        self.rest()
            .as_bytes()
            .get(offset)
            .is_some_and(u8::is_ascii_digit)
    }

    /// A text in quotes, its escapes resolved.
    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        self.at += quote.len_utf8();
        let mut text = String::new();
        loop {
            let Some(c) = self.peek() else {
                return self.fail("a quote that does not end");
            };
            self.at += c.len_utf8();
            if c == quote {
                return Ok(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let Some(escape) = self.peek() else {
                return self.fail("a quote that does not end");
            };
            self.at += escape.len_utf8();
            text.push(match escape {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'f' => '\u{c}',
                '\\' | '/' | '\'' | '"' | '`' => escape,
                'u' => self.unicode()?,
                _ => return self.fail("an escape that does not exist"),
            });
        }
    }

    /// Four hexadecimal digits; a surrogate needs its partner as a second escape.
    fn unicode(&mut self) -> Result<char, ParseError> {
        let first = self.hex()?;
        let mut units = vec![first];
        if (0xD800..0xDC00).contains(&first) && self.rest().starts_with("\\u") {
            self.at += 2;
            units.push(self.hex()?);
        }
        match char::decode_utf16(units).next() {
            Some(Ok(c)) => Ok(c),
            _ => self.fail("an escape that is no character"),
        }
    }

    fn hex(&mut self) -> Result<u16, ParseError> {
        let digits = self
            .rest()
            .get(..4)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.fail("\\u needs four hexadecimal digits"),
        }
    }
}
