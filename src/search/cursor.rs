//! The opaque cursor of a page: where the page before ended and the instant that all pages of one
//! search share. Sealed for one viewer and one query (AES-256-GCM), so that it can be neither
//! forged, nor altered, nor carried elsewhere, nor read: a sort key may be a name.
//!
//! The nonce is an HMAC of what is sealed: the same page gives the same cursor.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::SearchError;
use crate::clock::Millis;
use crate::fhir::outcome::Issue;
use crate::keys::Keys;
use crate::visibility::Viewer;

/// Where a page ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// The instant that the first page saw.
    pub instant: Millis,
    /// Surrogate id of the last match.
    pub id: i64,
    /// Its sort keys.
    pub keys: Vec<SortValue>,
}

/// A sort key of a resource.
#[derive(Clone, Debug, PartialEq)]
pub enum SortValue {
    Int(i64),
    Float(f64),
    Text(String),
}

/// What a cursor is good for.
#[must_use]
pub fn binding(viewer: &Viewer, query: &str) -> String {
    let parts = [
        viewer.class.name(),
        &viewer.client_id,
        viewer.person.as_deref().unwrap_or_default(),
        viewer.patient.as_deref().unwrap_or_default(),
        query,
    ];
    parts.join("\0")
}

impl Cursor {
    /// The token for the next link.
    ///
    /// # Errors
    /// [`SearchError::Invalid`] when the cipher fails, which it does not.
    pub fn seal(&self, keys: &Keys, binding: &str) -> Result<String, SearchError> {
        let mut bytes = Vec::with_capacity(32);
        bytes.extend(self.instant.to_le_bytes());
        bytes.extend(self.id.to_le_bytes());
        for key in &self.keys {
            match key {
                SortValue::Int(value) => {
                    bytes.push(0);
                    bytes.extend(value.to_le_bytes());
                }
                SortValue::Float(value) => {
                    bytes.push(1);
                    bytes.extend(value.to_le_bytes());
                }
                SortValue::Text(text) => {
                    bytes.push(2);
                    bytes.extend((text.len() as u64).to_le_bytes());
                    bytes.extend(text.as_bytes());
                }
            }
        }
        let nonce_key = hmac::Key::new(hmac::HMAC_SHA256, keys.cursor().1);
        let mut context = hmac::Context::with_key(&nonce_key);
        context.update(&bytes);
        context.update(binding.as_bytes());
        let tag = context.sign();
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(tag.as_ref().get(..NONCE_LEN).unwrap_or(&[0; NONCE_LEN]));
        cipher(keys)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(binding.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| refused())?;
        let mut token = nonce.to_vec();
        token.extend(bytes);
        Ok(BASE64.encode(token))
    }

    /// Opens a token.
    ///
    /// # Errors
    /// [`SearchError::Invalid`] for a token that was not made here for this query and viewer.
    pub fn open(token: &str, keys: &Keys, binding: &str) -> Result<Self, SearchError> {
        Self::try_open(token, keys, binding).ok_or_else(refused)
    }

    fn try_open(token: &str, keys: &Keys, binding: &str) -> Option<Self> {
        let mut bytes = BASE64.decode(token).ok()?;
        let nonce: [u8; NONCE_LEN] = bytes.get(..NONCE_LEN)?.try_into().ok()?;
        let plain = cipher(keys)
            .ok()?
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(binding.as_bytes()),
                bytes.get_mut(NONCE_LEN..)?,
            )
            .ok()?;
        let mut rest: &[u8] = plain;
        let instant = i64::from_le_bytes(take(&mut rest)?);
        let id = i64::from_le_bytes(take(&mut rest)?);
        let mut values = Vec::new();
        while let [tag, tail @ ..] = rest {
            rest = tail;
            values.push(match tag {
                0 => SortValue::Int(i64::from_le_bytes(take(&mut rest)?)),
                1 => SortValue::Float(f64::from_le_bytes(take(&mut rest)?)),
                _ => {
                    let length = u64::from_le_bytes(take(&mut rest)?);
                    let (text, tail) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                    rest = tail;
                    SortValue::Text(String::from_utf8(text.to_vec()).ok()?)
                }
            });
        }
        Some(Self {
            instant,
            id,
            keys: values,
        })
    }
}

fn take(bytes: &mut &[u8]) -> Option<[u8; 8]> {
    let (head, tail) = bytes.split_first_chunk()?;
    *bytes = tail;
    Some(*head)
}

fn cipher(keys: &Keys) -> Result<LessSafeKey, SearchError> {
    UnboundKey::new(&AES_256_GCM, keys.cursor().0)
        .map(LessSafeKey::new)
        .map_err(|_| refused())
}

fn refused() -> SearchError {
    SearchError::invalid(Issue::error(
        "invalid",
        "'_cursor' is not one that this server gave for this search: follow the links of a \
         searchset as they are",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_untouched_token_of_this_query_opens() {
        let keys = Keys::new([7; 16]);
        let cursor = Cursor {
            instant: 5,
            id: -16,
            keys: vec![
                SortValue::Text("Müller".to_owned()),
                SortValue::Int(i64::MAX),
                SortValue::Float(0.1),
            ],
        };
        let token = cursor.seal(&keys, "a").unwrap();
        assert_eq!(token, cursor.seal(&keys, "a").unwrap());
        assert_eq!(Cursor::open(&token, &keys, "a").unwrap(), cursor);
        assert!(Cursor::open(&token, &keys, "b").is_err());
        assert!(Cursor::open(&token, &Keys::new([8; 16]), "a").is_err());
        for at in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(Cursor::open(&altered, &keys, "a").is_err(), "{at}");
        }
        for bad in ["", "A", "AAAAAAAAAAAAAAAAAAAAAAAA", "ä"] {
            assert!(Cursor::open(bad, &keys, "a").is_err());
        }
    }
}
