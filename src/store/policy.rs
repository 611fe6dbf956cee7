//! The policy in force, and answers about single decisions.

use sea_orm::ConnectionTrait;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::decide::Decider;
use super::holds::{self, HoldRow};
use super::ledger::{self, NewEntry};
use super::record::{audience_name, ledger_body};
use super::write::Origin;
use super::{Store, StoreError, apply, current};
use crate::clock::{self, Millis};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::outcome::Issue;
use crate::release::{Audience, PackSwitch, PolicyContext, PolicyError, policy_summary};
use crate::sql::Sql;
use crate::visibility::Visibility;

/// Raised when the engine decides otherwise than before under the same policy: then everything is decided
/// again at the next start.
const ENGINE: u32 = 5;

/// `[release]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySettings {
    /// `US`, `US-KY`, …; None while unknown.
    pub jurisdiction: Option<String>,
    /// IANA name of the zone in which local days are counted.
    pub timezone: String,
    pub switches: Vec<PackSwitch>,
}

impl PolicySettings {
    fn context(&self, epoch: i64) -> Result<PolicyContext, PolicyError> {
        PolicyContext::new(
            self.jurisdiction.as_deref(),
            &self.timezone,
            &self.switches,
            epoch,
        )
    }
}

/// Why a policy could not come into force.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A setting or a rule is wrong; the message says which and why.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Resources decided again in one transaction when the policy changes.
const BATCH: u32 = 200;
/// The notice of a rule that has none: that something is held back is said all the same.
const UNSAID: &str = "";

impl Store {
    /// Puts a policy into force. If it differs from the one that the database was decided under,
    /// that is an event in the ledger, and everything stored is decided again; `progress` hears
    /// how many resources are done. Answers whether anything had to be.
    pub async fn adopt_policy(
        &self,
        settings: &PolicySettings,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<bool, AdoptError> {
        let build = |epoch| settings.context(epoch);
        let fingerprint = self.fingerprint(settings)?;
        let standing = self.meta("policy").await?;
        let standing = standing.as_deref().and_then(|text| text.split_once(' '));
        let epoch: i64 = standing
            .and_then(|(epoch, _)| epoch.parse().ok())
            .unwrap_or(0);
        // A change that was interrupted before everything was decided again has no third word.
        if standing.is_some_and(|(_, rest)| rest == format!("{fingerprint} done")) {
            self.set_policy(build(epoch)?);
            return Ok(false);
        }
        let context = build(epoch + 1)?;
        let tx = self.begin().await?;
        self.set_meta(
            tx.connection(),
            "policy",
            &format!("{} {fingerprint}", epoch + 1),
        )
        .await?;
        let entry = NewEntry {
            kind: "policy",
            subject: 0,
            body: policy_summary(&context),
        };
        ledger::append(tx.connection(), self.clock().now(), vec![entry]).await?;
        tx.commit().await.map_err(StoreError::from)?;
        self.set_policy(context);
        self.decide_everything(progress).await?;
        let tx = self.begin().await?;
        self.set_meta(
            tx.connection(),
            "policy",
            &format!("{} {fingerprint} done", epoch + 1),
        )
        .await?;
        tx.commit().await.map_err(StoreError::from)?;
        Ok(true)
    }

    /// Whether these are the settings that everything stored was decided under; None while it was
    /// decided under none. For commands that must not change the policy under a running server.
    pub async fn stands_under(
        &self,
        settings: &PolicySettings,
    ) -> Result<Option<bool>, AdoptError> {
        let fingerprint = self.fingerprint(settings)?.to_string();
        let standing = self.meta("policy").await?;
        // `epoch fingerprint`, and `done` once everything was decided.
        Ok(standing.map(|text| text.split(' ').nth(1) == Some(&fingerprint)))
    }

    fn fingerprint(&self, settings: &PolicySettings) -> Result<i64, PolicyError> {
        let summary = policy_summary(&settings.context(0)?);
        Ok(self.keys().text(&format!("{ENGINE} {summary}")))
    }

    async fn decide_everything(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<(), StoreError> {
        let mut after = 0_i64;
        let mut done = 0_u64;
        loop {
            let tx = self.begin().await?;
            let on = tx.connection();
            self.settle(on).await?;
            let mut sql = Sql::default();
            let (from, count) = (sql.bind(after), sql.bind(i64::from(BATCH)));
            sql.text = format!(
                "SELECT id, patient FROM resource WHERE id > {from} AND rendition = 0 AND deleted = 0 \
                 ORDER BY id LIMIT {count}"
            );
            let rows = on.query_all_raw(sql.statement(self.backend())).await?;
            let mut docs = Vec::with_capacity(rows.len());
            let mut patients = Vec::new();
            for row in &rows {
                docs.push(row.try_get_by_index::<i64>(0)?);
                patients.push(row.try_get_by_index::<i64>(1)?);
            }
            let Some(last) = docs.last() else {
                return Ok(());
            };
            after = *last;
            done += docs.len() as u64;
            apply::lock_all(on, patients.clone()).await?;
            let now = self.clock().now();
            let entries = Decider::new(self, on, Origin::Feed, now)
                .with_locks(&patients)
                .again(docs)
                .await?;
            ledger::append(on, now, entries).await?;
            tx.commit().await?;
            progress(done);
        }
    }

    /// `$release-policy`: see [`policy_summary`].
    #[must_use]
    pub fn release_policy(&self) -> Value {
        policy_summary(&self.policy())
    }

    /// `[type]/[id]/$release-decision`: the decision about a resource for a viewer (`patient`,
    /// `representative`, `clinician`, `payer`, `researcher`, `other`, or a reference such as
    /// `RelatedPerson/x`), the rules that matched, their evidence and the ledger's entries, as a
    /// Parameters resource.
    pub async fn release_decision(
        &self,
        type_id: TypeId,
        id: &str,
        viewer: &str,
    ) -> Result<Value, StoreError> {
        let audiences = audiences_of(viewer).ok_or_else(|| {
            let text = "viewer: expected patient, representative, clinician, payer, researcher, \
                        other, or a reference to a RelatedPerson, Practitioner, Organization or Device";
            StoreError::refused(400, Issue::error("value", text))
        })?;
        let now = self.clock().now();
        let type_name = definitions().type_name(type_id);
        let reference = format!("{type_name}/{id}");
        let key = self.keys().reference(type_name, id);
        // Never committed: the engine runs on the same facts as a write would gather.
        let tx = self.begin().await?;
        let found = current::load(tx.connection(), &[key], false).await?;
        let current = found.get(&key).ok_or(StoreError::NotFound)?;
        let value = current.value()?.ok_or(StoreError::Gone)?;
        let mut rows = holds::load(tx.connection(), &[], &[current.doc], &[]).await?;
        rows.retain_mut(|row| {
            let told = row.audience.told();
            told.map(|audience| row.audience = audience).is_some()
        });
        let decision = Decider::new(self, tx.connection(), Origin::Feed, now)
            .look(current, &value, &reference)
            .await?;
        drop(tx);

        let active: Vec<&HoldRow> = rows
            .iter()
            .filter(|row| row.starts <= now && row.ends > now)
            .filter(|row| audiences.contains(&row.audience))
            .filter(|row| row.exempt.as_deref() != Some(viewer))
            .collect();
        let until = active.iter().map(|row| row.ends).max();
        let outcome = outcome_code(&active);
        let mut parameters = vec![
            json!({"name": "target", "valueReference": {"reference": reference}}),
            json!({"name": "version", "valueString": current.version.to_string()}),
            json!({"name": "viewer", "valueString": viewer}),
            json!({"name": "at", "valueInstant": clock::instant(now)}),
            json!({"name": "outcome", "valueCode": outcome}),
        ];
        if let Some(until) = until.filter(|until| *until != clock::FOREVER) {
            parameters.push(json!({"name": "until", "valueInstant": clock::instant(until)}));
        }
        if let Some(mode) = active.iter().map(|row| row.mode).max() {
            parameters.push(json!({"name": "visibility", "valueCode": mode_code(mode)}));
        }
        let mut rules: Vec<&str> = active
            .iter()
            .flat_map(|row| row.rules.iter().map(String::as_str))
            .collect();
        rules.sort_unstable();
        rules.dedup();
        if rules.is_empty() {
            rules.push("R00-RELEASE");
        }
        parameters.extend(
            rules
                .iter()
                .map(|rule| json!({"name": "rule", "valueString": rule})),
        );
        for row in &rows {
            parameters.push(json!({"name": "hold", "part": [
                {"name": "audience", "valueString": audience_name(&row.audience)},
                {"name": "visibility", "valueCode": mode_code(row.mode)},
                {"name": "effect", "valueCode": if row.shown == 0 { "withhold" } else { "redact" }},
                {"name": "until", "valueInstant": clock::instant(row.ends)},
                {"name": "rules", "valueString": row.rules.join(" ")},
            ]}));
        }
        let context = self.policy();
        let body = ledger_body(&reference, current, &decision, &context);
        for note in body
            .get("notes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |name: &str| note.get(name).cloned().unwrap_or_default();
            let mut part = vec![
                json!({"name": "kind", "valueCode": text("kind")}),
                json!({"name": "rule", "valueString": text("rule")}),
                json!({"name": "basis", "valueString": text("basis")}),
                json!({"name": "ibPath", "valueString": text("ibPath")}),
            ];
            if text("detail")
                .as_str()
                .is_some_and(|detail| !detail.is_empty())
            {
                part.push(json!({"name": "detail", "valueString": text("detail")}));
            }
            for one in text("evidence").as_array().into_iter().flatten() {
                part.push(json!({"name": "evidence", "valueReference": {"reference": one}}));
            }
            parameters.push(json!({"name": "note", "part": part}));
        }
        if let Some(at) = decision.finalized_at {
            parameters.push(json!({"name": "finalizedAt", "valueInstant": clock::instant(at)}));
        }
        parameters.push(json!({"name": "policyEpoch", "valueString": context.epoch().to_string()}));
        let mut entries = self.ledger_about(current.doc, 20).await?;
        if entries.is_empty() {
            let first = self.ledger_at(current.updated).await?;
            let wanted = format!("\"{reference}/_history/{}\"", current.version);
            entries.extend(
                first
                    .into_iter()
                    .filter(|entry| entry.body.contains(&wanted)),
            );
        }
        for entry in entries {
            parameters.push(json!({"name": "ledger", "part": [
                {"name": "seq", "valueString": entry.seq.to_string()},
                {"name": "at", "valueInstant": clock::instant(entry.at)},
                {"name": "kind", "valueCode": entry.kind},
                {"name": "hash", "valueString": entry.hash},
            ]}));
        }
        Ok(json!({"resourceType": "Parameters", "parameter": parameters}))
    }

    /// What may be said, in the aggregate, about that which is held back from the viewer (`notice` or
    /// `pending`, never `conceal`): the words of each rule in force, each once, whatever it holds and
    /// however much. Empty: nothing is.
    pub async fn notices(&self, visibility: &Visibility) -> Result<Vec<String>, StoreError> {
        let mut sql = Sql::default();
        let Some(predicate) = visibility.notice_predicate(&mut sql) else {
            return Ok(Vec::new());
        };
        sql.text = format!("SELECT DISTINCT h.detail FROM hold h WHERE {predicate}");
        let rows = self
            .reader()
            .query_all_raw(sql.statement(self.backend()))
            .await?;
        let policy = self.policy();
        let mut words = BTreeSet::new();
        for row in rows {
            let detail: String = row.try_get_by_index(0)?;
            let detail: Value =
                serde_json::from_str(&detail).map_err(|_| StoreError::Corrupt("hold.detail"))?;
            let rules = detail.get("rules").and_then(Value::as_array);
            for rule in rules.into_iter().flatten().filter_map(Value::as_str) {
                let notice = policy.notice(rule).unwrap_or(UNSAID);
                words.insert(notice.to_owned());
            }
        }
        Ok(words.into_iter().collect())
    }

    async fn ledger_at(&self, at: Millis) -> Result<Vec<super::LedgerEntry>, StoreError> {
        Ok(self
            .ledger_page(Some(at), 0, 50)
            .await?
            .into_iter()
            .filter(|one| one.at == at)
            .collect())
    }
}

fn outcome_code(active: &[&HoldRow]) -> &'static str {
    if active.is_empty() {
        "release"
    } else if active.iter().any(|row| row.shown == 0) {
        let timed = active
            .iter()
            .filter(|row| row.shown == 0)
            .all(|row| row.mode == crate::release::Mode::Pending && row.ends != clock::FOREVER);
        if timed { "delay" } else { "withhold" }
    } else {
        "redact"
    }
}

fn mode_code(mode: crate::release::Mode) -> &'static str {
    match mode {
        crate::release::Mode::Pending => "pending",
        crate::release::Mode::Notice => "notice",
        crate::release::Mode::Conceal => "conceal",
    }
}

/// The audiences that a viewer named in `$release-decision` belongs to; the same as
/// [`Visibility::of`] gives that viewer.
fn audiences_of(viewer: &str) -> Option<Vec<Audience>> {
    use Audience as A;
    Some(match viewer {
        "patient" => vec![A::PatientSide, A::Patient],
        "representative" => vec![A::PatientSide, A::Representatives],
        "clinician" => vec![A::Clinicians],
        "payer" => vec![A::Payers],
        "researcher" => vec![A::Researchers],
        "other" => vec![A::ThirdParties],
        reference => {
            let (type_name, id) = reference.split_once('/')?;
            if id.is_empty() {
                return None;
            }
            let one = A::One(reference.to_owned());
            match type_name {
                "Patient" => vec![A::PatientSide, A::Patient, one],
                "RelatedPerson" => vec![A::PatientSide, A::Representatives, one],
                "Practitioner" => vec![A::Clinicians, one],
                "Organization" => vec![A::ThirdParties, one],
                "Device" => vec![A::PatientSide, A::Patient, one],
                _ => return None,
            }
        }
    })
}
