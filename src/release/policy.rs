//! The policy in force: jurisdiction, time zone, the packs that are on, and who signed for them.

use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::rules::{Listed, PolicyError, Rule, RuleSet, RuleText, Status};

/// `[release] packs`: one pack or rule switched on or off, signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackSwitch {
    /// A pack (`TX`) or a rule (`R19-ABUSE`).
    pub id: String,
    pub on: bool,
    /// Who signed it off; required.
    pub signed_by: Option<String>,
}

/// What decisions are made under. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PolicyContext(Arc<Policy>);

#[derive(Debug)]
struct Policy {
    jurisdiction: Option<String>,
    zone: TimeZone,
    epoch: i64,
    switches: Vec<PackSwitch>,
    rules: RuleSet,
    active: Vec<Rule>,
    packs: bool,
}

impl PolicyContext {
    /// The policy of the shipped rules under these settings.
    ///
    /// `jurisdiction` is `US` or `US-XX`; none means unknown, which releases and alerts. `zone` is
    /// an IANA name. `epoch` numbers the policy: the store raises it when settings or rules change.
    ///
    /// # Errors
    /// A setting that makes no sense, an unsigned switch, a rule that is not implemented yet.
    pub fn new(
        jurisdiction: Option<&str>,
        zone: &str,
        switches: &[PackSwitch],
        epoch: i64,
    ) -> Result<Self, PolicyError> {
        Self::with_rules(RuleSet::embedded()?, jurisdiction, zone, switches, epoch)
    }

    /// The same with other rule files.
    ///
    /// # Errors
    /// As [`PolicyContext::new`].
    pub fn with_rules(
        rules: RuleSet,
        jurisdiction: Option<&str>,
        zone: &str,
        switches: &[PackSwitch],
        epoch: i64,
    ) -> Result<Self, PolicyError> {
        if let Some(name) = jurisdiction {
            let state = name.strip_prefix("US-").is_some_and(|state| {
                state.len() == 2 && state.bytes().all(|byte| byte.is_ascii_uppercase())
            });
            if name != "US" && !state {
                return Err(PolicyError::Jurisdiction {
                    name: name.to_owned(),
                });
            }
        }
        let zone = TimeZone::get(zone).map_err(|_| PolicyError::TimeZone {
            name: zone.to_owned(),
        })?;
        for switch in switches {
            check(switch, &rules)?;
        }
        let mut active = Vec::new();
        for pack in &rules.packs {
            let here = pack.jurisdiction == "US" || jurisdiction == Some(&pack.jurisdiction);
            let pack_on = switched(switches, &pack.id).unwrap_or(here && pack.on_by_default);
            for Listed { rule, .. } in &pack.rules {
                let Some(rule) = rule else { continue };
                let shipped = match switched(switches, &pack.id) {
                    Some(on) => on,
                    None => pack_on && rule.status == Status::Active,
                };
                if switched(switches, &rule.id).unwrap_or(shipped) {
                    active.push(rule.clone());
                }
            }
        }
        active.sort_by(|a, b| {
            (a.class, u32::MAX - a.priority, &a.id).cmp(&(b.class, u32::MAX - b.priority, &b.id))
        });
        let packs = active.iter().any(|rule| rule.predicate.is_about_results())
            || jurisdiction.is_none()
            || rules.packs.iter().any(|pack| {
                jurisdiction.is_some_and(|own| own != "US" && own == pack.jurisdiction)
                    && pack.rules.iter().any(|listed| listed.rule.is_none())
            });
        let jurisdiction = jurisdiction.map(str::to_owned);
        let switches = switches.to_vec();
        Ok(Self(Arc::new(Policy {
            jurisdiction,
            zone,
            epoch,
            switches,
            rules,
            active,
            packs,
        })))
    }

    /// `US`, `US-TX`, …; none while unknown.
    #[must_use]
    pub fn jurisdiction(&self) -> Option<&str> {
        self.0.jurisdiction.as_deref()
    }

    /// Where local days begin.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.0.zone
    }

    /// The number of this policy.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.0.epoch
    }

    /// The rules in force, in the order of the stages.
    pub(crate) fn active(&self) -> &[Rule] {
        &self.0.active
    }

    /// An active rule by its id.
    pub(crate) fn rule(&self, id: &str) -> Option<&Rule> {
        self.0.active.iter().find(|rule| rule.id == id)
    }

    /// Whether a rule is in force.
    #[must_use]
    pub fn has_rule(&self, id: &str) -> bool {
        self.rule(id).is_some()
    }

    /// All implemented rules, in force or not.
    pub(crate) fn implemented(&self) -> impl Iterator<Item = &Rule> {
        self.0.rules.implemented()
    }

    /// Rules of the jurisdiction's own law that this engine does not have yet.
    pub(crate) fn unbuilt(&self) -> impl Iterator<Item = &RuleText> {
        let own = self.0.jurisdiction.as_deref();
        let packs = self.0.rules.packs.iter();
        packs
            .filter(move |pack| Some(pack.jurisdiction.as_str()) == own && own != Some("US"))
            .flat_map(|pack| &pack.rules)
            .filter(|listed| listed.rule.is_none())
            .map(|listed| &listed.text)
    }

    /// Whether orders and reports must be looked at for a result: a pack is on, or the
    /// jurisdiction is unknown and an alert may be due.
    pub(crate) fn looks_at_orders(&self) -> bool {
        self.0.packs
    }

    /// The audience-free words for a patient about a rule, in English.
    #[must_use]
    pub fn notice(&self, rule: &str) -> Option<&str> {
        self.rule(rule)?.notice.get("en").map(String::as_str)
    }
}

fn switched(switches: &[PackSwitch], id: &str) -> Option<bool> {
    switches
        .iter()
        .rev()
        .find(|switch| switch.id == id)
        .map(|switch| switch.on)
}

fn check(switch: &PackSwitch, rules: &RuleSet) -> Result<(), PolicyError> {
    let id = &switch.id;
    let pack = rules.packs.iter().find(|pack| pack.id == *id);
    let listed = rules
        .packs
        .iter()
        .flat_map(|pack| &pack.rules)
        .find(|one| one.text.id == *id);
    if pack.is_none() && listed.is_none() {
        let known: Vec<&str> = rules.packs.iter().map(|pack| pack.id.as_str()).collect();
        return Err(PolicyError::UnknownPack {
            id: id.clone(),
            known: known.join(", "),
        });
    }
    if switch
        .signed_by
        .as_deref()
        .is_none_or(|name| name.trim().is_empty())
    {
        return Err(PolicyError::Unsigned { id: id.clone() });
    }
    let missing = pack.into_iter().flat_map(|pack| &pack.rules).chain(listed);
    match missing.into_iter().find(|one| one.rule.is_none()) {
        Some(one) if switch.on => Err(PolicyError::NotImplemented {
            rule: one.text.id.clone(),
        }),
        _ => Ok(()),
    }
}

/// `$release-policy` as a Parameters resource: jurisdiction, time zone, epoch, the sign-offs, and
/// every rule with its basis, effect, longest delay, version and effective dates. Rules that are not
/// in force are listed with the reason.
#[must_use]
pub fn policy_summary(context: &PolicyContext) -> Value {
    let mut parameters = vec![
        json!({"name": "jurisdiction", "valueCode": context.jurisdiction().unwrap_or("unknown")}),
        json!({
            "name": "timezone",
            "valueString": context.zone().iana_name().unwrap_or("UTC"),
        }),
        json!({"name": "epoch", "valueString": context.epoch().to_string()}),
    ];
    for switch in &context.0.switches {
        let mut part = vec![
            json!({"name": "id", "valueString": switch.id}),
            json!({"name": "on", "valueBoolean": switch.on}),
        ];
        if let Some(name) = &switch.signed_by {
            part.push(json!({"name": "signedBy", "valueString": name}));
        }
        parameters.push(json!({"name": "switch", "part": part}));
    }
    for pack in &context.0.rules.packs {
        for listed in &pack.rules {
            parameters.push(json!({"name": "rule", "part": summary(context, &pack.id, listed)}));
        }
    }
    json!({"resourceType": "Parameters", "parameter": parameters})
}

fn summary(context: &PolicyContext, pack: &str, listed: &Listed) -> Vec<Value> {
    let text = &listed.text;
    let state = match &listed.rule {
        None => "not-implemented",
        Some(rule) if context.rule(&rule.id).is_some() => "active",
        Some(_) if text.status == "scheduled" => "scheduled",
        Some(_) => "off",
    };
    let path = text.legal_basis.ib_path.as_deref().unwrap_or("none");
    let mut part = vec![
        json!({"name": "id", "valueString": text.id}),
        json!({"name": "title", "valueString": text.title}),
        json!({"name": "state", "valueCode": state}),
        json!({"name": "pack", "valueString": pack}),
        json!({"name": "version", "valuePositiveInt": text.version}),
        json!({"name": "jurisdiction", "valueCode": text.jurisdiction}),
        json!({"name": "basis", "valueString": text.legal_basis.cite}),
        json!({"name": "ibPath", "valueString": path}),
        json!({"name": "effect", "valueCode": text.effect.replace('_', "-")}),
    ];
    let mut add = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            part.push(json!({"name": name, "valueString": value}));
        }
    };
    let until = text.until.as_ref();
    add(
        "until",
        until.and_then(|until| until.calc.as_ref().or(until.condition.as_ref())),
    );
    add("longestDelay", text.max_duration.as_ref());
    add("scope", text.scope.as_ref());
    add("renewal", text.renewal.as_ref());
    add("owner", text.owner.as_ref());
    add("notice", text.notice_text.get("en"));
    for who in &text.overridable_by {
        add("overridableBy", Some(who));
    }
    for signature in &text.signatures {
        add("signature", Some(signature));
    }
    for test in &text.tests {
        add("test", Some(test));
    }
    part.push(json!({"name": "reviewable", "valueBoolean": text.reviewable}));
    let (from, to) = &text.effective;
    let mut period = serde_json::Map::new();
    if let Some(from) = from {
        period.insert("start".to_owned(), json!(from));
    }
    if let Some(to) = to {
        period.insert("end".to_owned(), json!(to));
    }
    if !period.is_empty() {
        part.push(json!({"name": "effective", "valuePeriod": period}));
    }
    part
}
