//! Secrets that must come back in plain: AES-256-GCM, the account as associated data.
//!
//! The key is made of the database's own secret and, where `smart.secrets_key_file` names one, of that file.
//! Without the file, whoever has a whole copy of the database has the key as well: then sealing keeps the
//! secrets out of partial dumps and logs, and no more.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;

use super::super::SmartState;

/// Bytes of a nonce, in front of what is sealed.
const NONCE: usize = 12;

fn key(state: &SmartState) -> Option<RandomizedNonceKey> {
    let own = state.store().keys().derive("sealed secrets");
    let own = hmac::Key::new(hmac::HMAC_SHA256, &own);
    let key = hmac::sign(
        &own,
        state.config().sealing_key.as_deref().unwrap_or_default(),
    );
    RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).ok()
}

/// Seals a secret of an account. None: the cipher failed.
pub(super) fn seal(state: &SmartState, account: &str, secret: &[u8]) -> Option<Vec<u8>> {
    let mut body = secret.to_vec();
    let aad = Aad::from(account.as_bytes());
    let nonce = key(state)?.seal_in_place_append_tag(aad, &mut body).ok()?;
    let mut sealed = nonce.as_ref().to_vec();
    sealed.append(&mut body);
    Some(sealed)
}

/// Opens what [`seal`] made for the same account. None: it is another's, was changed, or the key is not
/// the one it was sealed with.
pub(super) fn open(state: &SmartState, account: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_at_checked(NONCE)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut body = body.to_vec();
    let aad = Aad::from(account.as_bytes());
    let length = key(state)?.open_in_place(nonce, aad, &mut body).ok()?.len();
    body.truncate(length);
    Some(body)
}
