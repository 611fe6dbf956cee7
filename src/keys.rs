//! Keyed 64-bit hashes that stand for references and codes in the index tables.
//!
//! The key is a random secret of each database: without it nobody can craft two ids or codes that
//! collide. Two *existing* resources never share a key, the store's unique index sees to that.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Hashes references, codes and systems for one database.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    secret: [u8; 16],
    cursor: [u8; 32],
    cursor_nonce: [u8; 32],
}

impl Keys {
    /// Takes the database's secret, as stored in `meta`.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        Self {
            secret,
            cursor: derive(&secret, "cursor"),
            cursor_nonce: derive(&secret, "cursor nonce"),
        }
    }

    /// The key of the resource `type_name/id`; also the `patient` column when it is a Patient.
    /// Never 0, which means "no patient", and never below 1024, which hold audiences use.
    #[must_use]
    pub fn reference(&self, type_name: &str, id: &str) -> i64 {
        let key = self.hash(&[b"r", type_name.as_bytes(), b"/", id.as_bytes()]);
        if (-1024..1024).contains(&key) {
            key + 4096
        } else {
            key
        }
    }

    /// The key of a code, case-sensitive (`Coding.code`, identifier value, unit code).
    #[must_use]
    pub fn code(&self, code: &str) -> i64 {
        self.hash(&[b"c", code.as_bytes()])
    }

    /// The key of a code system or identifier system, 32 bits; 0 is "no system".
    #[must_use]
    pub fn system(&self, uri: &str) -> i32 {
        if uri.is_empty() {
            return 0;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "32 of 64 good bits are good bits"
        )]
        let key = self.hash(&[b"s", uri.as_bytes()]) as i32;
        if key == 0 { 1 } else { key }
    }

    /// The key of any other text (a normalised string in a composite, a cursor's query).
    #[must_use]
    pub fn text(&self, text: &str) -> i64 {
        self.hash(&[b"t", text.as_bytes()])
    }

    /// The key that cursors are sealed with, and the one that their nonces come from.
    #[must_use]
    pub fn cursor(&self) -> (&[u8; 32], &[u8; 32]) {
        (&self.cursor, &self.cursor_nonce)
    }

    /// A secret of this database for another purpose, 32 bytes: HMAC-SHA256 of the purpose under the
    /// database's secret. Knowing it tells nothing of the keys.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        derive(&self.secret, purpose)
    }

    fn hash(&self, parts: &[&[u8]]) -> i64 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish().cast_signed()
    }
}

fn derive(secret: &[u8; 16], purpose: &str) -> [u8; 32] {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, purpose.as_bytes());
    let mut derived = [0; 32];
    derived.copy_from_slice(tag.as_ref());
    derived
}
