//! Random small worlds and random queries: SQL against the [`oracle`](super::oracle).

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use super::bed::{BASE, Bed, Doc, Hold, NOW, Rows, pairs, system, type_id, viewer};
use super::oracle::{Eyes, World};
use super::pages::walk;
use crate::fhir::definitions::definitions;
use crate::keys::Keys;
use crate::search::extract::custom::Custom;
use crate::search::extract::units::Canonical;
use crate::search::parse::parse;
use crate::visibility::{ViewerClass, audience};

const DAY: i64 = 86_400_000;
const CODES: &[&str] = &["a", "b", "c"];
const SYSTEMS: &[&str] = &["", "urn:x", "urn:y"];
const PATIENTS: &[&str] = &["p0", "p1", "p2"];
const NAMES: &[&str] = &["Smith", "smyth", "Änder", "an%der"];

/// What one resource is made of.
#[derive(Clone, Debug)]
struct Seed {
    kind: u8,
    patient: usize,
    codes: Vec<(usize, usize)>,
    category: Option<usize>,
    status: Option<usize>,
    days: Vec<(i64, i64)>,
    amounts: Vec<(i64, usize)>,
    encounter: Option<usize>,
    name: usize,
    rendition: Option<usize>,
    hold: Option<(u8, i16, bool)>,
}

fn seed() -> impl Strategy<Value = Seed> {
    (
        0_u8..8,
        0..PATIENTS.len(),
        prop::collection::vec((0..SYSTEMS.len(), 0..CODES.len()), 0..3),
        prop::option::of(0..CODES.len()),
        prop::option::weighted(0.9, prop_oneof![4 => Just(0), 1 => 1..CODES.len()]),
        prop::collection::vec((0_i64..6, 1_i64..3), 0..2),
        prop::collection::vec((0_i64..5, 0..CODES.len()), 0..2),
        prop::option::of(0_usize..4),
        0..NAMES.len(),
        prop::option::weighted(0.2, 0..CODES.len()),
        prop::option::weighted(0.3, (0_u8..3, 0_i16..3, any::<bool>())),
    )
        .prop_map(
            |(
                kind,
                patient,
                codes,
                category,
                status,
                days,
                amounts,
                encounter,
                name,
                rendition,
                hold,
            )| {
                Seed {
                    kind,
                    patient,
                    codes,
                    category,
                    status,
                    days,
                    amounts,
                    encounter,
                    name,
                    rendition,
                    hold,
                }
            },
        )
}

fn world(seeds: &[Seed], keys: &Keys) -> World {
    let mut world = World {
        docs: Vec::new(),
        holds: Vec::new(),
    };
    let mut number = 0;
    let mut add = |kind: &str, id: String, patient: Option<&str>, seed: &Seed, rows: Rows<'_>| {
        number += 1;
        let doc = Doc {
            id: number * 16,
            type_id: type_id(kind),
            fhir_id: id,
            patient: patient.map(str::to_owned),
            updated: NOW - 10 * DAY + (number % 4) * DAY,
            rows: rows.rows,
        };
        if let Some(code) = seed.rendition {
            let mut redacted = Rows::new(keys, kind);
            if kind != "Patient" {
                // Whose it is is never redacted: the patient column and the reference agree.
                redacted = redacted
                    .reference("subject", "Patient", PATIENTS[seed.patient])
                    .reference("patient", "Patient", PATIENTS[seed.patient]);
            }
            if kind == "Observation" {
                redacted = redacted
                    .token("code", "urn:x", CODES[code])
                    .required("status", seed.status.map(|at| CODES[at]))
                    .quantity("value-quantity", 1.0, "urn:x", "a")
                    .code_quantity("code-value-quantity", ("urn:x", CODES[code]), 1.0, "a");
            }
            for rendition in 1..3 {
                world.docs.push(Doc {
                    id: doc.id + rendition,
                    rows: redacted.rows.clone(),
                    ..doc.clone()
                });
            }
        }
        if let Some((audience, shown, is_active)) = seed.hold {
            let audience = [
                audience::PATIENT_SIDE,
                audience::PATIENT,
                audience::CLINICIAN,
            ][usize::from(audience)];
            world.holds.push(Hold {
                doc: doc.id,
                audience,
                starts: 0,
                ends: if is_active { NOW + 1 } else { NOW },
                exempt: 0,
                shown,
            });
        }
        world.docs.push(doc);
    };
    for (at, patient) in PATIENTS.iter().enumerate() {
        let Some(seed) = seeds.get(at) else { break };
        let rows = Rows::new(keys, "Patient")
            .string("name", NAMES[seed.name])
            .token("gender", "urn:x", CODES[seed.patient % 2]);
        add("Patient", (*patient).to_owned(), Some(patient), seed, rows);
    }
    for (at, seed) in seeds.iter().enumerate() {
        let patient = PATIENTS[seed.patient];
        if seed.kind < 2 {
            let mut rows = Rows::new(keys, "Encounter")
                .reference("subject", "Patient", patient)
                .reference("patient", "Patient", patient);
            for (low, width) in &seed.days {
                rows = rows.date("date", low * DAY, (low + width) * DAY);
            }
            if let Some(code) = seed.category {
                rows = rows.token("class", "urn:x", CODES[code]);
            }
            add(
                "Encounter",
                format!("e{}", at % 4),
                Some(patient),
                seed,
                rows,
            );
            continue;
        }
        let mut rows = Rows::new(keys, "Observation")
            .reference("subject", "Patient", patient)
            .reference("patient", "Patient", patient);
        for (system, code) in &seed.codes {
            rows = rows.token("code", SYSTEMS[*system], CODES[*code]);
        }
        if let Some(code) = seed.category {
            rows = rows.token("category", "urn:x", CODES[code]);
        }
        rows = rows.required("status", seed.status.map(|at| CODES[at]));
        // A time of which nothing can be searched or sorted: a Timing without events.
        if seed.days.is_empty() && seed.patient == 1 {
            rows = rows.present("date");
        }
        for (low, width) in &seed.days {
            rows = rows.date("date", low * DAY, (low + width) * DAY);
        }
        for (at, (amount, unit)) in seed.amounts.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let (amount, unit) = (*amount as f64 / 2.0, CODES[*unit]);
            rows = rows.quantity("component-value-quantity", amount, "urn:x", unit);
            // A resource has one value, as a Quantity or, now and then, as SampledData.
            if at > 0 {
                continue;
            }
            rows = rows.quantity("value-quantity", amount, "urn:x", unit);
            for (system, code) in &seed.codes {
                let of = (SYSTEMS[*system], CODES[*code]);
                rows = if seed.patient == 0 {
                    rows.sampled("code-value-quantity", of, amount, unit)
                } else {
                    rows.code_quantity("code-value-quantity", of, amount, unit)
                };
            }
        }
        if let Some(encounter) = seed.encounter {
            rows = rows.reference("encounter", "Encounter", &format!("e{encounter}"));
        }
        add("Observation", format!("o{at}"), Some(patient), seed, rows);
    }
    // The same encounter twice is once, with its renditions: the store has a unique index.
    let mut seen = std::collections::HashSet::new();
    let kept: std::collections::HashSet<i64> = world
        .docs
        .iter()
        .filter(|doc| doc.id & 15 == 0 && seen.insert((doc.type_id, doc.fhir_id.clone())))
        .map(|doc| doc.id)
        .collect();
    world.docs.retain(|doc| kept.contains(&(doc.id & !15)));
    world
}

fn pick(list: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(list).prop_map(str::to_owned)
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => pick(CODES),
        2 => (pick(SYSTEMS), pick(CODES)).prop_map(|(system, code)| format!("{system}|{code}")),
        1 => pick(&["urn:x|", "urn:y|"]),
    ]
}

fn tokens() -> impl Strategy<Value = String> {
    prop::collection::vec(token(), 1..3).prop_map(|list| list.join(","))
}

fn date() -> impl Strategy<Value = String> {
    let prefix = pick(&["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"]);
    (prefix, 1_i64..7).prop_map(|(prefix, day)| format!("{prefix}1970-01-0{day}"))
}

fn amount() -> impl Strategy<Value = String> {
    let prefix = pick(&["", "ne", "gt", "lt", "ge", "le", "sa", "eb"]);
    let unit = prop_oneof![Just(String::new()), pick(&["|urn:x|a", "||b", "|urn:y|a"])];
    (prefix, pick(&["0.5", "1", "1.0", "2.0"]), unit)
        .prop_map(|(prefix, number, unit)| format!("{prefix}{number}{unit}"))
}

fn observation() -> impl Strategy<Value = String> {
    let patients = || prop::collection::vec(pick(PATIENTS), 1..3).prop_map(|list| list.join(","));
    prop_oneof![
        3 => tokens().prop_map(|v| format!("code={v}")),
        2 => tokens().prop_map(|v| format!("category={v}")),
        1 => tokens().prop_map(|v| format!("code:not={v}")),
        2 => prop::collection::vec(pick(CODES), 1..3)
            .prop_map(|list| format!("status:not={}", list.join(","))),
        2 => (pick(CODES), pick(&["", "gt", "ge", "lt", "le", "ne"]), pick(&["0", "0.5", "1.5"]))
            .prop_map(|(code, prefix, number)| format!("code-value-quantity={code}${prefix}{number}")),
        2 => date().prop_map(|v| format!("date={v}")),
        2 => amount().prop_map(|v| format!("value-quantity={v}")),
        3 => patients().prop_map(|v| format!("patient={v}")),
        1 => patients().prop_map(|v| format!("subject={v}")),
        1 => (0..4).prop_map(|at| format!("encounter=e{at}")),
        1 => (0..30).prop_map(|at| format!("_id=o{at},o3,o4")),
        1 => pick(&["code", "category", "date", "value-quantity", "encounter"])
            .prop_flat_map(|code| any::<bool>().prop_map(move |is| format!("{code}:missing={is}"))),
        1 => pick(&["lt2026-12", "gt2027-01-07", "2027-01-06", "ne2027-01-06"])
            .prop_map(|v| format!("_lastUpdated={v}")),
        1 => pick(PATIENTS).prop_map(|v| format!("subject:Patient._id={v}")),
        1 => pick(&["smi", "s", "A", "an%"]).prop_map(|v| format!("patient.name={v}")),
        1 => pick(&["my", "%", "N"]).prop_map(|v| format!("subject.name:contains={v}")),
        1 => pick(CODES).prop_map(|v| format!("patient.gender={v}")),
        1 => tokens().prop_map(|v| format!("encounter.class={v}")),
        1 => date().prop_map(|v| format!("encounter.date={v}")),
        1 => pick(&["smi", "A"]).prop_map(|v| format!("encounter.patient.name={v}")),
    ]
}

fn patient() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => pick(&["smi", "S", "an%"]).prop_map(|v| format!("name={v}")),
        1 => pick(NAMES).prop_map(|v| format!("name:exact={v}")),
        1 => tokens().prop_map(|v| format!("gender={v}")),
        2 => observation().prop_map(|q| format!("_has:Observation:patient:{q}")),
        1 => observation().prop_map(|q| format!("_has:Observation:subject:{q}")),
        1 => tokens().prop_map(|v| format!("_has:Encounter:patient:class={v}")),
        1 => tokens().prop_map(|v| {
            format!("_has:Encounter:patient:_has:Observation:encounter:code={v}")
        }),
    ]
}

fn encounter() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => tokens().prop_map(|v| format!("class={v}")),
        1 => date().prop_map(|v| format!("date={v}")),
        2 => observation().prop_map(|q| format!("_has:Observation:encounter:{q}")),
        1 => pick(PATIENTS).prop_map(|v| format!("patient={v}")),
    ]
}

fn query() -> impl Strategy<Value = (&'static str, String)> {
    let join = |parts: Vec<String>| parts.join("&").replace('%', "%25");
    prop_oneof![
        5 => prop::collection::vec(observation(), 0..4).prop_map(move |q| ("Observation", join(q))),
        2 => prop::collection::vec(patient(), 0..3).prop_map(move |q| ("Patient", join(q))),
        1 => prop::collection::vec(encounter(), 0..3).prop_map(move |q| ("Encounter", join(q))),
    ]
}

/// Many queries on each of a few worlds: a world costs more than a query.
async fn compare(bed: &Bed, runner: &mut TestRunner, queries: usize) -> usize {
    let mut matched = 0;
    let seeds = prop::collection::vec(seed(), 20..40)
        .new_tree(runner)
        .unwrap()
        .current();
    let world = world(&seeds, bed.store.keys());
    bed.insert(&world.docs, &world.holds).await;
    let p0 = bed.store.keys().reference("Patient", "p0");
    let audiences = [audience::PATIENT_SIDE, audience::PATIENT, p0];
    let clinicians = [audience::CLINICIAN];
    let viewers = [
        (system(), None),
        (
            viewer(ViewerClass::Patient, Some("p0"), "patient/*.rs"),
            Some((&audiences[..], Some("p0"))),
        ),
        (
            viewer(ViewerClass::Clinician, None, "user/*.rs"),
            Some((&clinicians[..], None)),
        ),
    ];
    for _ in 0..queries {
        let (kind, query) = query().new_tree(runner).unwrap().current();
        let (_, parsed) = parse(
            Some(type_id(kind)),
            &pairs(&query),
            true,
            BASE,
            &Custom::default(),
        )
        .unwrap();
        for (who, holds) in &viewers {
            let eyes = Eyes {
                keys: bed.store.keys(),
                now: NOW,
                holds: *holds,
            };
            let expected: Vec<String> = world
                .matches(&eyes, type_id(kind), &parsed.conditions)
                .iter()
                .map(|id| {
                    world
                        .docs
                        .iter()
                        .find(|d| d.id == *id)
                        .unwrap()
                        .fhir_id
                        .clone()
                })
                .collect();
            matched += usize::from(!expected.is_empty());
            let whole = format!("_count=7&{query}");
            let found = walk(bed, who, kind, &whole).await.concat();
            assert_eq!(
                found,
                expected,
                "{:?} {}: {kind}?{query}\n{world:#?}",
                bed.store.backend(),
                who.class.name()
            );
            let orders: &[&str] = match kind {
                "Patient" => &["_lastUpdated", "-_lastUpdated,_id", "name,-_id"],
                "Encounter" => &["date", "-date", "date,-_lastUpdated", "-_lastUpdated,date"],
                _ => &[
                    "-_lastUpdated",
                    "_lastUpdated,_id",
                    "date",
                    "-date",
                    "date,_lastUpdated",
                    "-date,value-quantity",
                    "date,-value-quantity,-_lastUpdated",
                    "_lastUpdated,-date",
                    "value-quantity",
                    "-value-quantity,date",
                    "component-value-quantity",
                    "-component-value-quantity,date",
                ],
            };
            for order in orders {
                let sorted = format!("_count=5&{query}&_sort={order}");
                let mut sorted = walk(bed, who, kind, &sorted).await.concat();
                if let Some(same) = in_order(&world, &eyes, kind, &parsed.conditions, order) {
                    assert_eq!(sorted, same, "{kind}?{query} in the order of {order}");
                }
                sorted.sort_unstable();
                let mut same = expected.clone();
                same.sort_unstable();
                assert_eq!(sorted, same, "{kind}?{query} sorted by {order}");
            }
            let counted = bed
                .search(who, kind, &format!("_summary=count&{query}"))
                .await
                .unwrap();
            assert_eq!(counted.total, i64::try_from(expected.len()).ok());
        }
    }
    matched
}

/// The matches in their order, where all keys are such that an index may be walked for them.
fn in_order(
    world: &World,
    eyes: &Eyes<'_>,
    kind: &str,
    conditions: &[crate::search::query::Condition],
    order: &str,
) -> Option<Vec<String>> {
    let keys: Vec<(&str, bool)> = order
        .split(',')
        .map(|key| match key.strip_prefix('-') {
            Some(by) => (by, true),
            None => (key, false),
        })
        .collect();
    let kind = type_id(kind);
    let canonical = Canonical::system(eyes.keys);
    let mut found: Vec<(Vec<f64>, i64, String)> = Vec::new();
    for id in world.matches(eyes, kind, conditions) {
        let doc = world.docs.iter().find(|doc| doc.id == id)?;
        let mut own = Vec::new();
        for (by, descending) in &keys {
            #[expect(clippy::cast_precision_loss, reason = "times lie within 2^53 ms")]
            let values: Vec<f64> = match *by {
                "_lastUpdated" => vec![doc.updated as f64],
                "date" => doc.rows.dates.iter().map(|row| row.low as f64).collect(),
                "value-quantity" | "component-value-quantity" => {
                    let observation = definitions().type_id("Observation")?;
                    let own = definitions().search_param(observation, by)?.id;
                    let written = doc.rows.quantities.iter();
                    let written = written.filter(|row| row.param == own && row.system != canonical);
                    written.map(|row| row.low).collect()
                }
                _ => return None,
            };
            // What has none is last either way.
            own.push(
                values
                    .into_iter()
                    .map(|value| if *descending { -value } else { value })
                    .min_by(f64::total_cmp)
                    .unwrap_or(f64::INFINITY),
            );
        }
        let (_, descending) = keys.last()?;
        let id = if *descending { -id } else { id };
        found.push((own, id, doc.fhir_id.clone()));
    }
    found.sort_by(|(one, id, _), (other, other_id, _)| {
        let keys = one.iter().zip(other).map(|(a, b)| a.total_cmp(b));
        keys.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
            .then(id.cmp(other_id))
    });
    Some(found.into_iter().map(|(_, _, name)| name).collect())
}

#[tokio::test]
async fn plans_mean_what_the_query_says() {
    let mut runner = TestRunner::new(Config::default());
    let mut matched = 0;
    for _ in 0..6 {
        matched += compare(&Bed::sqlite().await, &mut runner, 50).await;
    }
    assert!(
        matched > 150,
        "only {matched} of 900 searches found anything"
    );
    if let Some(bed) = Bed::postgres().await {
        compare(&bed, &mut runner, 50).await;
    }
}
