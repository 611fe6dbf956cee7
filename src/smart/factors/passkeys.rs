//! Passkeys: WebAuthn Level 3 by the crate `webauthn_rp`, with user verification, so that one is both steps
//! of a sign-in.
//!
//! They are bound to the name of this server: under an address without one (`http://127.0.0.1:8080`) there are none.

use sea_orm::{ConnectionTrait as _, DbErr};
use url::{Host, Url};
use webauthn_rp::bin::{Decode, Encode};
use webauthn_rp::request::auth::AuthenticationVerificationOptions;
use webauthn_rp::request::register::{
    CredProtect, Nickname, PublicKeyCredentialUserEntity, RegistrationVerificationOptions,
    UserHandle64, Username,
};
use webauthn_rp::request::{AsciiDomain, PublicKeyCredentialDescriptor, RpId, TimedCeremony as _};
use webauthn_rp::response::auth::ser_relaxed::DiscoverableAuthenticationRelaxed64;
use webauthn_rp::response::register::ser_relaxed::RegistrationRelaxed;
use webauthn_rp::response::register::{CompressedPubKey, DynamicState, StaticState};
use webauthn_rp::response::{AuthTransports, CredentialId};
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthenticationServerState,
    DiscoverableCredentialRequestOptions, PublicKeyCredentialCreationOptions,
    RegistrationServerState,
};

use super::super::entities::account;
use super::super::{MINUTE, SmartState, secret, users};
use super::{execute, run};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::StoreError;

/// As long as the authenticator is given.
const CHALLENGE_LIFE: Millis = 5 * MINUTE;
const MOST_PASSKEYS: usize = 20;
const LONGEST_NAME: usize = 60;

/// What never changes of a stored one.
type Key = StaticState<CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>>;

/// A passkey, for a list.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) credential: Vec<u8>,
    pub(super) name: String,
    pub(super) created: Millis,
    pub(super) used: Option<Millis>,
}

/// The relying party and its origin; none where the server has no name.
fn party(state: &SmartState) -> Option<(RpId, String)> {
    let url = Url::parse(state.issuer()).ok()?;
    let Some(Host::Domain(name)) = url.host() else {
        return None;
    };
    let id = AsciiDomain::try_from(name.to_owned()).ok()?;
    Some((RpId::Domain(id), url.origin().ascii_serialization()))
}

/// Whether this server can have passkeys at all.
pub(in crate::smart) fn are_possible(state: &SmartState) -> bool {
    party(state).is_some()
}

/// The options for a new passkey of an account, as JSON for the browser; none: it has enough, or cannot.
pub(super) async fn begin_adding(
    state: &SmartState,
    account: &account::Model,
) -> Result<Option<String>, StoreError> {
    let Some((party, _)) = party(state) else {
        return Ok(None);
    };
    let own = stored(state, "account", account.id.as_str()).await?;
    if own.len() >= MOST_PASSKEYS {
        return Ok(None);
    }
    let handle = match own.first().and_then(|one| handle(&one.handle)) {
        Some(handle) => handle,
        None => UserHandle64::new(),
    };
    let known = own
        .iter()
        .filter_map(|one| {
            Some(PublicKeyCredentialDescriptor {
                id: CredentialId::<Vec<u8>>::decode(one.credential.clone()).ok()?,
                // Not known any more, and only a hint.
                transports: AuthTransports::decode(0).ok()?,
            })
        })
        .collect();
    // Names with spaces are none for WebAuthn.
    let name = Username::try_from(account.username.as_str())
        .or_else(|_| Username::try_from(account.id.as_str()));
    let Ok(name) = name else {
        return Ok(None);
    };
    let user = PublicKeyCredentialUserEntity {
        name,
        id: &handle,
        display_name: Nickname::try_from(account.name.as_str()).ok(),
    };
    let mut options = PublicKeyCredentialCreationOptions::passkey(&party, user, known);
    // Enforced, it shuts out authenticators without the extension; that the user is verified is checked
    // at every use.
    options.extensions.cred_protect = CredProtect::None;
    let Ok((server, client)) = options.start_ceremony() else {
        return Ok(None);
    };
    let Ok(json) = serde_json::to_string(&client) else {
        return Ok(None);
    };
    let Ok(kept) = server.encode() else {
        return Ok(None);
    };
    let challenge = challenge(&server.sent_challenge());
    keep(state, Some(&account.id), &challenge, kept).await?;
    Ok(Some(json))
}

/// Takes what an authenticator answered; whether the account has it now.
pub(super) async fn add(
    state: &SmartState,
    account: &account::Model,
    name: &str,
    answer: &str,
) -> Result<bool, StoreError> {
    let (Some((party, origin)), Ok(answer)) = (
        party(state),
        serde_json::from_str::<RegistrationRelaxed>(answer),
    ) else {
        return Ok(false);
    };
    let answer = answer.0;
    let Ok(sent) = answer.challenge_relaxed() else {
        return Ok(false);
    };
    let kept = take(state, Some(&account.id), &challenge(&sent)).await?;
    let Some(Ok(server)) = kept.map(|kept| RegistrationServerState::<64>::decode(&kept)) else {
        return Ok(false);
    };
    let origins = [origin.as_str()];
    let rules = RegistrationVerificationOptions::<&str, &str> {
        allowed_origins: &origins,
        error_on_unsolicited_extensions: false,
        ..RegistrationVerificationOptions::default()
    };
    let made = match server.verify(&party, &answer, &rules) {
        Ok(made) => made,
        Err(error) => {
            tracing::info!(account = account.id, %error, "a passkey was refused");
            return Ok(false);
        }
    };
    let Ok(key) = made.static_state().encode();
    let Ok(changing) = made.dynamic_state().encode();
    let Ok(handle) = made.user_id().encode();
    let name: String = name.trim().chars().take(LONGEST_NAME).collect();
    let mut insert = Sql::default();
    let (credential, of, handle, name, key, changing, created) = (
        insert.bind(made.id().as_ref().to_vec()),
        insert.bind(account.id.as_str()),
        insert.bind(handle.to_vec()),
        insert.bind(name),
        insert.bind(key),
        insert.bind(changing.to_vec()),
        insert.bind(state.now()),
    );
    insert.push(&format!(
        "INSERT INTO passkey (credential, account, handle, name, key, state, created) \
         VALUES ({credential}, {of}, {handle}, {name}, {key}, {changing}, {created}) \
         ON CONFLICT (credential) DO NOTHING"
    ));
    let tx = state.store().begin().await?;
    let done = execute(tx.connection(), insert).await?;
    tx.commit().await?;
    tracing::info!(account = account.id, "a passkey was added");
    Ok(done == 1)
}

/// The options for signing in, as JSON for the browser: any passkey of this server.
pub(super) async fn begin_signing_in(state: &SmartState) -> Result<Option<String>, StoreError> {
    let Some((party, _)) = party(state) else {
        return Ok(None);
    };
    let options = DiscoverableCredentialRequestOptions::passkey(&party);
    let Ok((server, client)) = options.start_ceremony() else {
        return Ok(None);
    };
    let (Ok(json), Ok(kept)) = (serde_json::to_string(&client), server.encode()) else {
        return Ok(None);
    };
    let challenge = challenge(&server.sent_challenge());
    keep(state, None, &challenge, kept).await?;
    Ok(Some(json))
}

/// Whose passkey answered, verified with its user; none: it is nobody's, or what it says is wrong.
pub(super) async fn sign_in(
    state: &SmartState,
    answer: &str,
) -> Result<Option<account::Model>, StoreError> {
    let (Some((party, origin)), Ok(answer)) = (
        party(state),
        serde_json::from_str::<DiscoverableAuthenticationRelaxed64>(answer),
    ) else {
        return Ok(None);
    };
    let answer = answer.0;
    let Ok(sent) = answer.challenge_relaxed() else {
        return Ok(None);
    };
    let kept = take(state, None, &challenge(&sent)).await?;
    let Some(Ok(server)) = kept.map(|kept| DiscoverableAuthenticationServerState::decode(&kept))
    else {
        return Ok(None);
    };
    let id = answer.raw_id().as_ref().to_vec();
    let Some(own) = stored(state, "credential", id.clone()).await?.pop() else {
        return Ok(None);
    };
    let user = answer.response().user_handle();
    let Ok(said) = user.encode();
    let changing = <[u8; 7]>::try_from(own.state.as_slice());
    let (true, Ok(key), Ok(changing)) =
        (said[..] == own.handle[..], Key::decode(&own.key), changing)
    else {
        return Ok(None);
    };
    let (Ok(changing), Ok(credential)) = (
        DynamicState::decode(changing),
        CredentialId::<&[u8]>::decode(id.as_slice()),
    ) else {
        return Ok(None);
    };
    let Ok(mut known) = AuthenticatedCredential::new(credential, user, key, changing) else {
        return Ok(None);
    };
    let origins = [origin.as_str()];
    let rules = AuthenticationVerificationOptions::<&str, &str> {
        allowed_origins: &origins,
        error_on_unsolicited_extensions: false,
        ..AuthenticationVerificationOptions::default()
    };
    if let Err(error) = server.verify(&party, &answer, &mut known, &rules) {
        tracing::info!(account = own.account, %error, "a passkey was refused");
        return Ok(None);
    }
    let Ok(changed) = known.dynamic_state().encode();
    let mut update = Sql::default();
    let (changed, now, id) = (
        update.bind(changed.to_vec()),
        update.bind(state.now()),
        update.bind(id.as_slice().to_vec()),
    );
    update.push(&format!(
        "UPDATE passkey SET state = {changed}, used = {now} WHERE credential = {id}"
    ));
    let tx = state.store().begin().await?;
    execute(tx.connection(), update).await?;
    tx.commit().await?;
    Ok(users::find_enabled(state.store().reader(), &own.account).await?)
}

/// The passkeys of an account, oldest first.
pub(super) async fn list(state: &SmartState, account: &str) -> Result<Vec<Listed>, StoreError> {
    let own = stored(state, "account", account).await?;
    Ok(own
        .into_iter()
        .map(|one| Listed {
            credential: one.credential,
            name: one.name,
            created: one.created,
            used: one.used,
        })
        .collect())
}

/// Removes one of an account's.
pub(super) async fn remove(
    state: &SmartState,
    account: &str,
    credential: &[u8],
) -> Result<(), StoreError> {
    let mut delete = Sql::default();
    let (of, id) = (delete.bind(account), delete.bind(credential.to_vec()));
    delete.push(&format!(
        "DELETE FROM passkey WHERE account = {of} AND credential = {id}"
    ));
    let tx = state.store().begin().await?;
    execute(tx.connection(), delete).await?;
    tx.commit().await?;
    tracing::info!(account, "a passkey was removed");
    Ok(())
}

struct Stored {
    credential: Vec<u8>,
    account: String,
    handle: Vec<u8>,
    name: String,
    key: Vec<u8>,
    state: Vec<u8>,
    created: Millis,
    used: Option<Millis>,
}

async fn stored(
    state: &SmartState,
    column: &str,
    value: impl Into<sea_orm::Value>,
) -> Result<Vec<Stored>, StoreError> {
    let store = state.store();
    let mut select = Sql::new(format!(
        "SELECT credential, account, handle, name, key, state, created, used \
         FROM passkey WHERE {column} = "
    ));
    let value = select.bind(value);
    select.push(&value).push(" ORDER BY created, credential");
    let rows = store
        .reader()
        .query_all_raw(select.statement(store.backend()))
        .await?;
    let read = |row: &sea_orm::QueryResult| -> Result<Stored, DbErr> {
        Ok(Stored {
            credential: row.try_get_by_index(0)?,
            account: row.try_get_by_index(1)?,
            handle: row.try_get_by_index(2)?,
            name: row.try_get_by_index(3)?,
            key: row.try_get_by_index(4)?,
            state: row.try_get_by_index(5)?,
            created: row.try_get_by_index(6)?,
            used: row.try_get_by_index(7)?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

fn handle(bytes: &[u8]) -> Option<UserHandle64> {
    UserHandle64::decode(<[u8; 64]>::try_from(bytes).ok()?).ok()
}

/// Under what a challenge is kept.
fn challenge(sent: &webauthn_rp::response::SentChallenge) -> Vec<u8> {
    let Ok(number) = sent.encode();
    secret::hash(&format!("{number:x}"))
}

async fn keep(
    state: &SmartState,
    account: Option<&str>,
    challenge: &[u8],
    kept: Vec<u8>,
) -> Result<(), StoreError> {
    let mut insert = Sql::default();
    let (hash, of, kept, expires) = (
        insert.bind(challenge.to_vec()),
        insert.bind(account.map(str::to_owned)),
        insert.bind(kept),
        insert.bind(state.now() + CHALLENGE_LIFE),
    );
    insert.push(&format!(
        "INSERT INTO passkey_challenge (hash, account, state, expires) \
         VALUES ({hash}, {of}, {kept}, {expires})"
    ));
    let tx = state.store().begin().await?;
    execute(tx.connection(), insert).await?;
    tx.commit().await?;
    Ok(())
}

/// Takes a challenge out, so that nothing answers it twice.
async fn take(
    state: &SmartState,
    account: Option<&str>,
    challenge: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut select = Sql::new("SELECT state FROM passkey_challenge WHERE hash = ");
    let (hash, now) = (select.bind(challenge.to_vec()), select.bind(state.now()));
    select.push(&format!("{hash} AND expires > {now} AND account "));
    match account {
        Some(account) => {
            let of = select.bind(account);
            select.push(&format!("= {of}"));
        }
        None => {
            select.push("IS NULL");
        }
    }
    let tx = state.store().begin().await?;
    let row = tx
        .connection()
        .query_one_raw(select.statement(state.store().backend()))
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let kept: Vec<u8> = row.try_get_by_index(0)?;
    // Of two at once, only one takes it.
    let gone = run(
        tx.connection(),
        "DELETE FROM passkey_challenge WHERE hash = ",
        challenge.to_vec(),
    )
    .await?;
    tx.commit().await?;
    Ok((gone == 1).then_some(kept))
}
