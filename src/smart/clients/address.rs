//! Addresses that a client registers, and how a request's is compared with them: as texts, because what a
//! parser repairs on the way is not what was registered.

use std::net::Ipv4Addr;

use url::{Host, Url};

/// Whether a registration may name this URI (RFC 8252 section 7, RFC 9700 section 2.1). What a browser
/// would repair is refused: it would be another address than the one that was compared.
#[must_use]
pub fn is_allowed_redirect_uri(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else {
        return false;
    };
    if !is_plain(uri) || uri.contains('#') {
        return false;
    }
    match url.scheme() {
        "https" | "http" => is_web_address(uri, &url),
        // A reversed domain name, which keeps javascript:, data: and the like out.
        scheme => scheme.contains('.'),
    }
}

/// Whether an EHR may open an app there.
pub(super) fn is_launch_uri(uri: &str) -> bool {
    is_plain(uri)
        && !uri.contains('#')
        && Url::parse(uri).is_ok_and(|url| is_web_address(uri, &url))
}

/// Whether a text has nothing but the characters of a URI (RFC 3986 section 2), so that it can stand in a
/// `Location` as it is.
pub(super) fn is_plain(uri: &str) -> bool {
    uri.len() <= 2000
        && uri
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\".contains(&byte))
}

/// Whether an address says literally where it leads: over TLS, or over http to this machine.
fn is_web_address(uri: &str, url: &Url) -> bool {
    let (rest, is_secure) = match (uri.strip_prefix("https://"), uri.strip_prefix("http://")) {
        (Some(rest), _) => (rest, true),
        (None, Some(rest)) => (rest, false),
        (None, None) => return false,
    };
    let (authority, _) = authority_and_rest(rest);
    if authority.is_empty() || authority.contains('@') || uri.contains('*') {
        return false;
    }
    let Some((host, port)) = host_and_port(authority) else {
        return false;
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    // `127.1` and `2130706433` are 127.0.0.1 to a browser, and to nobody who compares texts.
    is_secure && url.host().is_some() || is_loopback(url) && url.host_str() == Some(host)
}

/// What stands between `//` and the path, and what follows.
fn authority_and_rest(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

/// A host as written, and the digits of its port where it has one.
fn host_and_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at_checked(end)?;
    if port.is_empty() {
        return Some((host, None));
    }
    let digits = port.strip_prefix(':')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((host, Some(digits)))
}

/// Whether a URL leads to this machine.
pub(in crate::smart) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// RFC 8252 section 7.3: the app takes whatever port is free. Compared as texts, for what a parser repairs
/// is not what was registered.
pub(super) fn is_same_but_for_port(registered: &str, asked: &str) -> bool {
    is_allowed_redirect_uri(asked)
        && loopback_without_port(registered)
            .is_some_and(|own| loopback_without_port(asked) == Some(own))
}

/// Host and what follows the port of `http://127.0.0.1:port/…` or `http://[::1]:port/…`.
fn loopback_without_port(uri: &str) -> Option<(&str, &str)> {
    let (authority, rest) = authority_and_rest(uri.strip_prefix("http://")?);
    let (host, _) = host_and_port(authority)?;
    let is_literal = host == "[::1]"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback());
    is_literal.then_some((host, rest))
}
