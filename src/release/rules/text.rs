//! The JSON of a rule file, field by field (release-policy.md 8.2). Unknown fields are errors.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A file: one body of law.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Pack {
    /// What `[release] packs` calls it: `TX`.
    pub(crate) pack: String,
    /// `US`, or `US-TX`.
    pub(crate) jurisdiction: String,
    /// Whether it is in force where the jurisdiction is configured, unless switched off.
    pub(crate) on_by_default: bool,
    /// Lists of words that rules share: `@danger` in a list stands for the table `danger`.
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, Vec<String>>,
    pub(crate) rules: Vec<RuleText>,
}

/// A rule as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RuleText {
    pub(crate) id: String,
    pub(crate) version: u32,
    pub(crate) title: String,
    pub(crate) jurisdiction: String,
    /// `active`, `scheduled` or `off`.
    pub(crate) status: String,
    pub(crate) effective: (Option<String>, Option<String>),
    pub(crate) legal_basis: LegalBasis,
    /// `scope`, `mandatory`, `directive`, `exception` or `operational`.
    pub(crate) class: String,
    #[serde(rename = "match")]
    pub(crate) matches: Match,
    /// `release`, `withhold`, `redact` or `delay_until`.
    pub(crate) effect: String,
    #[serde(default)]
    pub(crate) until: Option<UntilText>,
    /// `resource`, `paths`, `episode` or `relationship`.
    #[serde(default)]
    pub(crate) scope: Option<String>,
    #[serde(default)]
    pub(crate) related: bool,
    #[serde(default)]
    pub(crate) reviewable: bool,
    #[serde(default)]
    pub(crate) overridable_by: Vec<String>,
    #[serde(default)]
    pub(crate) evidence_required: Vec<String>,
    /// `inapplicable` or `fail_closed`.
    #[serde(default)]
    pub(crate) on_evidence_missing: Option<String>,
    /// `notice`, `pending` or `conceal`.
    #[serde(default)]
    pub(crate) visibility: Option<String>,
    /// Plain words for the patient, by language.
    #[serde(default)]
    pub(crate) notice_text: BTreeMap<String, String>,
    /// ISO 8601 duration; absent where the law knows no longest time.
    #[serde(default)]
    pub(crate) max_duration: Option<String>,
    #[serde(default)]
    pub(crate) renewal: Option<String>,
    #[serde(default)]
    pub(crate) priority: u32,
    #[serde(default)]
    pub(crate) owner: Option<String>,
    #[serde(default)]
    pub(crate) signatures: Vec<String>,
    #[serde(default)]
    pub(crate) tests: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LegalBasis {
    pub(crate) cite: String,
    /// `not_ehi`, `required_by_law`, `171.201` … `171.206`, `none`; absent counts as `none`.
    #[serde(default)]
    pub(crate) ib_path: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Match {
    pub(crate) predicate: String,
    /// Whom the rule is about: `patient`, `personal_rep`, `clinician`, `payer`, `researcher`,
    /// `third_party`.
    #[serde(default)]
    pub(crate) requester: Vec<String>,
    #[serde(default)]
    pub(crate) resource: ResourceMatch,
    /// The release-basis code of the hold Tasks this rule is for.
    #[serde(default)]
    pub(crate) basis: Option<String>,
    #[serde(default)]
    pub(crate) patient: Option<PatientMatch>,
    #[serde(default)]
    pub(crate) qualification: Qualification,
    #[serde(default)]
    pub(crate) words: WordLists,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ResourceMatch {
    #[serde(default)]
    pub(crate) types: Vec<String>,
    #[serde(default)]
    pub(crate) any_of: Vec<Condition>,
}

/// One way a resource can be what the law speaks of.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Condition {
    /// A release-flag code, on the resource or on its order.
    #[serde(default)]
    pub(crate) flag: Option<String>,
    /// A value set of codes (category, code, type).
    #[serde(default)]
    pub(crate) value_set: Option<String>,
    /// With `value_set`: only when the result is positive.
    #[serde(default)]
    pub(crate) positive: bool,
    // What the loader must be able to read in order to refuse it (X-REJECT).
    #[serde(default)]
    pub(crate) label: Option<String>,
    #[serde(default)]
    pub(crate) specialty: Option<String>,
    #[serde(default)]
    pub(crate) vip: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PatientMatch {
    #[serde(default)]
    pub(crate) age_under: Option<u32>,
    #[serde(default)]
    pub(crate) service: Option<String>,
}

/// What makes a professional one of the kind a rule needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Qualification {
    #[serde(default)]
    pub(crate) value_set: Option<String>,
    /// Beginnings of codes of the NUCC provider taxonomy: `207` is every physician from there on.
    #[serde(default)]
    pub(crate) nucc: Vec<String>,
    /// Words in a qualification's text, see `mentions`.
    #[serde(default)]
    pub(crate) words: Vec<String>,
    /// Phrases that hold one of the words and mean something else.
    #[serde(default)]
    pub(crate) except: Vec<String>,
}

/// Word lists for reading a hold's facts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WordLists {
    /// Distress alone, which is no ground.
    #[serde(default)]
    pub(crate) emotional: Vec<String>,
    /// Danger that meets the rule's harm standard.
    #[serde(default)]
    pub(crate) danger: Vec<String>,
    /// Phrases that hold a word of danger and mean none.
    #[serde(default)]
    pub(crate) except: Vec<String>,
    /// Whether facts must name a danger; else only those that speak of distress or of no ground.
    #[serde(default)]
    pub(crate) danger_required: bool,
    /// What the law names as no ground: a clinician first, a policy, fear of a lawsuit.
    #[serde(default)]
    pub(crate) no_ground: Vec<String>,
    /// Qualifications that are none of a licensed health care professional.
    #[serde(default)]
    pub(crate) unlicensed: Vec<String>,
    /// Defect types that mean "another person's data".
    #[serde(default)]
    pub(crate) misidentified: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UntilText {
    #[serde(default)]
    pub(crate) calc: Option<String>,
    #[serde(default)]
    pub(crate) condition: Option<String>,
}

impl RuleText {
    /// Puts the words of the tables in place of their names.
    ///
    /// # Errors
    /// A name that is no table's.
    pub(crate) fn fill(&mut self, tables: &BTreeMap<String, Vec<String>>) -> Result<(), String> {
        let Match {
            qualification,
            words,
            ..
        } = &mut self.matches;
        for list in [
            &mut qualification.nucc,
            &mut qualification.words,
            &mut qualification.except,
            &mut words.emotional,
            &mut words.danger,
            &mut words.except,
            &mut words.no_ground,
            &mut words.unlicensed,
            &mut words.misidentified,
        ] {
            let mut filled = Vec::with_capacity(list.len());
            for word in list.drain(..) {
                match word.strip_prefix('@') {
                    None => filled.push(word),
                    Some(name) => match tables.get(name) {
                        Some(table) => filled.extend(table.iter().cloned()),
                        None => return Err(format!("table `{name}` is not known")),
                    },
                }
            }
            *list = filled;
        }
        Ok(())
    }
}
