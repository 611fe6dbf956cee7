//! Where the words of each language come from, and whether somebody qualified reviewed them:
//! `locales/locales.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use serde::Deserialize;

use super::Language;

const FILE: &str = include_str!("../../locales/locales.toml");

/// What is said of one language.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Locale {
    /// Whether the others are translated from it.
    is_original: bool,
    translated_by: String,
    /// Who reviewed it, a qualified translator; empty: nobody.
    reviewed_by: String,
    reviewed_on: String,
}

impl Locale {
    fn is_reviewed(&self) -> bool {
        self.is_original || !self.reviewed_by.trim().is_empty()
    }
}

fn parsed() -> Result<BTreeMap<String, Locale>, Box<figment::Error>> {
    Figment::from(Toml::string(FILE))
        .extract()
        .map_err(Box::new)
}

static LOCALES: LazyLock<BTreeMap<String, Locale>> = LazyLock::new(|| parsed().unwrap_or_default());

impl Language {
    /// Whether a qualified translator reviewed the words, or they are the original. Where not, every page and
    /// letter says so.
    #[must_use]
    pub fn is_reviewed(self) -> bool {
        LOCALES.get(self.tag()).is_some_and(Locale::is_reviewed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_says_who_wrote_it_and_who_reviewed_it() {
        let locales = parsed().unwrap();
        assert_eq!(locales.len(), Language::ALL.len());
        for language in Language::ALL {
            let locale = &locales[language.tag()];
            assert_ne!(locale.is_original, !locale.translated_by.is_empty());
            let day = locale.reviewed_on.parse::<jiff::civil::Date>();
            assert_eq!(locale.reviewed_by.is_empty(), day.is_err(), "{language:?}");
        }
        assert!(Language::English.is_reviewed());
    }

    #[test]
    fn a_translation_that_nobody_reviewed_is_not_taken_for_one_that_somebody_did() {
        let mut locale = Locale::default();
        assert!(!locale.is_reviewed());
        locale.reviewed_by = "  ".to_owned();
        assert!(!locale.is_reviewed());
        locale.reviewed_by = "A. Translator, certified (ATA)".to_owned();
        assert!(locale.is_reviewed());
    }
}
