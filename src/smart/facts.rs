//! What people are told of an app before they allow it anything: who made it, where its maker is found, its
//! privacy policy, and the maker's answers to the same questions for every app. Nothing is asked of an app
//! that is not asked of all, and no app is turned away for what it answers or leaves open (ONC, information
//! blocking FAQ on attestation: factual, unbiased, objective, not discriminatory).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use super::clients::is_loopback;
use super::shown::is_shown;

/// The questions: the name of each in registrations and on the command line, and of its text.
pub const QUESTIONS: &[(&str, &str)] = &[
    ("sells_data", "fact-sells-data"),
    ("shares_data", "fact-shares-data"),
    ("keeps_data", "fact-keeps-data"),
    ("deletes_data", "fact-deletes-data"),
    ("tells_changes", "fact-tells-changes"),
];

const MOST_TEXT: usize = 200;
const MOST_URL: usize = 1000;

/// What the maker of an app says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maker: Option<String>,
    /// The maker's website, https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// Whether somebody other than the maker found that the website is the maker's.
    #[serde(skip_serializing_if = "is_false")]
    pub website_checked: bool,
    /// Where the privacy policy is, https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privacy_policy: Option<String>,
    /// What changes when the policy's text does: a day or a number, in the maker's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<String>,
    /// An e-mail address or URL for people who ask what the app did with their data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Answers by the names of [`QUESTIONS`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, bool>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// What cannot be told of an app; the words say what to change.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FactsError {
    #[error(
        "the {0} must be a text of 1 to 200 characters that can be seen, without line breaks, marks of direction and \
         blanks of no width"
    )]
    Text(&'static str),
    #[error("the {0} must be an https URL of at most 1000 characters")]
    Url(&'static str),
    #[error("{0} is no question: answer {names} with yes or no", names = question_names())]
    Question(String),
    #[error("a website has to be given to be checked")]
    NothingChecked,
}

fn question_names() -> String {
    let names: Vec<&str> = QUESTIONS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl Facts {
    /// What is kept as text.
    #[must_use]
    pub fn of_text(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// The text to keep.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether all of it can be shown.
    ///
    /// # Errors
    /// The first thing that cannot.
    pub fn check(&self) -> Result<(), FactsError> {
        for (name, value) in [
            ("maker", &self.maker),
            ("version of the privacy policy", &self.policy_version),
            ("contact", &self.contact),
        ] {
            let fits = |text: &String| text.trim().chars().count() <= MOST_TEXT && is_shown(text);
            if !value.as_ref().is_none_or(fits) {
                return Err(FactsError::Text(name));
            }
        }
        for (name, value) in [
            ("website", &self.website),
            ("privacy policy", &self.privacy_policy),
        ] {
            if !value.as_ref().is_none_or(|url| is_link(url)) {
                return Err(FactsError::Url(name));
            }
        }
        if self.website_checked && self.website.is_none() {
            return Err(FactsError::NothingChecked);
        }
        let known = |name: &String| QUESTIONS.iter().any(|(own, _)| own == name);
        match self.answers.keys().find(|name| !known(name)) {
            Some(name) => Err(FactsError::Question(name.chars().take(50).collect())),
            None => Ok(()),
        }
    }

    /// The website without scheme and path.
    #[must_use]
    pub fn domain(&self) -> Option<String> {
        let url = Url::parse(self.website.as_deref()?).ok()?;
        url.host_str().map(str::to_owned)
    }

    /// Whether people who allowed the app under `before` should hear that this changed: who it is, what it
    /// promises, and the answers.
    #[must_use]
    pub fn differs_from(&self, before: &Self) -> bool {
        self.maker != before.maker
            || self.privacy_policy != before.privacy_policy
            || self.policy_version != before.policy_version
            || self.answers != before.answers
    }
}

/// Whether a page of ours may lead people there. Loopback is for tests and demonstrations.
fn is_link(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    text.len() <= MOST_URL
        && url.username().is_empty()
        && url.has_host()
        && (url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(change: impl FnOnce(&mut Facts)) -> Facts {
        let mut facts = Facts {
            maker: Some("Acme Inc".to_owned()),
            website: Some("https://acme.example/app".to_owned()),
            ..Facts::default()
        };
        change(&mut facts);
        facts
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        assert_eq!(facts(|_| ()).check(), Ok(()));
        let text = |text: &str| Some(text.to_owned());
        for (bad, expected) in [
            (facts(|it| it.maker = text("  ")), FactsError::Text("maker")),
            (
                facts(|it| it.contact = text("a\nb")),
                FactsError::Text("contact"),
            ),
            (
                facts(|it| it.maker = text("Acme\u{202e} Inc")),
                FactsError::Text("maker"),
            ),
            (
                facts(|it| it.website = text("http://acme.example")),
                FactsError::Url("website"),
            ),
            (
                facts(|it| it.privacy_policy = text("javascript:alert(1)")),
                FactsError::Url("privacy policy"),
            ),
            (
                facts(|it| {
                    it.website = None;
                    it.website_checked = true;
                }),
                FactsError::NothingChecked,
            ),
            (
                facts(|it| {
                    it.answers.insert("is_nice".to_owned(), true);
                }),
                FactsError::Question("is_nice".to_owned()),
            ),
        ] {
            assert_eq!(bad.check(), Err(expected));
        }
    }

    #[test]
    fn people_hear_of_what_matters_to_them() {
        let before = facts(|_| ());
        assert!(!facts(|it| it.website_checked = true).differs_from(&before));
        assert!(
            facts(|it| {
                it.answers.insert("sells_data".to_owned(), true);
            })
            .differs_from(&before)
        );
        assert!(facts(|it| it.policy_version = Some("2".to_owned())).differs_from(&before));
        assert_eq!(Facts::of_text(Some(&before.to_text())), before);
        assert_eq!(Facts::of_text(None), Facts::default());
    }
}
