//! Random tokens, and the only form in which they are kept: their SHA-256.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use subtle::ConstantTimeEq as _;

/// 256 random bits as 43 characters of base64url.
#[must_use]
pub fn random_token() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// 128 random bits as 22 characters of base64url: names that need not be secret for long.
#[must_use]
pub fn random_id() -> String {
    let mut bytes = [0_u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// SHA-256. A token has 256 bits of entropy, so neither salt nor slowness is needed.
#[must_use]
pub fn hash(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes())
        .as_ref()
        .to_vec()
}

/// Equality in constant time.
#[must_use]
pub fn same(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// The name of a file that is asked for by what is in it: base64url of its SHA-256.
#[must_use]
pub fn fingerprint(file: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, file))
}

/// PKCE's `S256`: base64url of the verifier's SHA-256 (RFC 7636 section 4.2).
#[must_use]
pub fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(hash(verifier))
}

/// The token that a form carries beside a cookie: who cannot read the cookie cannot make it.
#[must_use]
pub fn form_token(cookie: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, cookie.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, b"form"))
}

/// Whether a posted form token belongs to the cookie.
#[must_use]
pub fn is_form_token(cookie: &str, posted: &str) -> bool {
    same(form_token(cookie).as_bytes(), posted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s256_is_that_of_rfc_7636_appendix_b() {
        assert_eq!(
            s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn a_form_token_belongs_to_one_cookie() {
        let (one, other) = (random_token(), random_token());
        assert!(is_form_token(&one, &form_token(&one)));
        assert!(!is_form_token(&other, &form_token(&one)));
        assert!(!is_form_token(&one, ""));
    }
}
