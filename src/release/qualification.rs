//! Whether a professional is of the kind that a rule needs, by code or in words.

use serde_json::Value;

use super::codes;
use super::resource::{codings, words_of};
use super::rules::Qualification;
use super::words::mentions;

const NUCC: &str = "http://nucc.org/provider-taxonomy";

impl Qualification {
    /// Whether an element (`code` of a qualification, `specialty` of a role) names the kind. Words of
    /// `denied` say that it is somebody else, whatever stands beside them ("psychiatry billing clerk").
    pub(crate) fn is_in(&self, element: &Value, key: &str, denied: &[String]) -> bool {
        let words = words_of(element, key);
        if mentions(&words, denied, &[]) {
            return false;
        }
        let coded = self
            .value_set
            .as_deref()
            .is_some_and(|set| codes::contains(set, codings(element, key)));
        let classed = codings(element, key).any(|(system, code)| {
            system == NUCC
                && self
                    .nucc
                    .iter()
                    .any(|beginning| code.starts_with(beginning))
        });
        coded || classed || mentions(&words, &self.words, &self.except)
    }
}
