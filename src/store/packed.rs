//! Bodies as the database keeps them. On SQLite a long one is compressed, so that it lies in its row's
//! page instead of a chain of others, and as many fewer pages are written and read. On PostgreSQL the
//! middling ones are: what is longer it compresses of its own accord (TOAST).
//!
//! LZ4, not zstd as in `history`: what stands is read a thousand times as often, and is expanded at a
//! few µs. Which body is compressed follows from its first byte, so that those stored by an earlier
//! build are read as ever.

use bytes::Bytes;
use sea_orm::{DbBackend, QueryResult};

use super::StoreError;

/// Half a page of SQLite's, and where PostgreSQL begins by itself. Of synthea-20 it is one resource in
/// eight and 46 % of the bytes.
const LONG: usize = 2048;

/// On PostgreSQL bodies are compressed from here on: it reads over a socket, so expanding weighs less
/// there, and its rows and indexes weigh more.
const MIDDLING: usize = 512;

/// Before a compressed body. JSON text never begins with it.
const MARK: u8 = 0;

/// LZ4 makes no more than this of a byte.
const MOST_FOR_A_BYTE: usize = 255;

/// The bytes of `body` for the table `resource`.
pub(super) fn pack(backend: DbBackend, body: &[u8]) -> Vec<u8> {
    let is_packed = match backend {
        DbBackend::Postgres => (MIDDLING..LONG).contains(&body.len()),
        _ => body.len() >= LONG,
    };
    if is_packed {
        let packed = lz4_flex::block::compress_prepend_size(body);
        if packed.len() + 1 < body.len() {
            let mut marked = Vec::with_capacity(packed.len() + 1);
            marked.push(MARK);
            marked.extend_from_slice(&packed);
            return marked;
        }
    }
    body.to_vec()
}

/// The body of a resource from the bytes in the table.
///
/// # Errors
/// When the bytes are damaged.
pub fn unpack(stored: Bytes) -> Result<Bytes, StoreError> {
    match stored.split_first() {
        Some((&MARK, packed)) => expand(packed).map(Bytes::from),
        _ => Ok(stored),
    }
}

/// Column `at` of a row: the body of a resource; None for a deleted one.
///
/// # Errors
/// When it is no column of bytes, or they are damaged.
pub fn column(row: &QueryResult, at: usize) -> Result<Option<Vec<u8>>, StoreError> {
    let stored: Option<Vec<u8>> = row.try_get_by_index(at)?;
    match stored.as_deref().and_then(<[u8]>::split_first) {
        Some((&MARK, packed)) => expand(packed).map(Some),
        _ => Ok(stored),
    }
}

fn expand(packed: &[u8]) -> Result<Vec<u8>, StoreError> {
    const DAMAGED: StoreError = StoreError::Corrupt("resource body");
    let (size, block) = lz4_flex::block::uncompressed_size(packed).map_err(|_| DAMAGED)?;
    // A damaged length must not take all memory.
    if size > block.len().saturating_mul(MOST_FOR_A_BYTE) {
        return Err(DAMAGED);
    }
    let body = lz4_flex::block::decompress(block, size).map_err(|_| DAMAGED)?;
    if body.len() == size {
        Ok(body)
    } else {
        Err(DAMAGED)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sea_orm::DbBackend;

    use super::{LONG, MARK, pack, unpack};

    fn long() -> Vec<u8> {
        let text: String = (0..200)
            .map(|n| format!("{{\"system\":\"http://loinc.org\",\"code\":\"{n}\"}},"))
            .collect();
        format!("[{text}]").into_bytes()
    }

    #[test]
    fn long_bodies_are_kept_short_and_come_back_as_they_were() {
        let body = long();
        let packed = pack(DbBackend::Sqlite, &body);
        assert!(packed.len() < body.len() / 2);
        assert_eq!(unpack(packed.into()).unwrap(), body);
        // PostgreSQL sees to the long ones, SQLite leaves the middling ones.
        assert_eq!(pack(DbBackend::Postgres, &body), body);
        let middling = &body[..LONG - 1];
        let packed = pack(DbBackend::Postgres, middling);
        assert!(packed.len() < middling.len() / 2);
        assert_eq!(unpack(packed.into()).unwrap(), middling);
        assert_eq!(pack(DbBackend::Sqlite, middling), middling);
    }

    #[test]
    fn short_ones_and_those_that_do_not_shrink_stay() {
        let short = br#"{"resourceType":"Basic"}"#;
        assert_eq!(pack(DbBackend::Sqlite, short), short);
        let mut state = 1_u32;
        let noise: Vec<u8> = (0..LONG)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0] | 1
            })
            .collect();
        assert_eq!(pack(DbBackend::Sqlite, &noise), noise);
        assert_eq!(unpack(Bytes::from(noise.clone())).unwrap(), noise);
        assert_eq!(unpack(Bytes::new()).unwrap(), Bytes::new());
    }

    #[test]
    fn damage_is_an_error_whatever_it_says() {
        let packed = pack(DbBackend::Sqlite, &long());
        for at in 1..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 0xff;
            // Some damage makes other bytes of the same length; none a panic.
            let _ = unpack(damaged.into());
            assert!(unpack(packed[..at].to_vec().into()).is_err());
        }
        let endless = [MARK, 0xff, 0xff, 0xff, 0xff, 0x10, b'a'];
        assert!(unpack(endless.to_vec().into()).is_err());
    }
}
