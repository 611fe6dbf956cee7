//! Formats: what the client wants back (`_format`, `Accept`), what it sent (`Content-Type`), and
//! what it prefers (`Prefer`). R4 "RESTful API", 3.1.0.1.11 and 3.1.0.1.7.

use axum::http::{HeaderMap, HeaderValue, header};

use super::RestError;

/// A representation of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
}

impl Format {
    /// The media type that answers carry.
    #[must_use]
    pub fn content_type(self) -> HeaderValue {
        match self {
            Self::Json => HeaderValue::from_static("application/fhir+json; charset=utf-8"),
            Self::Xml => HeaderValue::from_static("application/fhir+xml; charset=utf-8"),
        }
    }
}

/// A media type without parameters, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Fhir(Format),
    Any,
    Other,
}

fn media(name: &str) -> Media {
    match name.to_ascii_lowercase().as_str() {
        "json"
        | "application/fhir+json"
        | "application/json"
        | "text/json"
        | "application/json+fhir" => Media::Fhir(Format::Json),
        "xml"
        | "application/fhir+xml"
        | "application/xml"
        | "text/xml"
        | "application/xml+fhir" => Media::Fhir(Format::Xml),
        "*/*" | "application/*" => Media::Any,
        _ => Media::Other,
    }
}

/// Whether the parameters of a media type allow FHIR R4 (`fhirVersion=4.0`).
fn is_our_version(parameters: &str) -> bool {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("fhirversion"))
        .all(|(_, value)| matches!(value.trim().trim_matches('"'), "4.0" | "4.0.1"))
}

/// What an `Accept` header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Fhir(Format),
    /// Something that is no FHIR format, before any that is: the content of a Binary.
    Raw,
    /// Anything: JSON, and of a Binary its content (R4 "Binary", 2.44.3: unless a FHIR format is
    /// named).
    Anything,
}

/// Reads `_format` and `Accept`. `_format` wins.
pub(super) fn wanted(headers: &HeaderMap, format: Option<&str>) -> Result<Wanted, RestError> {
    let refuse = || {
        RestError::NotAcceptable(
            "This server answers in application/fhir+json and application/fhir+xml, FHIR 4.0."
                .to_owned(),
        )
    };
    if let Some(format) = format {
        // A plus sign that nobody escaped arrives as a space.
        let format = format.trim().replace(' ', "+");
        let (name, parameters) = format.split_once(';').unwrap_or((&format, ""));
        return match media(name.trim()) {
            Media::Fhir(format) if is_our_version(parameters) => Ok(Wanted::Fhir(format)),
            Media::Any => Ok(Wanted::Fhir(Format::Json)),
            _ => Err(refuse()),
        };
    }
    let mut best: Option<(u16, Media)> = None;
    let mut any = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().map_err(|_| refuse())?.split(',') {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            if name.trim().is_empty() {
                continue;
            }
            any = true;
            let kind = media(name.trim());
            let weight = weight(parameters);
            if weight == 0 || (matches!(kind, Media::Fhir(_)) && !is_our_version(parameters)) {
                continue;
            }
            if best.is_none_or(|(best, _)| weight > best) {
                best = Some((weight, kind));
            }
        }
    }
    match best {
        Some((_, Media::Fhir(format))) => Ok(Wanted::Fhir(format)),
        Some((_, Media::Any)) => Ok(Wanted::Anything),
        Some((_, Media::Other)) => Ok(Wanted::Raw),
        None if any => Err(refuse()),
        None => Ok(Wanted::Anything),
    }
}

/// The format for a resource when [`wanted`] said [`Wanted::Raw`]: the best FHIR one in `Accept`.
pub(super) fn resource_format(headers: &HeaderMap) -> Result<Format, RestError> {
    let mut best: Option<(u16, Format)> = None;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let format = match media(name.trim()) {
                Media::Fhir(format) => format,
                Media::Any => Format::Json,
                Media::Other => continue,
            };
            let weight = weight(parameters);
            if weight > 0
                && is_our_version(parameters)
                && best.is_none_or(|(best, _)| weight > best)
            {
                best = Some((weight, format));
            }
        }
    }
    best.map(|(_, format)| format).ok_or_else(|| {
        RestError::NotAcceptable(
            "This server answers in application/fhir+json and application/fhir+xml, FHIR 4.0."
                .to_owned(),
        )
    })
}

/// The quality value in thousandths; 1000 when there is none, 0 when it is not a number.
fn weight(parameters: &str) -> u16 {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(1000, |(_, value)| {
            let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
            let mut thousandths: u16 = match whole {
                "0" => 0,
                "1" => return 1000,
                _ => return 0,
            };
            for (digit, place) in fraction.chars().zip([100, 10, 1]) {
                let digit = digit.to_digit(10).and_then(|d| u16::try_from(d).ok());
                thousandths += digit.unwrap_or(0) * place;
            }
            thousandths
        })
}

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Fhir(Format),
    Form,
    /// Any other media type, as written.
    Other(String),
    /// No `Content-Type`.
    Nothing,
}

/// Reads `Content-Type`.
pub(super) fn sent(headers: &HeaderMap) -> Result<Sent, RestError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Sent::Nothing);
    };
    let refuse = |text: &str| RestError::UnsupportedMediaType(text.to_owned());
    let text = value
        .to_str()
        .map_err(|_| refuse("The Content-Type header is not readable."))?;
    let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
    let name = name.trim();
    if name.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(Sent::Form);
    }
    let Media::Fhir(format) = media(name) else {
        return Ok(Sent::Other(text.to_owned()));
    };
    if !is_our_version(parameters) {
        return Err(refuse("This server reads FHIR 4.0 only."));
    }
    let charset = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase());
    match charset.as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(Sent::Fhir(format)),
        Some(_) => Err(refuse("FHIR bodies are in UTF-8.")),
    }
}

/// `Prefer: return=…`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Return {
    #[default]
    Representation,
    Minimal,
    OperationOutcome,
}

/// The `Prefer` header (RFC 7240; R4 3.1.0.1.7 and 3.1.1.4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// None when the client said nothing: each interaction has its own default.
    pub answer: Option<Return>,
    /// `handling=strict`: an unknown search parameter is an error.
    pub strict: bool,
    /// `withheld-notice`: one aggregate entry in a search tells a patient that something is held.
    pub withheld_notice: bool,
}

impl Prefer {
    /// Reads all `Prefer` headers; what is unknown is ignored, as RFC 7240 asks.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        for value in headers.get_all("prefer") {
            for item in value.to_str().unwrap_or_default().split([',', ';']) {
                let (name, value) = item.split_once('=').unwrap_or((item, ""));
                let name = name.trim().to_ascii_lowercase();
                let value = value.trim().trim_matches('"').to_ascii_lowercase();
                match (name.as_str(), value.as_str()) {
                    ("return", "minimal") => prefer.answer = Some(Return::Minimal),
                    ("return", "representation") => prefer.answer = Some(Return::Representation),
                    ("return", "operationoutcome") => {
                        prefer.answer = Some(Return::OperationOutcome);
                    }
                    ("handling", "strict") => prefer.strict = true,
                    ("handling", "lenient") => prefer.strict = false,
                    ("withheld-notice", _) => prefer.withheld_notice = true,
                    _ => {}
                }
            }
        }
        prefer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &'static str) -> Result<Wanted, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(value));
        wanted(&headers, None).map_err(|error| error.status().as_u16())
    }

    #[test]
    fn accept_is_weighed() {
        let json = Ok(Wanted::Fhir(Format::Json));
        let xml = Ok(Wanted::Fhir(Format::Xml));
        assert_eq!(accept("*/*"), Ok(Wanted::Anything));
        assert_eq!(accept(""), Ok(Wanted::Anything));
        assert_eq!(
            accept("application/fhir+json;q=0.9, */*"),
            Ok(Wanted::Anything)
        );
        assert_eq!(accept("*/*;q=0.9, application/fhir+json"), json);
        assert_eq!(accept("application/fhir+json"), json);
        assert_eq!(accept("application/json, text/plain, */*"), json);
        assert_eq!(
            accept("application/fhir+xml;q=0.9, application/json;q=0.8"),
            xml
        );
        assert_eq!(
            accept("application/fhir+xml;q=0.2, application/json;q=0.8"),
            json
        );
        assert_eq!(accept("application/pdf"), Ok(Wanted::Raw));
        assert_eq!(
            accept("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            Ok(Wanted::Raw)
        );
        assert_eq!(accept("application/fhir+json;fhirVersion=4.0"), json);
        assert_eq!(accept("application/fhir+json; fhirVersion=5.0"), Err(406));
        assert_eq!(accept("application/fhir+json;q=0"), Err(406));
    }

    #[test]
    fn format_wins_and_survives_an_unescaped_plus() {
        let headers = HeaderMap::new();
        for (text, format) in [
            ("xml", Format::Xml),
            ("application/fhir xml", Format::Xml),
            ("application/fhir+json", Format::Json),
        ] {
            let wanted = wanted(&headers, Some(text)).ok();
            assert_eq!(wanted, Some(Wanted::Fhir(format)), "{text}");
        }
        assert!(wanted(&headers, Some("ttl")).is_err());
    }

    #[test]
    fn preferences_add_up() {
        let mut headers = HeaderMap::new();
        headers.append(
            "prefer",
            HeaderValue::from_static("return=minimal, handling=strict"),
        );
        headers.append("prefer", HeaderValue::from_static("withheld-notice"));
        // Not taken up: the answer comes with the response.
        headers.append("prefer", HeaderValue::from_static("respond-async"));
        let prefer = Prefer::of(&headers);
        assert_eq!(prefer.answer, Some(Return::Minimal));
        assert!(prefer.strict && prefer.withheld_notice);
    }
}
