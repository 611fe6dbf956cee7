//! `[[smart.providers]]`: OpenID providers that people may sign in with beside a password.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use super::is_loopback;

/// An OpenID provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// What stands for it in addresses: small letters, digits and hyphens.
    pub id: String,
    /// What people call it: `ID.me`.
    pub name: String,
    /// Its issuer, under which `/.well-known/openid-configuration` is found.
    pub issuer: String,
    pub client_id: String,
    /// None for a public client.
    pub client_secret: Option<ClientSecret>,
    /// Asked for beside `openid`.
    pub scopes: Vec<String>,
    /// More parameters of the authorization request, as `acr_values`.
    pub parameters: BTreeMap<String, String>,
    /// Values of `acr` of which an id_token must have one. Empty: any.
    pub required_acr: Vec<String>,
    /// Whether the provider proved who somebody is (NIST 800-63A IAL2), so that name, birth date and
    /// one more thing may find their record. Otherwise only linked accounts sign in.
    pub proves_identity: bool,
}

/// A secret, which no log shows.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientSecret(pub String);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClientSecret")
    }
}

impl Provider {
    pub(super) fn check(all: &[Self], problems: &mut Vec<String>) {
        for (at, own) in all.iter().enumerate() {
            let key = format!("smart.providers.{at}");
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if own.id.is_empty() || !own.id.chars().all(is_plain) {
                problems.push(format!(
                    "{key}.id: {:?} stands in addresses; use small letters, digits and hyphens.",
                    own.id
                ));
            }
            if all.iter().take(at).any(|other| other.id == own.id) {
                problems.push(format!("{key}.id: {:?} is there twice.", own.id));
            }
            if own.name.trim().is_empty() {
                problems.push(format!("{key}.name: say what people call it."));
            }
            if own.client_id.is_empty() {
                problems.push(format!(
                    "{key}.client_id: register this server there, with the redirect URI /login/back of its public URL."
                ));
            }
            let is_safe = Url::parse(&own.issuer).is_ok_and(|url| {
                url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url))
            });
            if !is_safe {
                problems.push(format!(
                    "{key}.issuer: {:?} must be an https URL.",
                    own.issuer
                ));
            }
        }
    }
}
