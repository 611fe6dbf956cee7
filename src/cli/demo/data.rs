//! The demonstration's record, with its times moved to now.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::{Millis, instant};
use crate::fhir::definitions::definitions;
use crate::store::{Method, Op, Origin, Outcome, Store};

/// `fhir-profiles/demo`, in the order of loading.
const BUNDLES: &[(&str, &str)] = &[
    (
        "hospital.json",
        include_str!("../../../fhir-profiles/demo/hospital.json"),
    ),
    (
        "ana.json",
        include_str!("../../../fhir-profiles/demo/ana.json"),
    ),
    (
        "others.json",
        include_str!("../../../fhir-profiles/demo/others.json"),
    ),
];

/// Who wrote it all.
const HOSPITAL: &str = "Organization/bluegrass";

/// Writes everything, each bundle in one transaction, held to the same rules as any other write.
///
/// # Errors
/// When the store refuses something, which a test sees first.
pub async fn load(store: &Store) -> anyhow::Result<()> {
    let now = store.clock().now();
    for (name, text) in BUNDLES {
        let mut bundle: Value = serde_json::from_str(text).context(*name)?;
        set_times(&mut bundle, now).context(*name)?;
        let entries = bundle.get_mut("entry").map(Value::take);
        let Some(Value::Array(entries)) = entries else {
            bail!("{name} has no entries");
        };
        let ops = entries
            .into_iter()
            .map(op)
            .collect::<anyhow::Result<Vec<Op>>>()
            .context(*name)?;
        let outcomes = store.write(Origin::Api, ops).await.context(*name)?;
        let said = provenance(&outcomes, now)?;
        store.write(Origin::Api, said).await.context(*name)?;
    }
    Ok(())
}

/// Where it all comes from: for each record one Provenance, and one for what is in nobody's. Who has
/// `_revinclude=Provenance:target` in a query finds it for every resource.
fn provenance(outcomes: &[Outcome], now: Millis) -> anyhow::Result<Vec<Op>> {
    let type_id = definitions()
        .type_id("Provenance")
        .context("Provenance is no resource type")?;
    let mut records: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for outcome in outcomes {
        let name = definitions().type_name(outcome.type_id);
        let target = json!({"reference": format!("{name}/{}", outcome.id)});
        records.entry(outcome.patient).or_default().push(target);
    }
    let coding = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let agent = |system: &str, code: &str| json!({"type": coding(system, code), "who": {"reference": HOSPITAL}});
    let agents = json!([
        agent(
            "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
            "author"
        ),
        agent(
            "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type",
            "transmitter",
        ),
    ]);
    let ops = records.into_values().map(|targets| {
        let id = Uuid::new_v4().to_string();
        Op {
            type_id,
            resource: Some(json!({
                "resourceType": "Provenance", "id": id, "target": targets,
                "recorded": instant(now), "agent": agents,
            })),
            id,
            method: Method::Put,
            if_match: None,
            must_be_new: true,
        }
    });
    Ok(ops.collect())
}

fn op(mut entry: Value) -> anyhow::Result<Op> {
    let resource = entry
        .get_mut("resource")
        .map(Value::take)
        .context("an entry without a resource")?;
    let text = |name: &str| {
        resource
            .get(name)
            .and_then(Value::as_str)
            .with_context(|| format!("a resource without {name}"))
    };
    let type_name = text("resourceType")?;
    Ok(Op {
        type_id: definitions()
            .type_id(type_name)
            .with_context(|| format!("{type_name} is no resource type"))?,
        id: text("id")?.to_owned(),
        method: Method::Put,
        resource: Some(resource),
        if_match: None,
        must_be_new: false,
    })
}

/// Replaces every `@now-10h`, `@now+13d`, `@today-90d`.
fn set_times(value: &mut Value, now: Millis) -> anyhow::Result<()> {
    match value {
        Value::String(text) => {
            if let Some(offset) = text.strip_prefix("@now") {
                *text = instant(now + milliseconds(offset)?);
            } else if let Some(offset) = text.strip_prefix("@today") {
                let mut date = instant(now + milliseconds(offset)?);
                date.truncate("2026-11-10".len());
                *text = date;
            }
        }
        Value::Array(items) => {
            for item in items {
                set_times(item, now)?;
            }
        }
        Value::Object(object) => {
            for (_, item) in object.iter_mut() {
                set_times(item, now)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// `-10h`, `+13d`, or nothing.
fn milliseconds(offset: &str) -> anyhow::Result<Millis> {
    if offset.is_empty() {
        return Ok(0);
    }
    let number = offset
        .get(..offset.len() - 1)
        .and_then(|number| number.parse::<Millis>().ok())
        .with_context(|| format!("{offset:?} is no offset"))?;
    let unit = match offset.chars().next_back() {
        Some('m') => 60_000,
        Some('h') => 3_600_000,
        Some('d') => 86_400_000,
        _ => bail!("{offset:?} is no offset"),
    };
    Ok(number * unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fhir::validate;

    const T0: Millis = 1_794_322_800_000;

    #[test]
    fn times_follow_the_clock() {
        assert!(set_times(&mut json!(["@now-10 hours"]), T0).is_err());
        let mut value = json!({"a": ["@now-10h", "@now", "@today-90d"], "b": "@now+13d"});
        set_times(&mut value, T0).unwrap();
        assert_eq!(
            value,
            json!({"a": ["2026-11-10T05:00:00.000Z", "2026-11-10T15:00:00.000Z", "2026-08-12"],
                "b": "2026-11-23T15:00:00.000Z"})
        );
    }

    #[test]
    fn the_record_is_valid_fhir() {
        for (name, text) in BUNDLES {
            let mut bundle: Value = serde_json::from_str(text).unwrap();
            set_times(&mut bundle, T0).unwrap();
            assert_eq!(validate::validate(&bundle), [], "{name}");
        }
    }
}
