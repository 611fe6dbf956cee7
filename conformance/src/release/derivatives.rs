//! What a withheld resource leaves behind elsewhere (56, 57, 59): nothing.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::fixtures::{ACT_CODE, Chart, concept, link};
use crate::report::Report;
use crate::world::{Who, World, entries};
use crate::worlds::Worlds;

const ISSUED: &str = "2026-11-10T15:00:00Z";

pub async fn run(worlds: &Worlds, report: &mut Report) {
    reports(worlds, report).await;
    references(worlds, report).await;
    binaries(worlds, report).await;
    inference(worlds, report).await;
}

async fn reports(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "56 the report of a held result: no reference, no words, the rest there",
            async {
                let (world, chart) = worlds.chart("US", "c56").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let free = chart.observation("free", "2160-0", 1.0);
                let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                cbc["result"] = json!([link(&held), link(&free)]);
                cbc["conclusion"] = json!("Haemoglobin dangerously low");
                cbc["conclusionCode"] = json!([concept("http://snomed.info/sct", "271737000")]);
                cbc["presentedForm"] =
                    json!([{"contentType": "application/pdf", "data": "JVBERi0x"}]);
                cbc["text"] = json!({"status": "generated",
                "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">Haemoglobin 7.0</div>"});
                world
                    .put_all(&[held.clone(), free.clone(), cbc.clone()])
                    .await?;
                let patient = chart.patient();
                world.expect(&patient, &cbc, true).await?;
                let whole = world.read(&patient, &cbc).await?;
                ensure!(
                    whole["conclusion"] == cbc["conclusion"],
                    "cut before there was a hold"
                );
                let mut hold = chart.hold("hold", &held);
                world.put(&hold).await?;
                world.expect(&patient, &held, false).await?;
                world.expect(&patient, &free, true).await?;
                world.expect(&patient, &cbc, true).await?;
                let seen = world.read(&patient, &cbc).await?;
                let text = seen.to_string();
                for word in [
                    chart.id("held").as_str(),
                    "aemoglobin",
                    "271737000",
                    "JVBER",
                ] {
                    ensure!(!text.contains(word), "{word} is there: {text}");
                }
                ensure!(
                    seen["result"] == json!([link(&free)]),
                    "results: {}",
                    seen["result"]
                );
                ensure!(
                    seen["code"] == cbc["code"] && seen["issued"] == cbc["issued"],
                    "more was cut"
                );
                let (id, gone) = (chart.id("cbc"), format!("Observation/{}", chart.id("held")));
                for (query, count) in [
                    (
                        format!("DiagnosticReport?_id={id}&_include=DiagnosticReport:result"),
                        2,
                    ),
                    (format!("DiagnosticReport?result={gone}"), 0),
                    (
                        format!("DiagnosticReport?_id={id}&result:Observation.code=718-7"),
                        0,
                    ),
                    (
                        format!("DiagnosticReport?_id={id}&result:Observation.code=2160-0"),
                        1,
                    ),
                    (format!("DiagnosticReport?_id={id}&conclusion=271737000"), 0),
                    (
                        format!("Observation?_has:DiagnosticReport:result:_id={id}"),
                        1,
                    ),
                    (
                        format!(
                            "Observation?_id={}&_revinclude=DiagnosticReport:result",
                            chart.id("held")
                        ),
                        0,
                    ),
                ] {
                    let found = world.found(&patient, &query).await?;
                    ensure!(found.len() == count, "{query}: {found:?}");
                }
                let whole = world.read(&Who::Feed, &cbc).await?.to_string();
                ensure!(whole.contains("dangerously"), "the record itself was cut");
                hold["status"] = json!("cancelled");
                world.put(&hold).await?;
                let seen = world.read(&patient, &cbc).await?;
                ensure!(seen["result"] == cbc["result"], "not whole again: {seen}");
                ensure!(
                    seen["conclusion"] == cbc["conclusion"],
                    "not whole again: {seen}"
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "56b the report is written after the hold",
            async {
                let (world, chart) = worlds.chart("US", "c56b").await?;
                let held = chart.observation("held", "718-7", 7.0);
                world
                    .put_all(&[held.clone(), chart.hold("hold", &held)])
                    .await?;
                let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                cbc["result"] = json!([link(&held)]);
                cbc["conclusion"] = json!("dangerously low");
                world.put(&cbc).await?;
                let seen = world.read(&chart.patient(), &cbc).await?.to_string();
                ensure!(
                    !seen.contains("dangerously"),
                    "the conclusion is there: {seen}"
                );
                ensure!(
                    !seen.contains(&chart.id("held")),
                    "the reference is there: {seen}"
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "56c the hold runs out: whole on the stroke of the clock",
            async {
                let (world, chart) = worlds.chart("US", "c56c").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                cbc["result"] = json!([link(&held)]);
                let mut hold = chart.hold("hold", &held);
                hold["restriction"] = json!({"period": {"end": "2026-11-10T16:00:00Z"}});
                world.put_all(&[held.clone(), cbc.clone(), hold]).await?;
                let seen = world.read(&chart.patient(), &cbc).await?;
                ensure!(
                    seen.get("result").is_none(),
                    "the reference is there: {seen}"
                );
                world.clock("2026-11-10T16:00:01Z").await?;
                let seen = world.read(&chart.patient(), &cbc).await?;
                ensure!(seen["result"] == cbc["result"], "not whole: {seen}");
                let query = format!("DiagnosticReport?result=Observation/{}", chart.id("held"));
                ensure!(
                    world.found(&chart.patient(), &query).await?.len() == 1,
                    "{query}"
                );
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "56d a panel stays without its held member",
            async {
                let (world, chart) = worlds.chart("US", "c56d").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let free = chart.observation("free", "2160-0", 1.0);
                let mut panel = chart.observation("panel", "58410-2", 1.0);
                panel["hasMember"] = json!([link(&held), link(&free)]);
                panel["derivedFrom"] = json!([link(&held)]);
                world
                    .put_all(&[
                        held.clone(),
                        free.clone(),
                        panel.clone(),
                        chart.hold("hold", &held),
                    ])
                    .await?;
                world.expect(&chart.patient(), &panel, true).await?;
                let seen = world.read(&chart.patient(), &panel).await?;
                ensure!(
                    seen["hasMember"] == json!([link(&free)]),
                    "{}",
                    seen["hasMember"]
                );
                ensure!(seen.get("derivedFrom").is_none(), "derivedFrom is there");
                Ok(())
            },
        )
        .await;
}

/// Everything that may refer to a held result, note or diagnosis.
async fn references(worlds: &Worlds, report: &mut Report) {
    report
        .case("release", "56e every reference to a held diagnosis is gone", async {
            let (world, chart) = worlds.chart("US", "c56e").await?;
            let held = chart.condition("held");
            let mut visit = chart.visit("stay", "md");
            visit["diagnosis"] = json!([{"condition": link(&held)}]);
            visit["reasonReference"] = json!([link(&held)]);
            let mut medicine = chart.medication_request("rx");
            medicine["reasonReference"] = json!([link(&held)]);
            let mut plan = json!({"resourceType": "CarePlan", "id": chart.id("plan"),
                "status": "active", "intent": "plan", "subject": chart.subject()});
            plan["addresses"] = json!([link(&held)]);
            let list = json!({"resourceType": "List", "id": chart.id("list"), "status": "current",
                "mode": "working", "subject": chart.subject(), "entry": [{"item": link(&held)}]});
            let mut note = chart.composition("note", &[("Plan", "Walk")]);
            note["section"][0]["entry"] = json!([link(&held)]);
            let mut order = chart.order("order", "md");
            order["reasonReference"] = json!([link(&held)]);
            let procedure = json!({"resourceType": "Procedure", "id": chart.id("proc"),
                "status": "completed", "subject": chart.subject(),
                "code": concept("http://snomed.info/sct", "80146002"),
                "reasonReference": [link(&held)]});
            let others = [visit, medicine, plan, list, note, order, procedure];
            let mut all: Vec<Value> = others.to_vec();
            all.push(held.clone());
            world.put_all(&all).await?;
            world.put(&chart.hold("hold", &held)).await?;
            world.expect(&chart.patient(), &held, false).await?;
            for other in &others {
                world.expect(&chart.patient(), other, true).await?;
                let seen = world.read(&chart.patient(), other).await?.to_string();
                ensure!(!seen.contains(&chart.id("held")), "it is named in {seen}");
            }
            let gone = format!("Condition/{}", chart.id("held"));
            for query in [
                format!("Encounter?diagnosis={gone}"),
                format!("CarePlan?condition={gone}"),
                format!("List?item={gone}"),
                format!("Composition?entry={gone}"),
                format!("Procedure?reason-reference={gone}"),
                format!("Encounter?diagnosis:Condition.code=35489007&patient={}", chart.id("p")),
                format!("Condition?_has:Encounter:diagnosis:patient={}", chart.id("p")),
            ] {
                let found = world.found(&chart.patient(), &query).await?;
                ensure!(found.is_empty(), "{query}: {found:?}");
            }
            Ok(())
        })
        .await;
    report
        .case(
            "release",
            "56f Provenance of a held note; of a held and a free one",
            async {
                let (world, chart) = worlds.chart("US", "c56f").await?;
                let held = chart.note("held", "11506-3");
                let free = chart.note("free", "11506-3");
                let only = chart.provenance("only", &held);
                let mut both = chart.provenance("both", &free);
                both["target"] = json!([link(&held), link(&free)]);
                let hold = chart.hold("hold", &held);
                world
                    .put_all(&[held.clone(), free.clone(), only.clone(), both.clone(), hold])
                    .await?;
                let patient = chart.patient();
                world.expect(&patient, &only, false).await?;
                let seen = world.read(&patient, &both).await?;
                ensure!(
                    seen["target"] == json!([link(&free)]),
                    "targets: {}",
                    seen["target"]
                );
                let query = format!(
                    "DocumentReference?patient={}&_revinclude=Provenance:target",
                    chart.id("p")
                );
                let found = world.found(&patient, &query).await?;
                ensure!(found.len() == 2, "{query}: {found:?}");
                let query = format!("Provenance?target=DocumentReference/{}", chart.id("held"));
                ensure!(world.found(&patient, &query).await?.is_empty(), "{query}");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "56g labels that tell are off the redacted rendition",
            async {
                let (world, chart) = worlds.chart("US", "c56g").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                cbc = Chart::labelled(cbc, ACT_CODE, "HIV");
                cbc["result"] = json!([link(&held)]);
                world
                    .put_all(&[held.clone(), cbc.clone(), chart.hold("hold", &held)])
                    .await?;
                let seen = world.read(&chart.patient(), &cbc).await?.to_string();
                ensure!(!seen.contains("HIV"), "the label is there: {seen}");
                for code in ["REDACTED", "MASKED", "SUBSETTED", "masked"] {
                    ensure!(!seen.contains(code), "{code} marks the place: {seen}");
                }
                Ok(())
            },
        )
        .await;
}

async fn binaries(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "59 the Binary of a held document, by its own URL, in any format",
            async {
                let (world, chart) = worlds.chart("US", "c59").await?;
                let binary = chart.binary("scan");
                let mut note = chart.note("note", "11506-3");
                note["content"] = json!([{"attachment": {"contentType": "text/plain",
                "url": format!("Binary/{}", chart.id("scan"))}}]);
                world.put_all(&[binary.clone(), note.clone()]).await?;
                let patient = chart.patient();
                world
                    .expect(&patient, &binary, true)
                    .await
                    .context("at first")?;
                let mut hold = chart.hold("hold", &note);
                world.put(&hold).await?;
                world.expect(&patient, &note, false).await?;
                world.expect(&patient, &binary, false).await?;
                let path = format!("Binary/{}", chart.id("scan"));
                for accept in ["text/plain", "*/*", "application/octet-stream"] {
                    let headers = [("accept", accept)];
                    let answer = world
                        .request_with(&patient, reqwest::Method::GET, &path, &headers, None)
                        .await?;
                    ensure!(answer.status.as_u16() == 404, "{accept}: {}", answer.status);
                    ensure!(!answer.text.contains("Secret"), "{accept} gives the words");
                }
                hold["status"] = json!("cancelled");
                world.put(&hold).await?;
                world
                    .expect(&patient, &binary, true)
                    .await
                    .context("at last")
            },
        )
        .await;
    report
        .case(
            "release",
            "59b the Binary of an attested note; another patient's Binary",
            async {
                let (world, chart) = worlds.chart("US", "c59b").await?;
                let (_, other) = worlds.chart("US", "c59b2").await?;
                let url = |chart: &Chart| {
                    json!([{"attachment": {"contentType": "text/plain",
                "url": format!("Binary/{}", chart.id("scan"))}}])
                };
                let mut note = chart.psychotherapy_note("note");
                note["content"] = url(&chart);
                let mut theirs = other.note("note", "11506-3");
                theirs["content"] = url(&other);
                let (scan, their_scan) = (chart.binary("scan"), other.binary("scan"));
                world
                    .put_all(&[scan.clone(), note, their_scan.clone(), theirs])
                    .await?;
                world.expect(&chart.patient(), &scan, false).await?;
                world.expect(&other.patient(), &their_scan, true).await?;
                world.expect(&chart.patient(), &their_scan, false).await
            },
        )
        .await;
    report
        .case(
            "release",
            "59d the Binary of a report whose result is held",
            async {
                let (world, chart) = worlds.chart("US", "c59d").await?;
                let binary = chart.binary("scan");
                let held = chart.observation("held", "718-7", 7.0);
                let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                cbc["result"] = json!([link(&held)]);
                cbc["presentedForm"] = json!([{"contentType": "text/plain",
                "url": format!("Binary/{}", chart.id("scan"))}]);
                world
                    .put_all(&[binary.clone(), held.clone(), cbc.clone()])
                    .await?;
                let patient = chart.patient();
                world
                    .expect(&patient, &binary, true)
                    .await
                    .context("at first")?;
                let mut hold = chart.hold("hold", &held);
                world.put(&hold).await?;
                let seen = world.read(&patient, &cbc).await?;
                ensure!(
                    seen.get("presentedForm").is_none(),
                    "the attachment is there"
                );
                world
                    .expect(&patient, &binary, false)
                    .await
                    .context("under the hold")?;
                hold["status"] = json!("completed");
                world.put(&hold).await?;
                world
                    .expect(&patient, &binary, true)
                    .await
                    .context("at last")
            },
        )
        .await;
    report
        .case(
            "release",
            "59e one attachment held by its path, the other not",
            async {
                let (world, chart) = worlds.chart("US", "c59e").await?;
                let (one, two) = (chart.binary("one"), chart.binary("two"));
                let url = |name: &str| {
                    json!({"attachment": {"contentType": "text/plain",
                "url": format!("Binary/{}", chart.id(name))}})
                };
                let mut note = chart.note("note", "11506-3");
                note["content"] = json!([url("one"), url("two")]);
                let hold =
                    Chart::with_path(chart.hold("hold", &note), "DocumentReference.content[1]");
                world
                    .put_all(&[one.clone(), two.clone(), note.clone(), hold])
                    .await?;
                let patient = chart.patient();
                world.expect(&patient, &note, true).await?;
                world.expect(&patient, &one, true).await?;
                world.expect(&patient, &two, false).await
            },
        )
        .await;
    report
        .case(
            "release",
            "59c a Binary that comes before its document, and after",
            async {
                let (world, chart) = worlds.chart("US", "c59c").await?;
                let binary = chart.binary("scan");
                let mut note = chart.psychotherapy_note("note");
                note["content"] = json!([{"attachment": {"contentType": "text/plain",
                "url": format!("Binary/{}", chart.id("scan"))}}]);
                world.put(&binary).await?;
                world.put(&note).await?;
                world.expect(&chart.patient(), &binary, false).await?;
                world.put(&binary).await?;
                world.expect(&chart.patient(), &binary, false).await
            },
        )
        .await;
}

/// Two patients with the same record, one of whom has one withheld result more: every search
/// answers both alike.
async fn inference(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "57 with a withheld result and without it, every search answers alike",
            async {
                let (world, plain) = worlds.chart("US", "c57aa").await?;
                let (_, more) = worlds.chart("US", "c57bb").await?;
                for chart in [&plain, &more] {
                    let lab = chart.observation("lab", "718-7", 13.0);
                    let mut cbc = chart.lab("cbc", "58410-2", ISSUED);
                    cbc["result"] = json!([link(&lab)]);
                    let note = chart.note("note", "11506-3");
                    let all = [
                        lab,
                        cbc,
                        note,
                        chart.condition("dx"),
                        chart.medication_request("rx"),
                    ];
                    world.put_all(&all).await?;
                }
                let mut hidden = more.observation("hidden", "718-7", 5.5);
                hidden["identifier"] = json!([{"system": "urn:acc", "value": "A-1"}]);
                hidden["interpretation"] = json!([concept(
                    "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
                    "LL"
                )]);
                hidden["encounter"] = more.to("Encounter", "visit");
                world
                    .put_all(&[hidden.clone(), more.hold("hold", &hidden)])
                    .await?;
                world.expect(&more.patient(), &hidden, false).await?;
                for query in queries() {
                    let one = normal(&world, &plain, query).await?;
                    let two = normal(&world, &more, query).await?;
                    ensure!(one == two, "{query}: without it {one}, with it {two}");
                }
                Ok(())
            },
        )
        .await;
}

fn queries() -> Vec<&'static str> {
    vec![
        "Observation?value-quantity=gt5",
        "Observation?value-quantity=5.5",
        "Observation?value-quantity=lt6",
        "Observation?code=718-7&_summary=count",
        "Observation?code=718-7,2160-0&_count=1",
        "Observation?combo-code-value-quantity=718-7$lt6",
        "Observation?code-value-quantity=718-7$gt0",
        "Observation?interpretation:missing=false",
        "Observation?interpretation:missing=true",
        "Observation?encounter:missing=false",
        "Observation?identifier=urn:acc|A-1",
        "Observation?identifier=A-1",
        "Observation?date=2026-11-10",
        "Observation?date=ge2026-01-01&_sort=date",
        "Observation?_sort=-date&_count=1",
        "Observation?_sort=_lastUpdated&_count=1",
        "Observation?status=final&_total=accurate&_count=0",
        "Observation?_lastUpdated=ge2026-11-10T00:00:00Z&_summary=count",
        "Observation?category=laboratory&_elements=code",
        "Observation?patient=Patient/{p}&_summary=true",
        "Observation?code:text=haemoglobin",
        "Observation?code:not=2160-0&_summary=count",
        "Observation?_id={hidden}",
        "Observation?_id={hidden},{lab}",
        "Observation/{hidden}",
        "Observation/{hidden}/_history",
        "Observation/{hidden}/_history/1",
        "Observation/_history?_count=50",
        "Patient?_has:Observation:patient:value-quantity=lt6",
        "Patient?_has:Observation:patient:interpretation=LL",
        "Patient?_has:Observation:subject:code=718-7&_summary=count",
        "Patient?_id={p}&_revinclude=Observation:patient",
        "Patient?_id={p}&_revinclude=Observation:subject&_revinclude=Task:patient",
        "Encounter?_id={visit}&_revinclude=Observation:encounter",
        "Encounter?_has:Observation:encounter:code=718-7",
        "Encounter?_has:Observation:encounter:_id={hidden}",
        "Condition?patient.birthdate=1984-02-29",
        "Patient/{p}/Observation",
        "Patient/{p}/Observation?_count=1",
        "Patient/{p}/*?_count=100",
        "Patient/{p}/$everything",
        "Task?patient={p}",
        "Task?focus=Observation/{hidden}",
    ]
}

/// An answer with what must differ between two patients taken out.
async fn normal(world: &World, chart: &Chart, query: &str) -> Result<String> {
    let mut path = query.to_owned();
    for name in ["p", "visit", "hidden", "lab"] {
        path = path.replace(&format!("{{{name}}}"), &chart.id(name));
    }
    let answer = world.get(&chart.patient(), &path).await?;
    ensure!(
        !answer.status.is_server_error() || answer.status.as_u16() == 501,
        "{path}: {} {}",
        answer.status,
        answer.text
    );
    let Ok(bundle) = answer.json() else {
        return Ok(format!(
            "{} {}",
            answer.status,
            answer.text.replace(&chart.case, "CASE")
        ));
    };
    let mut left: Vec<String> = entries(&bundle)
        .iter()
        .map(|one| scrubbed(one, &chart.case))
        .collect();
    if !query.contains("_sort") {
        left.sort();
    }
    let links: Vec<&str> = bundle["link"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|link| link["relation"].as_str())
        .collect();
    Ok(format!(
        "{} total {} links {links:?} {left:?}",
        answer.status, bundle["total"]
    ))
}

/// A resource without its times and with the case's name replaced.
fn scrubbed(resource: &Value, case: &str) -> String {
    let mut resource = resource.clone();
    if let Some(object) = resource.as_object_mut() {
        object.remove("meta");
    }
    resource.to_string().replace(case, "CASE")
}
