//! Authenticator apps: TOTP (RFC 6238) as all of them know it, SHA-1, six digits, 30 seconds, one step of
//! leeway to both sides. A code works once (RFC 6238 section 5.2).

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};
use rand::Rng as _;
use sea_orm::ConnectionTrait as _;
use totp_rs::{Builder, Secret, Totp};

use super::super::{MINUTE, SECOND, SmartState};
use super::{execute, seal};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::StoreError;

/// How long a new secret waits for its first code.
const PENDING_FOR: Millis = 30 * MINUTE;
/// RFC 4226 section 4 asks for 160 bits.
const SECRET_BYTES: usize = 20;

/// A secret that waits for its first code, as a person takes it over.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// SVG of a QR code.
    pub(super) picture: String,
    /// The same key to type, in groups of four.
    pub(super) key: String,
    /// What a phone opens.
    pub(super) address: String,
}

fn totp(secret: &[u8]) -> Option<Totp> {
    Builder::new()
        .with_secret(Secret::new(secret.into()))
        .build()
        .ok()
}

/// Begins anew: a fresh secret waits for its first code. What is confirmed stays until then.
pub(super) async fn begin(state: &SmartState, account: &str) -> Result<(), StoreError> {
    let mut secret = [0_u8; SECRET_BYTES];
    rand::rng().fill_bytes(&mut secret);
    let sealed = seal::seal(state, account, &secret).ok_or(StoreError::Corrupt("totp"))?;
    let mut insert = Sql::default();
    let (of, pending, since) = (
        insert.bind(account),
        insert.bind(sealed),
        insert.bind(state.now()),
    );
    insert.push(&format!(
        "INSERT INTO totp (account, last_step, pending, pending_since) \
         VALUES ({of}, 0, {pending}, {since}) ON CONFLICT (account) DO UPDATE SET \
         pending = excluded.pending, pending_since = excluded.pending_since"
    ));
    let tx = state.store().begin().await?;
    execute(tx.connection(), insert).await?;
    tx.commit().await?;
    Ok(())
}

/// The secret that waits, for a page; none when there is none, or for too long.
pub(super) async fn pending(
    state: &SmartState,
    account: &str,
    username: &str,
) -> Result<Option<Pending>, StoreError> {
    let Some(secret) = read(state, account, Column::Pending).await?.secret else {
        return Ok(None);
    };
    let plain = Secret::new(secret.as_slice().into()).to_base32();
    let mut key = String::new();
    for (at, letter) in plain.chars().enumerate() {
        if at > 0 && at % 4 == 0 {
            key.push(' ');
        }
        key.push(letter);
    }
    // Without colons, which part issuer and account in the label.
    let issuer = state.config().brand.replace(':', " ");
    let mut address =
        url::Url::parse("otpauth://totp/").map_err(|_| StoreError::Corrupt("totp"))?;
    address.set_path(&format!("{issuer}:{}", username.replace(':', " ")));
    address
        .query_pairs_mut()
        .append_pair("secret", &plain)
        .append_pair("issuer", &issuer);
    // Some apps read a plus as a plus.
    let address = String::from(address).replace('+', "%20");
    let picture = picture(&address).ok_or(StoreError::Corrupt("totp"))?;
    Ok(Some(Pending {
        picture,
        key,
        address,
    }))
}

/// Whether a code is the first one of the secret that waits; then it is the account's from now on.
pub(super) async fn confirm(
    state: &SmartState,
    account: &str,
    code: &str,
) -> Result<bool, StoreError> {
    let pending = read(state, account, Column::Pending).await?;
    let Some(step) = pending.secret.and_then(|secret| step(state, &secret, code)) else {
        return Ok(false);
    };
    let mut update = Sql::default();
    let (now, step, of) = (
        update.bind(state.now()),
        update.bind(step),
        update.bind(account),
    );
    update.push(&format!(
        "UPDATE totp SET secret = pending, confirmed = {now}, last_step = {step}, \
         pending = NULL, pending_since = NULL WHERE account = {of} AND pending IS NOT NULL"
    ));
    let tx = state.store().begin().await?;
    let done = execute(tx.connection(), update).await?;
    tx.commit().await?;
    Ok(done == 1)
}

/// Whether a code is right, and the first time that it is used, here or in any other process.
pub(super) async fn check(
    state: &SmartState,
    account: &str,
    code: &str,
) -> Result<bool, StoreError> {
    let confirmed = read(state, account, Column::Secret).await?;
    let Some(step) = confirmed
        .secret
        .and_then(|secret| step(state, &secret, code))
    else {
        return Ok(false);
    };
    let mut update = Sql::default();
    let (step, of) = (update.bind(step), update.bind(account));
    update.push(&format!(
        "UPDATE totp SET last_step = {step} WHERE account = {of} AND last_step < {step}"
    ));
    let tx = state.store().begin().await?;
    let done = execute(tx.connection(), update).await?;
    tx.commit().await?;
    Ok(done == 1)
}

/// Takes the authenticator app from an account.
pub(super) async fn remove(state: &SmartState, account: &str) -> Result<(), StoreError> {
    let tx = state.store().begin().await?;
    super::run(
        tx.connection(),
        "DELETE FROM totp WHERE account = ",
        account,
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// The step of which a code is, now or one before or after.
fn step(state: &SmartState, secret: &[u8], code: &str) -> Option<i64> {
    let digits: String = code
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let now = u64::try_from(state.now() / SECOND).ok()?;
    let step = totp(secret)?.check(&digits, now)?;
    i64::try_from(step).ok()
}

#[derive(Clone, Copy)]
enum Column {
    Secret,
    Pending,
}

struct Stored {
    secret: Option<Vec<u8>>,
}

async fn read(state: &SmartState, account: &str, column: Column) -> Result<Stored, StoreError> {
    let store = state.store();
    let mut select = Sql::default();
    let of = select.bind(account);
    let text = match column {
        Column::Secret => format!("SELECT secret FROM totp WHERE account = {of}"),
        Column::Pending => {
            let since = select.bind(state.now() - PENDING_FOR);
            format!("SELECT pending FROM totp WHERE account = {of} AND pending_since > {since}")
        }
    };
    select.push(&text);
    let row = store
        .reader()
        .query_one_raw(select.statement(store.backend()))
        .await?;
    let sealed: Option<Vec<u8>> = match row {
        Some(row) => row.try_get_by_index(0)?,
        None => None,
    };
    let secret = sealed.and_then(|sealed| {
        let secret = seal::open(state, account, &sealed);
        if secret.is_none() {
            tracing::error!(
                account,
                "a sealed secret cannot be opened: is smart.secrets_key_file the one it was?"
            );
        }
        secret
    });
    Ok(Stored { secret })
}

/// A QR code as SVG that inherits nothing: black on white, whatever the page's colours.
fn picture(text: &str) -> Option<String> {
    const QUIET: i32 = 4;
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in 0..code.size() {
            if code.get_module(x, y) {
                // Writing into a String cannot fail.
                let _ = write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
            }
        }
    }
    Some(format!(
        "<svg class=\"qr\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" \
         width=\"240\" height=\"240\" aria-hidden=\"true\" shape-rendering=\"crispEdges\">\
         <rect width=\"{size}\" height=\"{size}\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_6238_appendix_b() {
        // Eight digits there; six are their end.
        let totp = totp(b"12345678901234567890").unwrap();
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(totp.generate(time).to_string(), code);
            assert_eq!(totp.check(code, time), Some(time / 30));
            assert_eq!(totp.check(code, time + 30), Some(time / 30));
            assert_eq!(totp.check(code, time + 60), None);
        }
    }

    #[test]
    fn a_picture_is_markup_without_addresses_or_styles() {
        let picture = picture("otpauth://totp/x?secret=ABC").unwrap();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>"));
        assert!(
            !picture.contains("style") && !picture.contains("href") && !picture.contains("data:")
        );
    }
}
