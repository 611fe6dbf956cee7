//! Parameters of OAuth requests: `application/x-www-form-urlencoded`, each at most once.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use thiserror::Error;

/// A parameter came twice (RFC 6749 section 3.1 forbids it), or the body is no form.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParamsError {
    #[error("the parameter {0} came more than once")]
    Repeated(&'static str),
    #[error("the body must be application/x-www-form-urlencoded")]
    NoForm,
}

/// Decoded parameters in their order.
#[derive(Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes a query string or a form body. What is not UTF-8, and NUL, which PostgreSQL cannot
    /// store, become U+FFFD: they match nothing and harm nobody.
    #[must_use]
    pub fn parse(encoded: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(encoded)
            .map(|(name, value)| (name.into_owned(), value.replace('\0', "\u{fffd}")));
        Self(pairs.collect())
    }

    /// Decodes the body of a POST, which must say that it is a form.
    pub fn from_form(headers: &HeaderMap, body: &[u8]) -> Result<Self, ParamsError> {
        let is_form = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|kind| {
                kind.trim()
                    .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            });
        if is_form {
            Ok(Self::parse(body))
        } else {
            Err(ParamsError::NoForm)
        }
    }

    /// The value of a parameter; one without a value counts as absent (RFC 6749 section 3.1).
    pub fn get(&self, name: &'static str) -> Result<Option<&str>, ParamsError> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() {
            return Err(ParamsError::Repeated(name));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// The first value of a parameter, for pages of our own.
    #[must_use]
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Names and values in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.iter();
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Every value of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }
}

// Values are secrets as often as not.
impl std::fmt::Debug for Params {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_comes_at_most_once_and_empty_is_absent() {
        let params = Params::parse(b"a=1&b=&c=x%20y&a=2");
        assert_eq!(params.get("a"), Err(ParamsError::Repeated("a")));
        assert_eq!(params.get("b"), Ok(None));
        assert_eq!(params.get("c"), Ok(Some("x y")));
        assert_eq!(params.get("d"), Ok(None));
    }
}
