//! The keys that sign id_tokens: one RSA key (RS256, what every OpenID client knows) and one P-384
//! key (ES384), made at first start and kept in the database.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};
use sea_orm::{ExprTrait as _, QueryOrder as _, Statement};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::entities::signing_key;
use super::generation;
use crate::store::{Store, StoreError};

/// Why keys cannot be made or used.
#[derive(Debug, Error)]
pub enum SigningError {
    #[error("a signing key could not be made")]
    Generate,
    #[error("a stored signing key cannot be used")]
    Unusable(#[source] jsonwebtoken::errors::Error),
    #[error("no signing key for {0}")]
    Missing(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How id_tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SigningAlg {
    /// What every OpenID client knows.
    #[default]
    Rs256,
    Es384,
}

impl SigningAlg {
    const ALL: [Self; 2] = [Self::Rs256, Self::Es384];

    /// JOSE's name, as in the database and in registrations (`id_token_signed_response_alg`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es384 => "ES384",
        }
    }

    /// The one with this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.name() == name)
    }
}

/// What `candor keys rotate` did: `kid`s.
#[derive(Clone, Debug, Serialize)]
pub struct Rotated {
    pub retired: Vec<String>,
    pub made: Vec<String>,
}

struct SigningKey {
    kid: String,
    alg: Algorithm,
    private: EncodingKey,
}

/// The server's keys.
pub struct SigningKeys {
    /// The [`generation`] at which they were read: rotation raises it.
    generation: i64,
    keys: Vec<SigningKey>,
    /// The public halves that are published, retired ones too.
    verifying: Vec<Jwk>,
    /// The public halves as a JWK Set.
    public: Value,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_list()
            .entries(self.keys.iter().map(|key| &key.kid))
            .finish()
    }
}

impl SigningKeys {
    /// Reads the keys, and makes them when there are none.
    pub async fn load(store: &Store) -> Result<Self, SigningError> {
        let generation = store.auth_generation().await?;
        let mut rows = read(store).await?;
        if rows.is_empty() {
            make(store).await?;
            rows = read(store).await?;
        }
        let mut keys = Vec::new();
        let mut verifying = Vec::new();
        for row in rows {
            let pem = row.pem.as_bytes();
            let (alg, private) = match row.alg.as_str() {
                "RS256" => (Algorithm::RS256, EncodingKey::from_rsa_pem(pem)),
                _ => (Algorithm::ES384, EncodingKey::from_ec_pem(pem)),
            };
            let private = private.map_err(SigningError::Unusable)?;
            let mut jwk = Jwk::from_encoding_key(&private, alg).map_err(SigningError::Unusable)?;
            jwk.common.key_id = Some(row.kid.clone());
            jwk.common.public_key_use = Some(PublicKeyUse::Signature);
            verifying.push(jwk);
            if row.retired.is_none() {
                keys.push(SigningKey {
                    kid: row.kid,
                    alg,
                    private,
                });
            }
        }
        Ok(Self {
            generation,
            keys,
            public: json!({ "keys": verifying }),
            verifying,
        })
    }

    /// Whether no key was made or retired since they were read.
    pub(super) fn is_of(&self, generation: i64) -> bool {
        self.generation == generation
    }

    /// The claims of a token that one of these keys signed, however long ago it expired.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Value> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES384) {
            return None;
        }
        let key = self
            .verifying
            .iter()
            .find(|key| key.common.key_id == header.kid)?;
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let key = DecodingKey::from_jwk(key).ok()?;
        jsonwebtoken::decode::<Value>(token, &key, &validation)
            .ok()
            .map(|token| token.claims)
    }

    /// The JWK Set to publish.
    #[must_use]
    pub fn public(&self) -> &Value {
        &self.public
    }

    /// Signs claims with the youngest key of an algorithm, `RS256` or `ES384`.
    pub fn sign(&self, alg: &str, claims: &Value) -> Result<String, SigningError> {
        let wanted = if alg == "ES384" {
            Algorithm::ES384
        } else {
            Algorithm::RS256
        };
        let key = self
            .keys
            .iter()
            .find(|key| key.alg == wanted)
            .ok_or_else(|| SigningError::Missing(alg.to_owned()))?;
        let mut header = Header::new(key.alg);
        header.kid = Some(key.kid.clone());
        jsonwebtoken::encode(&header, claims, &key.private).map_err(SigningError::Unusable)
    }
}

async fn read(store: &Store) -> Result<Vec<signing_key::Model>, SigningError> {
    // A key retired a day ago has signed nothing that is still valid.
    let horizon = store.clock().now() - 24 * 60 * 60 * 1000;
    signing_key::Entity::find()
        .filter(
            signing_key::Column::Retired
                .is_null()
                .or(signing_key::Column::Retired.gt(horizon)),
        )
        .order_by_desc(signing_key::Column::Created)
        .all(store.reader())
        .await
        .map_err(|error| SigningError::Store(error.into()))
}

/// Retires the keys that sign and makes new ones. Retired keys are published until what they signed
/// has expired; every server on the database signs with the new ones from its next token on.
pub async fn rotate(store: &Store) -> Result<Rotated, SigningError> {
    let made = tokio::task::spawn_blocking(generate)
        .await
        .map_err(|_| SigningError::Generate)??;
    let database = |error: sea_orm::DbErr| SigningError::Store(error.into());
    let tx = store.begin().await?;
    let connection = tx.connection();
    let standing = signing_key::Entity::find()
        .filter(signing_key::Column::Retired.is_null())
        .all(connection)
        .await
        .map_err(database)?;
    signing_key::Entity::update_many()
        .col_expr(
            signing_key::Column::Retired,
            Expr::value(store.clock().now()),
        )
        .filter(signing_key::Column::Retired.is_null())
        .exec(connection)
        .await
        .map_err(database)?;
    let kids = made.iter().map(|(_, _, kid)| kid.clone()).collect();
    insert(store, connection, made).await.map_err(database)?;
    generation::raise(connection).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(Rotated {
        retired: standing.into_iter().map(|key| key.kid).collect(),
        made: kids,
    })
}

async fn insert(
    store: &Store,
    connection: &impl ConnectionTrait,
    made: Vec<(&'static str, String, String)>,
) -> Result<(), DbErr> {
    for (alg, pem, kid) in made {
        signing_key::Entity::insert(signing_key::ActiveModel {
            kid: Set(kid),
            alg: Set(alg.to_owned()),
            pem: Set(pem),
            created: Set(store.clock().now()),
            retired: Set(None),
        })
        .exec_without_returning(connection)
        .await?;
    }
    Ok(())
}

async fn make(store: &Store) -> Result<(), SigningError> {
    let made = tokio::task::spawn_blocking(generate)
        .await
        .map_err(|_| SigningError::Generate)??;
    let database = |error: sea_orm::DbErr| SigningError::Store(error.into());
    let tx = store.begin().await?;
    // Two servers that start together on one database: the second waits here, then reads the first's.
    let claim = Statement::from_string(
        store.backend(),
        "INSERT INTO meta (name, value) VALUES ('signing-keys', 'made') ON CONFLICT (name) DO NOTHING",
    );
    let claimed = tx.connection().execute_raw(claim).await.map_err(database)?;
    if claimed.rows_affected() == 0 {
        return Ok(());
    }
    insert(store, tx.connection(), made)
        .await
        .map_err(database)?;
    tx.commit().await.map_err(database)?;
    Ok(())
}

fn generate() -> Result<Vec<(&'static str, String, String)>, SigningError> {
    let rsa = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningError::Generate)?;
    let rsa: Pkcs8V1Der<'_> = rsa.as_der().map_err(|_| SigningError::Generate)?;
    let ec = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)
        .and_then(|pair| pair.to_pkcs8v1())
        .map_err(|_| SigningError::Generate)?;
    let mut made = Vec::new();
    for (alg, der) in [("RS256", rsa.as_ref()), ("ES384", ec.as_ref())] {
        let pem = pem(der);
        let (key, algorithm) = if alg == "RS256" {
            (EncodingKey::from_rsa_pem(pem.as_bytes()), Algorithm::RS256)
        } else {
            (EncodingKey::from_ec_pem(pem.as_bytes()), Algorithm::ES384)
        };
        let kid = key
            .and_then(|key| Jwk::from_encoding_key(&key, algorithm))
            .and_then(|jwk| jwk.thumbprint(ThumbprintHash::SHA256))
            .map_err(SigningError::Unusable)?;
        made.push((alg, pem, kid));
    }
    Ok(made)
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}
