//! R12 and R13: what the patient asked for.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fixtures::{ACT_CODE, CB, Chart, LOINC, concept};
use crate::report::Report;
use crate::world::Who;
use crate::worlds::Worlds;

const ISSUED: &str = "2026-11-10T15:00:00Z";
const TYPES: &str = "http://hl7.org/fhir/resource-types";

pub async fn run(worlds: &Worlds, report: &mut Report) {
    proxies(worlds, report).await;
    apps(worlds, report).await;
    organizations(worlds, report).await;
    ineffective(worlds, report).await;
    delays(worlds, report).await;
}

async fn proxies(worlds: &Worlds, report: &mut Report) {
    report
        .case("release", "44 \"don't show my labs to my proxy\"; others and the patient see all", async {
            let (world, chart) = worlds.chart_with("US", "c44", people).await?;
            let lab = chart.observation("lab", "718-7", 9.0);
            let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
            cbc["result"] = json!([crate::fixtures::link(&lab)]);
            let note = chart.note("note", "11506-3");
            let mut deny = chart.deny("deny", &chart.to("RelatedPerson", "sam"));
            deny["provision"]["class"] = json!([
                {"system": TYPES, "code": "Observation"}, {"system": TYPES, "code": "DiagnosticReport"}]);
            world.put_all(&[lab.clone(), cbc.clone(), note.clone()]).await?;
            world.expect(&chart.representative("sam"), &lab, true).await?;
            world.put(&deny).await?;
            for resource in [&lab, &cbc] {
                world.expect(&chart.representative("sam"), resource, false).await?;
                world.expect(&chart.representative("kim"), resource, true).await?;
                world.expect(&chart.patient(), resource, true).await?;
            }
            world.expect(&chart.representative("sam"), &note, true).await?;
            let patient = chart.id("p");
            let query = format!("Patient?_id={patient}&_revinclude=Observation:patient");
            let bundle = world.search(&chart.representative("sam"), &query).await?;
            ensure!(!bundle.to_string().contains(&chart.id("lab")), "_revinclude shows it");
            deny["status"] = json!("inactive");
            world.put(&deny).await?;
            world.expect(&chart.representative("sam"), &lab, true).await
        })
        .await;
    let narrowings: [(&str, &str, Value); 4] = [
        ("by code", "code", json!([concept(LOINC, "718-7")])),
        (
            "by class",
            "class",
            json!([{"system": TYPES, "code": "Observation"}]),
        ),
        (
            "by security label",
            "securityLabel",
            json!([{"system": ACT_CODE, "code": "HIV"}]),
        ),
        (
            "by named resource",
            "data",
            json!([{"meaning": "instance"}]),
        ),
    ];
    for (number, (name, facet, value)) in narrowings.into_iter().enumerate() {
        report
            .case("release", &format!("44b narrowed {name}"), async {
                let case = format!("c44b-{number}");
                let (world, chart) = worlds.chart_with("US", &case, people).await?;
                let inside = chart.observation("inside", "718-7", 9.0);
                let inside = Chart::labelled(inside, ACT_CODE, "HIV");
                let outside = chart.lab("outside", "58410-2", ISSUED);
                let mut value = value.clone();
                if facet == "data" {
                    value[0]["reference"] = chart.to("Observation", "inside");
                }
                let mut deny = chart.deny("deny", &chart.to("RelatedPerson", "sam"));
                deny["provision"][facet] = value;
                world
                    .put_all(&[inside.clone(), outside.clone(), deny])
                    .await?;
                world
                    .expect(&chart.representative("sam"), &inside, false)
                    .await?;
                world
                    .expect(&chart.representative("sam"), &outside, true)
                    .await?;
                world.expect(&chart.patient(), &inside, true).await
            })
            .await;
    }
    report
        .case(
            "release",
            "44c what is written after the directive is under it too",
            async {
                let (world, chart) = worlds.chart_with("US", "c44c", people).await?;
                world
                    .put(&chart.deny("deny", &chart.to("RelatedPerson", "sam")))
                    .await?;
                let note = chart.note("note", "11506-3");
                world.put(&note).await?;
                world
                    .expect(&chart.representative("sam"), &note, false)
                    .await?;
                world
                    .expect(&chart.representative("kim"), &note, true)
                    .await
            },
        )
        .await;
    report
        .case(
            "release",
            "44d the proxy does not learn of the directive",
            async {
                let (world, chart) = worlds.chart_with("US", "c44d", people).await?;
                let mut deny = chart.deny("deny", &chart.to("RelatedPerson", "sam"));
                deny["provision"]["class"] = json!([{"system": TYPES, "code": "Observation"}]);
                world.put(&deny).await?;
                world
                    .expect(&chart.representative("sam"), &deny, false)
                    .await
            },
        )
        .await;
}

async fn apps(worlds: &Worlds, report: &mut Report) {
    for (number, name) in [
        "named by a Device with its client id",
        "named by its client id alone",
    ]
    .into_iter()
    .enumerate()
    {
        report
            .case("release", &format!("44e an app {name}"), async {
                let case = format!("c44e-{number}");
                let (world, chart) = worlds.chart("US", &case).await?;
                let id = json!({"system": format!("{CB}/NamingSystem/client-id"),
                    "value": world.other_app});
                let device = json!({"resourceType": "Device", "id": chart.id("app"),
                    "identifier": [id], "deviceName": [{"name": "Logbook", "type": "user-friendly-name"}]});
                let actor = if number == 0 {
                    chart.to("Device", "app")
                } else {
                    json!({"type": "Device", "identifier": id})
                };
                let note = chart.note("note", "11506-3");
                world.put_all(&[device, note.clone(), chart.deny("deny", &actor)]).await?;
                world.expect(&chart.patient(), &note, true).await?;
                world.expect(&Who::OtherApp(chart.id("p")), &note, false).await
            })
            .await;
    }
}

async fn organizations(worlds: &Worlds, report: &mut Report) {
    report
        .case("release", "44h not with this health plan; the other plan sees it", async {
            let (world, chart) = worlds.chart("US", "c44h").await?;
            let plan = |name: &str| {
                json!({"resourceType": "Organization", "id": name, "name": name, "active": true})
            };
            let note = chart.note("note", "11506-3");
            let actor = json!({"reference": "Organization/plan-a"});
            let all = [plan("plan-a"), plan("plan-b"), note.clone(), chart.deny("deny", &actor)];
            world.put_all(&all).await?;
            world.expect(&Who::Payer("plan-a".to_owned()), &note, false).await?;
            world.expect(&Who::Payer("plan-b".to_owned()), &note, true).await?;
            world.expect(&chart.patient(), &note, true).await
        })
        .await;
}

/// A part of the directive is missing: it does not apply, and the ledger says so.
async fn ineffective(worlds: &Worlds, report: &mut Report) {
    type Change = fn(&Chart, &mut Value);
    let faults: [(&str, Change); 4] = [
        ("no attestation that nobody induced it", |_, consent| {
            if let Some(object) = consent.as_object_mut() {
                object.remove("extension");
            }
        }),
        ("the attestation says false", |_, consent| {
            consent["extension"][0]["valueBoolean"] = json!(false);
        }),
        ("not given by the patient", |chart, consent| {
            consent["performer"] = json!([chart.to("Practitioner", "clerk")]);
        }),
        ("not active", |_, consent| {
            consent["status"] = json!("draft")
        }),
    ];
    for (number, (name, change)) in faults.into_iter().enumerate() {
        report
            .case("release", &format!("44f does not apply: {name}"), async {
                let case = format!("c44f-{number}");
                let (world, chart) = worlds.chart_with("US", &case, people).await?;
                let note = chart.note("note", "11506-3");
                let mut deny = chart.deny("deny", &chart.to("RelatedPerson", "sam"));
                change(&chart, &mut deny);
                world.put_all(&[note.clone(), deny]).await?;
                world
                    .expect(&chart.representative("sam"), &note, true)
                    .await?;
                world.expect(&chart.patient(), &note, true).await
            })
            .await;
    }
    report
        .case(
            "release",
            "44g the ledger names a directive that does not apply",
            async {
                let (world, chart) = worlds.chart_with("US", "c44g", people).await?;
                let note = chart.note("note", "11506-3");
                let mut deny = chart.deny("deny", &chart.to("RelatedPerson", "sam"));
                if let Some(object) = deny.as_object_mut() {
                    object.remove("extension");
                }
                world.put_all(&[note.clone(), deny]).await?;
                let ledger = world.ledger().await?;
                ensure!(
                    ledger.contains("directive_not_applied"),
                    "no directive_not_applied"
                );
                ensure!(
                    ledger.contains("no-inducement"),
                    "the missing part is not named"
                );
                Ok(())
            },
        )
        .await;
}

async fn delays(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "46 the patient delays a biopsy by three days, then cancels",
            async {
                let (world, chart) = worlds.chart("US", "c46").await?;
                let biopsy = chart.pathology("biopsy", ISSUED);
                let other = chart.lab("other", "58410-2", ISSUED);
                let mut delay = chart.delay("delay", "2026-11-13T15:00:00Z", Some(&biopsy));
                world
                    .put_all(&[biopsy.clone(), other.clone(), delay.clone()])
                    .await?;
                world.expect(&chart.patient(), &biopsy, false).await?;
                world.expect(&chart.patient(), &other, true).await?;
                world.pass("PT24H").await?;
                world.expect(&chart.patient(), &biopsy, false).await?;
                delay["status"] = json!("inactive");
                world.put(&delay).await?;
                world.expect(&chart.patient(), &biopsy, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "46b the agreed time is met to the second",
            async {
                let (world, chart) = worlds.chart("US", "c46b").await?;
                let biopsy = chart.pathology("biopsy", ISSUED);
                let delay = chart.delay("delay", "2026-11-13T15:00:00Z", Some(&biopsy));
                world.put_all(&[biopsy.clone(), delay]).await?;
                world.clock("2026-11-13T14:59:59Z").await?;
                world.expect(&chart.patient(), &biopsy, false).await?;
                world.clock("2026-11-13T15:00:01Z").await?;
                world.expect(&chart.patient(), &biopsy, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "46c all results, those to come as well, and no note",
            async {
                let (world, chart) = worlds.chart("US", "c46c").await?;
                world
                    .put(&chart.delay("delay", "2026-11-13T15:00:00Z", None))
                    .await?;
                let lab = chart.lab("lab", "58410-2", ISSUED);
                let value = chart.observation("value", "718-7", 9.0);
                let visit = chart.visit("later", "md");
                world
                    .put_all(&[lab.clone(), value.clone(), visit.clone()])
                    .await?;
                world.expect(&chart.patient(), &lab, false).await?;
                world.expect(&chart.patient(), &value, false).await?;
                world.expect(&chart.patient(), &visit, true).await?;
                world.clock("2026-11-13T15:00:01Z").await?;
                world.expect(&chart.patient(), &lab, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "46d a delay without an end does not apply",
            async {
                let (world, chart) = worlds.chart("US", "c46d").await?;
                let lab = chart.lab("lab", "58410-2", ISSUED);
                let delay = chart.directive("delay", json!({"type": "deny"}));
                world.put_all(&[lab.clone(), delay]).await?;
                world.expect(&chart.patient(), &lab, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "46e a delay named for a report takes its results along",
            async {
                let (world, chart) = worlds.chart("US", "c46e").await?;
                let value = chart.observation("value", "718-7", 9.0);
                let mut lab = chart.lab("lab", "58410-2", ISSUED);
                lab["result"] = json!([crate::fixtures::link(&value)]);
                let delay = chart.delay("delay", "2026-11-13T15:00:00Z", Some(&lab));
                world.put_all(&[value.clone(), lab.clone(), delay]).await?;
                world.expect(&chart.patient(), &lab, false).await?;
                world.expect(&chart.patient(), &value, false).await
            },
        )
        .await;
}

/// Two proxies.
fn people(chart: &Chart) -> Vec<Value> {
    let mut all: Vec<Value> = chart.proxy("sam").into();
    all.extend(chart.proxy("kim"));
    all
}
