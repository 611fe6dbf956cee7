//! R17: a minor's confidential service and its representatives.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fixtures::{CB, Chart, concept, link};
use crate::report::Report;
use crate::world::reference;
use crate::worlds::Worlds;

/// A visit with the extension of release-contract.md, without one of its parts if `without` names it.
fn confidential(chart: &Chart, name: &str, without: &str) -> Value {
    let mut parts = vec![
        json!({"url": "law", "valueString": "Cal. Fam. Code 6926"}),
        json!({"url": "notShareWithRepresentative", "valueBoolean": true}),
    ];
    parts.retain(|part| part["url"] != without);
    let mut visit = chart.visit(name, "md");
    visit["extension"] = json!([{"url": format!("{CB}/StructureDefinition/minor-consented-service"),
        "extension": parts}]);
    visit
}

/// What hangs on a visit.
fn of_visit(chart: &Chart, visit: &Value) -> Vec<Value> {
    let mut lab = chart.observation("sti-lab", "21613-5", 1.0);
    lab["encounter"] = link(visit);
    let mut note = chart.note("sti-note", "11506-3");
    note["context"] = json!({"encounter": [link(visit)]});
    let mut condition = chart.condition("sti-condition");
    condition["encounter"] = link(visit);
    let mut medication = chart.medication_request("sti-med");
    medication["encounter"] = link(visit);
    let benefit = json!({
        "resourceType": "ExplanationOfBenefit", "id": chart.id("eob"), "status": "active",
        "type": concept("http://terminology.hl7.org/CodeSystem/claim-type", "professional"),
        "use": "claim", "patient": chart.subject(), "created": "2026-11-10",
        "insurer": {"display": "Plan"}, "provider": chart.to("Practitioner", "md"),
        "outcome": "complete",
        "insurance": [{"focal": true, "coverage": {"display": "Coverage"}}],
        "item": [{"sequence": 1, "productOrService": {"text": "Visit"},
            "encounter": [link(visit)]}],
    });
    vec![lab, note, condition, medication, benefit]
}

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "38 a minor's confidential visit: nothing of it for the mother, all for the minor",
            async {
                let (world, chart) = worlds
                    .chart_with("US-CA", "c38", |chart| chart.proxy("mother").into())
                    .await?;
                let ordinary = chart.observation("ordinary", "718-7", 9.0);
                world.put(&ordinary).await?;
                let visit = confidential(&chart, "sti", "");
                let parts = of_visit(&chart, &visit);
                // The visit comes last: what hangs on it is decided again.
                for part in &parts {
                    world.put(part).await?;
                }
                world.put(&visit).await?;
                let mother = chart.representative("mother");
                for resource in parts.iter().chain([&visit]) {
                    world.expect(&mother, resource, false).await?;
                    world.expect(&chart.patient(), resource, true).await?;
                }
                world.expect(&mother, &ordinary, true).await?;
                for query in ["Encounter", "ExplanationOfBenefit", "Condition"] {
                    let count = format!("{query}?_summary=count");
                    let probe = world.search(&mother, &count).await?["total"].clone();
                    let own = usize::from(query == "Encounter");
                    ensure!(probe == own, "{count}: {probe}");
                }
                // The minor shares it after all.
                let shared = chart.visit("sti", "md");
                world.put(&shared).await?;
                for resource in &parts {
                    world.expect(&mother, resource, true).await?;
                }
                Ok(())
            },
        )
        .await;
    for part in ["law", "notShareWithRepresentative"] {
        report
            .case(
                "release",
                &format!("38b without {part} the visit is no confidential service"),
                async {
                    let (world, chart) = worlds
                        .chart_with("US", &format!("c38b-{}", &part[..3]), |chart| {
                            chart.proxy("mother").into()
                        })
                        .await?;
                    let visit = confidential(&chart, "sti", part);
                    world.put(&visit).await?;
                    world
                        .expect(&chart.representative("mother"), &visit, true)
                        .await?;
                    let ledger = world.ledger().await?;
                    ensure!(
                        ledger.contains("evidence_gap") && ledger.contains(&reference(&visit)),
                        "the ledger has no evidence_gap for it"
                    );
                    Ok(())
                },
            )
            .await;
    }
}
