//! Recovery codes: ten on paper, 80 bits each, each good once. Kept as keyed hashes: shown once, when they
//! are made.

use aws_lc_rs::hmac;
use rand::Rng as _;

use super::super::SmartState;
use super::{execute, run};
use crate::sql::Sql;
use crate::store::StoreError;

const CODES: usize = 10;
/// Crockford's alphabet: nothing that is mistaken for something else.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 16;

/// Makes ten new ones in place of whatever there was, in groups of four letters.
pub(super) async fn renew(state: &SmartState, account: &str) -> Result<Vec<String>, StoreError> {
    let codes: Vec<String> = (0..CODES).map(|_| random()).collect();
    let tx = state.store().begin().await?;
    run(
        tx.connection(),
        "DELETE FROM recovery_code WHERE account = ",
        account,
    )
    .await?;
    for code in &codes {
        let mut insert = Sql::default();
        let (hash, of, created) = (
            insert.bind(hash(state, account, code)),
            insert.bind(account),
            insert.bind(state.now()),
        );
        insert.push(&format!(
            "INSERT INTO recovery_code (hash, account, created) VALUES ({hash}, {of}, {created})"
        ));
        execute(tx.connection(), insert).await?;
    }
    tx.commit().await?;
    Ok(codes)
}

/// Whether it is one of the account's that was not used; now it is used.
pub(super) async fn spend(
    state: &SmartState,
    account: &str,
    typed: &str,
) -> Result<bool, StoreError> {
    if normal(typed).len() != LENGTH {
        return Ok(false);
    }
    let mut update = Sql::default();
    let (now, hash) = (
        update.bind(state.now()),
        update.bind(hash(state, account, typed)),
    );
    update.push(&format!(
        "UPDATE recovery_code SET used = {now} WHERE hash = {hash} AND used IS NULL"
    ));
    let tx = state.store().begin().await?;
    let done = execute(tx.connection(), update).await?;
    tx.commit().await?;
    Ok(done == 1)
}

fn random() -> String {
    let mut bytes = [0_u8; LENGTH];
    rand::rng().fill_bytes(&mut bytes);
    let mut code = String::new();
    for (at, byte) in bytes.into_iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        let letter = LETTERS.get(usize::from(byte & 31)).copied();
        code.push(char::from(letter.unwrap_or(b'0')));
    }
    code
}

/// As it was made, however it was typed.
fn normal(typed: &str) -> String {
    typed
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric())
        .map(|letter| match letter.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        })
        .collect()
}

fn hash(state: &SmartState, account: &str, code: &str) -> Vec<u8> {
    let secret = state.store().keys().derive("recovery codes");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let text = format!("{account} {}", normal(code));
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_typed_in_many_ways() {
        let code = random();
        assert_eq!(code.len(), LENGTH + 3);
        assert_eq!(
            normal(&code),
            normal(&code.to_uppercase().replace('-', " "))
        );
        assert_eq!(normal("oil0-1"), "01101");
        assert_ne!(random(), code);
    }
}
