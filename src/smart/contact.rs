//! How an account holder is reached: one confirmed address, and the links that were mailed to it.

use sea_orm::{ConnectionTrait, DbErr};

use super::mail::Letter;
use super::{DAY, SmartState, secret};
use crate::clock::Millis;
use crate::sql::Sql;
use crate::store::StoreError;
use crate::texts::{Language, Texts};

/// After the address changed, no password is reset by mail for this long (portal.md A13).
pub(super) const NO_RESETS: Millis = DAY;
/// A used or late link is known to have been one for this long.
const KEPT: Millis = 7 * DAY;

/// What a mailed link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Reset,
    Confirm,
}

impl Purpose {
    fn number(self) -> i16 {
        match self {
            Self::Reset => 1,
            Self::Confirm => 2,
        }
    }
}

/// A confirmed address.
#[derive(Clone, Debug)]
pub(super) struct Email {
    pub(super) account: String,
    pub(super) address: String,
    pub(super) language: Language,
    /// No reset link before this.
    pub(super) resets_from: Millis,
}

/// A link that works.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) account: String,
    pub(super) address: String,
    pub(super) language: Language,
}

/// The form in which addresses are compared.
pub(super) fn folded(address: &str) -> String {
    address.trim().to_lowercase()
}

async fn emails(
    connection: &impl ConnectionTrait,
    column: &str,
    value: &str,
) -> Result<Vec<Email>, DbErr> {
    let mut select = Sql::new(format!(
        "SELECT account, address, language, resets_from FROM account_email WHERE {column} = "
    ));
    let value = select.bind(value);
    select.push(&value).push(" ORDER BY confirmed LIMIT 20");
    let backend = connection.get_database_backend();
    let rows = connection.query_all_raw(select.statement(backend)).await?;
    rows.iter()
        .map(|row| {
            let language: String = row.try_get_by_index(2)?;
            Ok(Email {
                account: row.try_get_by_index(0)?,
                address: row.try_get_by_index(1)?,
                language: Language::from_tag(&language).unwrap_or_default(),
                resets_from: row.try_get_by_index(3)?,
            })
        })
        .collect()
}

/// The confirmed address of an account.
pub(super) async fn of_account(
    connection: &impl ConnectionTrait,
    account: &str,
) -> Result<Option<Email>, DbErr> {
    Ok(emails(connection, "account", account).await?.pop())
}

/// Everybody who confirmed this address.
pub(super) async fn with_address(
    connection: &impl ConnectionTrait,
    address: &str,
) -> Result<Vec<Email>, DbErr> {
    emails(connection, "folded", &folded(address)).await
}

/// Sends a letter to the confirmed address of an account, if there is one.
pub(super) async fn tell(
    state: &SmartState,
    account: &str,
    letter: &Letter,
) -> Result<(), StoreError> {
    if let Some(email) = of_account(state.store().reader(), account).await? {
        post(state, &email.address, email.language, letter);
    }
    Ok(())
}

/// Sends a letter to an address.
pub(super) fn post(state: &SmartState, address: &str, language: Language, letter: &Letter) {
    let config = state.config();
    let outbox = state.outbox();
    let help = config.help(Texts::of(language));
    outbox.post(address, language, letter, &config.brand, &help);
}

/// Puts a confirmed address in the place of the one before, or takes it away.
pub(super) async fn replace(
    connection: &impl ConnectionTrait,
    account: &str,
    new: Option<(&str, Language)>,
    now: Millis,
    resets_from: Millis,
) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let mut sql = Sql::default();
    let of = sql.bind(account);
    match new {
        Some((address, language)) => {
            let (own, key) = (sql.bind(address), sql.bind(folded(address)));
            let (tag, at) = (sql.bind(language.tag()), sql.bind(now));
            let from = sql.bind(resets_from);
            sql.push(&format!(
                "INSERT INTO account_email \
                 (account, address, folded, language, confirmed, resets_from) \
                 VALUES ({of}, {own}, {key}, {tag}, {at}, {from}) \
                 ON CONFLICT (account) DO UPDATE SET address = excluded.address, \
                 folded = excluded.folded, language = excluded.language, \
                 confirmed = excluded.confirmed, resets_from = excluded.resets_from"
            ));
        }
        None => {
            sql.push(&format!("DELETE FROM account_email WHERE account = {of}"));
        }
    }
    connection.execute_raw(sql.statement(backend)).await?;
    Ok(())
}

/// Keeps a link (its hash) and returns its token.
pub(super) async fn make_link(
    connection: &impl ConnectionTrait,
    purpose: Purpose,
    link: &Link,
    now: Millis,
    life: Millis,
) -> Result<String, DbErr> {
    let token = secret::random_token();
    let mut insert = Sql::default();
    let (hash, kind) = (
        insert.bind(secret::hash(&token)),
        insert.bind(purpose.number()),
    );
    let (of, to) = (
        insert.bind(link.account.as_str()),
        insert.bind(link.address.as_str()),
    );
    let language = insert.bind(link.language.tag());
    let (created, expires) = (insert.bind(now), insert.bind(now + life));
    insert.push(&format!(
        "INSERT INTO mailed_link (hash, purpose, account, address, language, created, expires) \
         VALUES ({hash}, {kind}, {of}, {to}, {language}, {created}, {expires})"
    ));
    let backend = connection.get_database_backend();
    connection.execute_raw(insert.statement(backend)).await?;
    Ok(token)
}

/// Whether a link for this purpose went to the account after a time, and still works.
pub(super) async fn has_link_since(
    connection: &impl ConnectionTrait,
    purpose: Purpose,
    account: &str,
    since: Millis,
) -> Result<bool, DbErr> {
    let mut select = Sql::default();
    let (of, kind) = (select.bind(account), select.bind(purpose.number()));
    let since = select.bind(since);
    select.push(&format!(
        "SELECT 1 FROM mailed_link WHERE account = {of} AND purpose = {kind} \
         AND created > {since} AND used IS NULL LIMIT 1"
    ));
    let backend = connection.get_database_backend();
    let row = connection.query_one_raw(select.statement(backend)).await?;
    Ok(row.is_some())
}

/// The link of a token, if it still works.
pub(super) async fn find_link(
    connection: &impl ConnectionTrait,
    purpose: Purpose,
    token: &str,
    now: Millis,
) -> Result<Option<Link>, DbErr> {
    let mut select = Sql::default();
    let (hash, kind) = (
        select.bind(secret::hash(token)),
        select.bind(purpose.number()),
    );
    let now = select.bind(now);
    select.push(&format!(
        "SELECT account, address, language FROM mailed_link \
         WHERE hash = {hash} AND purpose = {kind} AND used IS NULL AND expires > {now}"
    ));
    let backend = connection.get_database_backend();
    let Some(row) = connection.query_one_raw(select.statement(backend)).await? else {
        return Ok(None);
    };
    let language: String = row.try_get_by_index(2)?;
    Ok(Some(Link {
        account: row.try_get_by_index(0)?,
        address: row.try_get_by_index(1)?,
        language: Language::from_tag(&language).unwrap_or_default(),
    }))
}

/// Uses a link up. False: somebody was first, or it is too late.
pub(super) async fn spend_link(
    connection: &impl ConnectionTrait,
    purpose: Purpose,
    token: &str,
    now: Millis,
) -> Result<bool, DbErr> {
    let mut spend = Sql::default();
    let (at, hash) = (spend.bind(now), spend.bind(secret::hash(token)));
    let kind = spend.bind(purpose.number());
    spend.push(&format!(
        "UPDATE mailed_link SET used = {at} WHERE hash = {hash} AND purpose = {kind} \
         AND used IS NULL AND expires > {at}"
    ));
    let backend = connection.get_database_backend();
    let spent = connection.execute_raw(spend.statement(backend)).await?;
    Ok(spent.rows_affected() == 1)
}

/// Ends what links of a purpose an account has left.
pub(super) async fn end_links(
    connection: &impl ConnectionTrait,
    account: &str,
) -> Result<(), DbErr> {
    let mut delete = Sql::new("DELETE FROM mailed_link WHERE used IS NULL AND account = ");
    let of = delete.bind(account);
    delete.push(&of);
    let backend = connection.get_database_backend();
    connection.execute_raw(delete.statement(backend)).await?;
    Ok(())
}

/// Deletes links that nobody needs. Returns how many.
pub(super) async fn sweep(connection: &impl ConnectionTrait, now: Millis) -> Result<u64, DbErr> {
    let mut delete = Sql::new("DELETE FROM mailed_link WHERE expires < ");
    let before = delete.bind(now - KEPT);
    delete.push(&before);
    let backend = connection.get_database_backend();
    let gone = connection.execute_raw(delete.statement(backend)).await?;
    Ok(gone.rows_affected())
}
