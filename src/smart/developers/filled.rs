//! The fields of an app as a developer filled them in, and what is wrong with them in the person's language.

use std::collections::BTreeMap;

use crate::smart::clients::ClientError;
use crate::smart::entities::client;
use crate::smart::facts::{Facts, FactsError, QUESTIONS};
use crate::smart::jwks::JwksError;
use crate::smart::pages::PageError;
use crate::smart::params::Params;
use crate::texts::Texts;

/// What a page about an app asks.
#[derive(Default)]
pub(super) struct Filled {
    pub(super) name: String,
    pub(super) maker: String,
    pub(super) website: String,
    pub(super) privacy_policy: String,
    pub(super) policy_version: String,
    pub(super) contact: String,
    /// One on each line.
    pub(super) redirect_uris: String,
    pub(super) launch_uri: String,
    answers: BTreeMap<String, bool>,
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Filled {
    /// As it was posted.
    pub(super) fn of(params: &Params) -> Self {
        let text = |name: &'static str| params.first(name).unwrap_or_default().trim().to_owned();
        Self {
            name: text("name"),
            maker: text("maker"),
            website: text("website"),
            privacy_policy: text("privacy_policy"),
            policy_version: text("policy_version"),
            contact: text("contact"),
            redirect_uris: text("redirect_uris"),
            launch_uri: text("launch_uri"),
            answers: QUESTIONS
                .iter()
                .filter_map(|(name, _)| match params.first(name) {
                    Some("yes") => Some(((*name).to_owned(), true)),
                    Some("no") => Some(((*name).to_owned(), false)),
                    _ => None,
                })
                .collect(),
        }
    }

    /// As an app stands.
    pub(super) fn of_client(client: &client::Model) -> Self {
        let facts = client.told();
        Self {
            name: client.name.clone(),
            maker: facts.maker.unwrap_or_default(),
            website: facts.website.unwrap_or_default(),
            privacy_policy: facts.privacy_policy.unwrap_or_default(),
            policy_version: facts.policy_version.unwrap_or_default(),
            contact: facts.contact.unwrap_or_default(),
            redirect_uris: client.redirects().join("\n"),
            launch_uri: client.launch_uri.clone().unwrap_or_default(),
            answers: facts.answers,
        }
    }

    /// What people are to be told. Nobody checked it.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            maker: given(&self.maker),
            website: given(&self.website),
            website_checked: false,
            privacy_policy: given(&self.privacy_policy),
            policy_version: given(&self.policy_version),
            contact: given(&self.contact),
            answers: self.answers.clone(),
        }
    }

    pub(super) fn redirects(&self) -> Vec<String> {
        let uris = self.redirect_uris.split_ascii_whitespace();
        uris.map(str::to_owned).collect()
    }

    pub(super) fn launch(&self) -> Option<String> {
        given(&self.launch_uri)
    }

    /// Name, question and answer of each question: `yes`, `no` or nothing.
    pub(super) fn questions(&self) -> Vec<(&'static str, String, &'static str)> {
        let of = |(name, text): &(&'static str, &'static str)| {
            let answer = match self.answers.get(*name) {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            (*name, Texts::here().plain(text, []), answer)
        };
        QUESTIONS.iter().map(of).collect()
    }
}

/// What is wrong with an app, in the person's words.
pub(super) fn problem(error: ClientError) -> Result<String, PageError> {
    let texts = Texts::here();
    let plain = |name: &str| texts.plain(name, []);
    Ok(match error {
        ClientError::Store(error) => return Err(error.into()),
        ClientError::Name => plain("dev-problem-name"),
        ClientError::OwnName(name) => texts.plain("dev-problem-own-name", [("name", name.into())]),
        ClientError::NoRedirectUri(_) => plain("dev-problem-no-redirect"),
        ClientError::TooManyRedirectUris => plain("dev-problem-redirects"),
        ClientError::RedirectUri(uri) => texts.plain("dev-problem-redirect", [("uri", uri.into())]),
        ClientError::PublicKeys => plain("dev-problem-public-keys"),
        ClientError::NoKeys => plain("dev-problem-no-keys"),
        ClientError::Keys(JwksError::PrivateKey) => plain("dev-problem-private-key"),
        ClientError::Keys(JwksError::NoUsableKey) => plain("dev-problem-no-usable-key"),
        ClientError::Keys(_) => plain("dev-problem-keys"),
        ClientError::KeysUrl => plain("dev-problem-keys-url"),
        ClientError::UnknownScope(scopes) => {
            texts.plain("dev-problem-unknown-scope", [("scopes", scopes.into())])
        }
        ClientError::NoScope => plain("dev-problem-no-scope"),
        ClientError::ScopeKind => plain("dev-problem-scope-kind"),
        ClientError::LaunchUri => plain("dev-problem-launch"),
        ClientError::Facts(FactsError::Text(what)) => {
            texts.plain("dev-problem-text", [("field", field(what).into())])
        }
        ClientError::Facts(FactsError::Url(what)) => {
            texts.plain("dev-problem-link", [("field", field(what).into())])
        }
        // No field of these pages leads to any other.
        error => {
            tracing::warn!(%error, "an app cannot be registered, for a reason without words");
            plain("dev-problem-other")
        }
    })
}

/// The label of the field that stands for a fact.
fn field(what: &str) -> String {
    let name = match what {
        "maker" => "dev-field-maker",
        "website" => "dev-field-website",
        "privacy policy" => "dev-field-policy",
        "contact" => "dev-field-contact",
        _ => "dev-field-policy-version",
    };
    Texts::here().plain(name, [])
}
