//! R01 and R02: psychotherapy notes are outside EHI, and nothing else is.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fixtures::{ACT_CODE, Chart, link};
use crate::report::Report;
use crate::world::Who;
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    attested(worlds, report).await;
    parts(worlds, report).await;
    changes(worlds, report).await;
}

async fn attested(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "6 an attested psychotherapy note is absent, the ledger says not_ehi",
            async {
                let (world, chart) = worlds.chart("US", "c6").await?;
                let note = chart.psychotherapy_note("note");
                let ordinary = chart.note("ordinary", "11506-3");
                world.put_all(&[note.clone(), ordinary.clone()]).await?;
                world.expect(&chart.patient(), &note, false).await?;
                world.expect(&chart.patient(), &ordinary, true).await?;
                world.expect(&Who::Feed, &note, true).await?;
                let ledger = world.ledger().await?;
                ensure!(ledger.contains("not_ehi"), "the ledger has no not_ehi");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "7 reading it by its id looks like reading a random one",
            async {
                let (world, chart) = worlds.chart("US", "c7").await?;
                let mut note = chart.psychotherapy_note("note");
                note["id"] = json!(uuid::Uuid::new_v4().to_string());
                world.put(&note).await?;
                world.expect(&chart.patient(), &note, false).await
            },
        )
        .await;
    report
        .case(
            "release",
            "6b attested Composition, DiagnosticReport, ClinicalImpression",
            async {
                let (world, chart) = worlds.chart("US", "c6b").await?;
                let mut impression = json!({
                    "resourceType": "ClinicalImpression", "id": chart.id("impression"),
                    "status": "completed", "subject": chart.subject(), "summary": "Of the session",
                });
                impression["date"] = json!("2026-11-10T15:00:00Z");
                let all = [
                    chart.attested(chart.composition("composition", &[("Session", "Words")])),
                    chart.attested(chart.lab("report", "11502-2", "2026-11-10T15:00:00Z")),
                    chart.attested(impression),
                ];
                world.put_all(&all).await?;
                for note in &all {
                    world.expect(&chart.patient(), note, false).await?;
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "6c others need an authorization; the author does not",
            async {
                let (world, chart) = worlds.chart("US", "c6c").await?;
                let [related, permit] = chart.proxy("sam");
                let note = chart.psychotherapy_note("note");
                world.put_all(&[related, permit, note.clone()]).await?;
                world
                    .expect(&chart.representative("sam"), &note, false)
                    .await?;
                world
                    .expect(&Who::Payer("plan".to_owned()), &note, false)
                    .await?;
                for (who, there) in [("md", false), ("psy", true)] {
                    let clinician = Who::Clinician(chart.id(who));
                    let path = format!("DocumentReference/{}", chart.id("note"));
                    let read = world.get(&clinician, &path).await?;
                    let status = read.status.as_u16();
                    ensure!((status == 200) == there, "{who} reads the note: {status}");
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "9b what refers to the note keeps nothing of it",
            async {
                let (world, chart) = worlds.chart("US", "c9b").await?;
                let note = chart.psychotherapy_note("note");
                let list = json!({
                    "resourceType": "List", "id": chart.id("list"), "status": "current",
                    "mode": "working", "subject": chart.subject(),
                    "entry": [{"item": link(&note)}, {"item": chart.to("Encounter", "visit")}],
                });
                let provenance = chart.provenance("prov", &note);
                world
                    .put_all(&[note.clone(), list.clone(), provenance.clone()])
                    .await?;
                let seen = world.read(&chart.patient(), &list).await?;
                ensure!(
                    !seen.to_string().contains(&chart.id("note")),
                    "the List names the note"
                );
                ensure!(
                    seen["entry"].as_array().map(Vec::len) == Some(1),
                    "other entries went too"
                );
                world.expect(&chart.patient(), &list, true).await?;
                world.expect(&chart.patient(), &provenance, false).await?;
                let hits = world
                    .found(
                        &chart.patient(),
                        &format!("List?item=DocumentReference/{}", chart.id("note")),
                    )
                    .await?;
                ensure!(hits.is_empty(), "List?item finds {hits:?}");
                Ok(())
            },
        )
        .await;
}

/// One part of what makes a psychotherapy note is missing: it is an ordinary note.
async fn parts(worlds: &Worlds, report: &mut Report) {
    let drop = |part: &'static str| {
        move |_: &Chart, note: &mut Value| {
            if let Some(parts) = note["extension"][0]["extension"].as_array_mut() {
                parts.retain(|one| one["url"] != part);
            }
        }
    };
    let deny = |part: &'static str| {
        move |_: &Chart, note: &mut Value| {
            if let Some(parts) = note["extension"][0]["extension"].as_array_mut() {
                for one in parts.iter_mut().filter(|one| one["url"] == part) {
                    one["valueBoolean"] = json!(false);
                }
            }
        }
    };
    let author = |name: &'static str| {
        move |chart: &Chart, note: &mut Value| {
            if let Some(parts) = note["extension"][0]["extension"].as_array_mut() {
                for one in parts.iter_mut().filter(|one| one["url"] == "author") {
                    one["valueReference"] = chart.to("Practitioner", name);
                }
            }
        }
    };
    type Change<'a> = Box<dyn Fn(&Chart, &mut Value) + 'a>;
    let changes: Vec<(&str, Change<'_>)> = vec![
        (
            "no attestation, only the label and a title",
            Box::new(|_, note| {
                note["description"] = json!("Psychotherapy note");
                if let Some(object) = note.as_object_mut() {
                    object.remove("extension");
                }
            }),
        ),
        ("no author", Box::new(drop("author"))),
        ("no sessionAnalysis", Box::new(drop("sessionAnalysis"))),
        ("no separatelyStored", Box::new(drop("separatelyStored"))),
        ("no attestedAt", Box::new(drop("attestedAt"))),
        ("sessionAnalysis false", Box::new(deny("sessionAnalysis"))),
        ("separatelyStored false", Box::new(deny("separatelyStored"))),
        (
            "author without a mental-health qualification",
            Box::new(author("sw")),
        ),
        ("author a doctor of medicine", Box::new(author("md"))),
        (
            "author without any qualification",
            Box::new(author("clerk")),
        ),
    ];
    for (number, (name, change)) in changes.iter().enumerate() {
        report
            .case("release", &format!("8 released: {name}"), async {
                let (world, chart) = worlds.chart("US", &format!("c8-{number}")).await?;
                let mut note = chart.psychotherapy_note("note");
                change(&chart, &mut note);
                world.put(&note).await?;
                world.expect(&chart.patient(), &note, true).await?;
                let ledger = world.ledger().await?;
                ensure!(
                    about(&ledger, &chart.id("note")).contains("psy_claim_unsupported")
                        || ledger.contains("psy_claim_unsupported"),
                    "the ledger does not say psy_claim_unsupported"
                );
                Ok(())
            })
            .await;
    }
    report
        .case(
            "release",
            "8b without the label the attestation does not withhold",
            async {
                let (world, chart) = worlds.chart("US", "c8b").await?;
                let mut note = chart.psychotherapy_note("note");
                note["meta"] = json!({"tag": [{"system": "urn:x", "code": "y"}]});
                world.put(&note).await?;
                world.expect(&chart.patient(), &note, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "6d the author named by a PractitionerRole",
            async {
                let (world, chart) = worlds.chart("US", "c6d").await?;
                let role = json!({
                    "resourceType": "PractitionerRole", "id": chart.id("role"),
                    "practitioner": chart.to("Practitioner", "psy"),
                });
                let mut note = chart.psychotherapy_note("note");
                note["extension"][0]["extension"][0]["valueReference"] = link(&role);
                world.put_all(&[role, note.clone()]).await?;
                world.expect(&chart.patient(), &note, false).await
            },
        )
        .await;
    report
        .case(
            "release",
            "8c the attestation on a type that can be no note",
            async {
                let (world, chart) = worlds.chart("US", "c8c").await?;
                let lab = chart.attested(chart.observation("lab", "718-7", 12.0));
                let visit = chart.attested(chart.visit("therapy", "psy"));
                let medicine = chart.attested(chart.medication_request("rx"));
                let all = [lab, visit, medicine];
                world.put_all(&all).await?;
                for resource in &all {
                    world.expect(&chart.patient(), resource, true).await?;
                }
                Ok(())
            },
        )
        .await;
}

/// Attested later, un-attested later, and the author's qualification learnt later.
async fn changes(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "6e attested by an update: the older version goes as well",
            async {
                let (world, chart) = worlds.chart("US", "c6e").await?;
                let plain = chart.note("note", "11506-3");
                world.put(&plain).await?;
                world.expect(&chart.patient(), &plain, true).await?;
                let attested = chart.psychotherapy_note("note");
                world.put(&attested).await?;
                world.expect(&chart.patient(), &attested, false).await?;
                for version in ["1", "2"] {
                    let path = format!("DocumentReference/{}/_history/{version}", chart.id("note"));
                    world.get(&chart.patient(), &path).await?.expect(404)?;
                }
                world.put(&plain).await?;
                world.expect(&chart.patient(), &plain, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "6f the author's qualification arrives after the note",
            async {
                let (world, chart) = worlds.chart("US", "c6f").await?;
                let mut note = chart.psychotherapy_note("note");
                note["extension"][0]["extension"][0]["valueReference"] =
                    chart.to("Practitioner", "sw");
                world.put(&note).await?;
                world.expect(&chart.patient(), &note, true).await?;
                let mut author = chart.people().remove(4);
                author["id"] = json!(chart.id("sw"));
                world.put(&author).await?;
                world.expect(&chart.patient(), &note, false).await?;
                author["qualification"] = json!([{"code": {"text": "Bachelor of Science"}}]);
                world.put(&author).await?;
                world.expect(&chart.patient(), &note, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "6g deleting an attested note and writing it anew",
            async {
                let (world, chart) = worlds.chart("US", "c6g").await?;
                let note = chart.psychotherapy_note("note");
                world.put(&note).await?;
                world.delete(&note).await?;
                // 410 would tell the patient that something had been there.
                let path = format!("DocumentReference/{}", chart.id("note"));
                world.get(&chart.patient(), &path).await?.expect(404)?;
                world.put(&note).await?;
                world.expect(&chart.patient(), &note, false).await
            },
        )
        .await;
    report
        .case(
            "release",
            "6h labels and codes of the note find nothing",
            async {
                let (world, chart) = worlds.chart("US", "c6h").await?;
                let note = chart.psychotherapy_note("note");
                world.put(&note).await?;
                let patient = chart.id("p");
                let label = format!("{ACT_CODE}|PSYTHPN");
                for query in [
                    format!("DocumentReference?_security={label}"),
                    "DocumentReference?_security=PSYTHPN".to_owned(),
                    format!("DocumentReference?patient={patient}&type=11506-3"),
                    format!("DocumentReference?author=Practitioner/{}", chart.id("psy")),
                    "DocumentReference?date=2026-11-10".to_owned(),
                    format!("DocumentReference?author:Practitioner.name=Freund&patient={patient}"),
                    format!("Practitioner?_has:DocumentReference:author:patient={patient}"),
                    format!("Patient?_has:DocumentReference:patient:type=11506-3&_id={patient}"),
                    format!("DocumentReference?type:missing=false&patient={patient}"),
                    format!("Patient/{patient}/DocumentReference"),
                ] {
                    let found = world.found(&chart.patient(), &query).await?;
                    ensure!(found.is_empty(), "{query} finds {found:?}");
                }
                Ok(())
            },
        )
        .await;
}

/// The part of the ledger that speaks of an id.
fn about(ledger: &str, id: &str) -> String {
    let lines = ledger
        .split("\"resourceType\"")
        .filter(|line| line.contains(id));
    lines.collect()
}
