//! What the consent page tells of an app: the maker's facts, in the same order for every app, and what
//! changed in them since the person allowed the app before.

use askama::filters::Safe;

use crate::smart::facts::{Facts, QUESTIONS};
use crate::texts::{Arg, Texts};

/// The facts as the page shows them.
pub(in crate::smart) struct ToldView {
    pub(in crate::smart) maker: String,
    /// The website's host name.
    pub(in crate::smart) domain: String,
    pub(in crate::smart) is_checked: bool,
    pub(in crate::smart) website: String,
    pub(in crate::smart) privacy_policy: String,
    /// Question and answer. Empty: the maker answered none.
    pub(in crate::smart) answers: Vec<(String, String)>,
}

impl ToldView {
    pub(in crate::smart) fn new(facts: &Facts) -> Self {
        let texts = Texts::here();
        let answers = if facts.answers.is_empty() {
            Vec::new()
        } else {
            QUESTIONS
                .iter()
                .map(|(name, text)| {
                    let answer = said(texts, facts.answers.get(*name).copied());
                    (texts.plain(text, []), answer)
                })
                .collect()
        };
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            maker: text(&facts.maker),
            domain: facts.domain().unwrap_or_default(),
            is_checked: facts.website_checked,
            website: text(&facts.website),
            privacy_policy: text(&facts.privacy_policy),
            answers,
        }
    }
}

fn said(texts: Texts, answer: Option<bool>) -> String {
    let name = match answer {
        Some(true) => "fact-yes",
        Some(false) => "fact-no",
        None => "fact-unanswered",
    };
    texts.plain(name, [])
}

/// What is told otherwise now than it was, one sentence each, as HTML.
pub(in crate::smart) fn changes(before: &Facts, now: &Facts) -> Vec<Safe<String>> {
    let texts = Texts::here();
    let mut changes = Vec::new();
    if before.maker != now.maker {
        let name = |facts: &Facts| match &facts.maker {
            Some(maker) => maker.clone(),
            None => texts.plain("fact-unknown", []),
        };
        changes.push(texts.html(
            "consent-change-maker",
            &[
                ("before", Arg::isolated(&name(before))),
                ("now", Arg::isolated(&name(now))),
            ],
        ));
    }
    if before.privacy_policy != now.privacy_policy || before.policy_version != now.policy_version {
        changes.push(texts.t("consent-change-policy"));
    }
    for (name, question) in QUESTIONS {
        let (old, new) = (before.answers.get(*name), now.answers.get(*name));
        if old != new {
            changes.push(texts.html(
                "consent-change-answer",
                &[
                    ("question", texts.plain(question, []).into()),
                    ("before", said(texts, old.copied()).into()),
                    ("now", said(texts, new.copied()).into()),
                ],
            ));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_app_is_asked_the_same_and_a_change_names_both_answers() {
        let mut facts = Facts::default();
        assert!(ToldView::new(&facts).answers.is_empty());
        facts.answers.insert("keeps_data".to_owned(), true);
        let view = ToldView::new(&facts);
        assert_eq!(view.answers.len(), QUESTIONS.len());
        assert_eq!(view.answers[0].1, "Not answered");
        assert_eq!(view.answers[2].1, "Yes");
        let mut now = facts.clone();
        now.answers.insert("keeps_data".to_owned(), false);
        now.policy_version = Some("2".to_owned());
        let said = |now: &Facts| -> Vec<String> {
            let changes = changes(&facts, now).into_iter();
            changes.map(|change| change.0).collect()
        };
        let changes = said(&now);
        assert_eq!(changes.len(), 2);
        assert!(
            changes[1].contains("Yes") && changes[1].contains("No"),
            "{changes:?}"
        );
        now.maker = Some("<Acme>".to_owned());
        let changes = said(&now);
        assert!(
            changes[0].contains("<bdi>&lt;Acme&gt;</bdi>"),
            "{changes:?}"
        );
        assert!(said(&facts).is_empty());
    }
}
