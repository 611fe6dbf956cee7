//! Which language somebody reads: what they chose on a page, then what the app asked for
//! (`ui_locales`, OpenID Connect Core 1.0 section 3.1.2.1), then what the browser prefers.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};

/// A language that pages are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    English,
    Spanish,
}

const COOKIE: &str = "candor-language";
/// The parameter of a page's address that chooses the language.
const CHOICE: &str = "lang";

/// Whether pages are served over https.
#[derive(Clone, Copy, Debug)]
pub struct Https(pub bool);

tokio::task_local! {
    static HERE: Here;
}

struct Here {
    language: Language,
    /// Path and query of the page, when the same page can be asked for again.
    again: Option<String>,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::Spanish];

    /// The BCP 47 tag: `en`, `es`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Spanish => "es",
        }
    }

    /// What the language calls itself.
    #[must_use]
    pub fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Spanish => "Español",
        }
    }

    /// The language of a BCP 47 tag, whatever its region.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next()?.trim();
        Self::ALL
            .into_iter()
            .find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// The language of the request that is being answered; English outside a request.
    #[must_use]
    pub fn here() -> Self {
        HERE.try_with(|here| here.language).unwrap_or_default()
    }

    /// The address of the page that is being answered in this language, when asking for it again is
    /// harmless.
    #[must_use]
    pub fn address_here(self) -> Option<String> {
        let again = HERE.try_with(|here| here.again.clone()).ok().flatten()?;
        let (path, query) = again.split_once('?').unwrap_or((&again, ""));
        let kept = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key != CHOICE);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .append_pair(CHOICE, self.tag())
            .finish();
        Some(format!("{path}?{query}"))
    }

    /// The language that `Accept-Language` (RFC 9110 section 12.5.4) prefers of those we have.
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
        let mut best: Option<(Self, f32)> = None;
        for range in value.split(',').take(20) {
            let mut parts = range.split(';');
            let Some(language) = parts.next().and_then(Self::from_tag) else {
                continue;
            };
            let weight = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            if weight > best.map_or(0.0, |(_, weight)| weight) {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }
}

/// Path and query of the page that is being answered, when asking for it again is harmless.
#[must_use]
pub fn page_here() -> Option<String> {
    HERE.try_with(|here| here.again.clone()).ok().flatten()
}

/// Middleware around pages: finds the language and keeps a choice in a cookie. The state says whether
/// the pages are served over https.
pub async fn choose(
    State(Https(is_https)): State<Https>,
    request: Request,
    next: Next,
) -> Response {
    let jar = CookieJar::from_headers(request.headers());
    let chosen = parameter(request.uri(), CHOICE).and_then(|tag| Language::from_tag(&tag));
    let kept = jar
        .get(COOKIE)
        .and_then(|cookie| Language::from_tag(cookie.value()));
    let asked = parameter(request.uri(), "ui_locales")
        .filter(|_| kept.is_none())
        .and_then(|tags| tags.split(' ').find_map(Language::from_tag));
    let language = chosen
        .or(kept)
        .or(asked)
        .or_else(|| Language::accepted(request.headers()))
        .unwrap_or_default();
    // What somebody brought back from elsewhere is good once.
    let is_return = parameter(request.uri(), "code").is_some();
    let again = (request.method() == Method::GET && !is_return)
        .then(|| request.uri().path_and_query())
        .flatten()
        .map(ToString::to_string);
    let here = Here { language, again };
    let mut response = HERE.scope(here, next.run(request)).await;
    response.headers_mut().append(
        header::VARY,
        HeaderValue::from_static("accept-language, cookie"),
    );
    // The pages after this one have other addresses.
    if let Some(language) = chosen.or(asked) {
        let mut cookie = Cookie::build((COOKIE, language.tag()))
            .path("/")
            .http_only(true)
            .secure(is_https)
            .same_site(SameSite::Lax)
            .build();
        // What an app asks for lasts until the browser is closed; nobody chose it.
        if chosen.is_some() {
            cookie.make_permanent();
        }
        if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    url::form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_s_preference_is_weighed() {
        for (value, language) in [
            ("es", Some(Language::Spanish)),
            ("es-MX,es;q=0.9,en;q=0.8", Some(Language::Spanish)),
            ("en-US,es;q=0.9", Some(Language::English)),
            ("fr;q=1, en;q=0.2, es;q=0.3", Some(Language::Spanish)),
            ("es;q=0, en;q=0.1", Some(Language::English)),
            ("es;q=nonsense", None),
            ("fr", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(value));
            assert_eq!(Language::accepted(&headers), language, "{value}");
        }
    }
}
