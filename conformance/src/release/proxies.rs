//! R19 and R20: who acts for the patient, and when that ends.

use serde_json::{Value, json};

use crate::report::Report;
use crate::world::Who;
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "R00 a representative sees what the patient sees",
            async {
                let (world, chart) = worlds
                    .chart_with("US", "rep", |chart| chart.proxy("sam").into())
                    .await?;
                let note = chart.note("note", "11506-3");
                let lab = chart.observation("lab", "718-7", 9.0);
                let held = chart.observation("held", "718-7", 6.0);
                let all = [
                    note.clone(),
                    lab.clone(),
                    held.clone(),
                    chart.hold("hold", &held),
                ];
                world.put_all(&all).await?;
                for (resource, there) in [(&note, true), (&lab, true), (&held, false)] {
                    world
                        .expect(&chart.representative("sam"), resource, there)
                        .await?;
                    world.expect(&chart.patient(), resource, there).await?;
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "42 suspended for abuse: everything concealed, the patient unaffected",
            async {
                let (world, chart) = worlds
                    .chart_with("US", "c42", |chart| chart.proxy("ex").into())
                    .await?;
                let note = chart.note("note", "11506-3");
                let lab = chart.observation("lab", "718-7", 9.0);
                world.put_all(&[note.clone(), lab.clone()]).await?;
                let ex = chart.representative("ex");
                world.expect(&ex, &note, true).await?;
                world
                    .put(&chart.suspended(chart.related_person("ex"), ""))
                    .await?;
                concealed(&world, &ex, &[&note, &lab]).await?;
                world.expect(&chart.patient(), &note, true).await?;
                world.expect(&chart.patient(), &lab, true).await?;
                let later = chart.note("later", "11506-3");
                world.put(&later).await?;
                concealed(&world, &ex, &[&later]).await?;
                world.put(&chart.related_person("ex")).await?;
                world.expect(&ex, &note, true).await
            },
        )
        .await;
    for part in ["decider", "belief", "decidedAt"] {
        report
            .case(
                "release",
                &format!("42b the abuse flag without its {part} conceals nothing"),
                async {
                    let case = format!("c42b-{part}");
                    let (world, chart) = worlds
                        .chart_with("US", &case, |chart| chart.proxy("ex").into())
                        .await?;
                    let note = chart.note("note", "11506-3");
                    world
                        .put_all(&[
                            note.clone(),
                            chart.suspended(chart.related_person("ex"), part),
                        ])
                        .await?;
                    world.expect(&chart.representative("ex"), &note, true).await
                },
            )
            .await;
    }
    levels(worlds, report).await;
    type Change = fn(&mut Value, &mut Value);
    let ends: [(&str, Change); 4] = [
        ("the RelatedPerson is inactive", |person, _| {
            person["active"] = json!(false)
        }),
        ("the period is over", |person, _| {
            person["period"] = json!({"start": "2020-01-01", "end": "2026-11-09"});
        }),
        ("the permit is inactive", |_, permit| {
            permit["status"] = json!("inactive")
        }),
        ("the permit is about another", |_, permit| {
            permit["provision"]["actor"][0]["reference"] =
                json!({"reference": "RelatedPerson/nobody"});
        }),
    ];
    for (number, (name, change)) in ends.into_iter().enumerate() {
        report
            .case("release", &format!("R20 authority ends: {name}"), async {
                let case = format!("r20-{number}");
                let (world, chart) = worlds
                    .chart_with("US", &case, |chart| chart.proxy("sam").into())
                    .await?;
                let note = chart.note("note", "11506-3");
                world.put(&note).await?;
                let sam = chart.representative("sam");
                world.expect(&sam, &note, true).await?;
                let [mut person, mut permit] = chart.proxy("sam");
                change(&mut person, &mut permit);
                world.put_all(&[person, permit]).await?;
                concealed(&world, &sam, &[&note]).await?;
                world.expect(&chart.patient(), &note, true).await
            })
            .await;
    }
}

async fn levels(worlds: &Worlds, report: &mut Report) {
    // Level, then who of appointment, immunization, coverage and laboratory result is there.
    let rows = [
        ("full", [true, true, true, true]),
        ("full-messaging", [true, true, true, true]),
        ("limited", [true, true, true, false]),
        ("billing", [false, false, true, false]),
    ];
    for (level, there) in rows {
        report
            .case("release", &format!("R20 the level `{level}`"), async {
                let case = format!("r20-{level}");
                let (world, chart) = worlds
                    .chart_with("US", &case, |chart| {
                        vec![
                            chart.related_person("sam"),
                            chart.permit("permit", "sam", level),
                        ]
                    })
                    .await?;
                let all = [
                    json!({"resourceType": "Appointment", "id": chart.id("app"),
                        "status": "booked",
                        "participant": [{"actor": chart.subject(), "status": "accepted"}]}),
                    json!({"resourceType": "Immunization", "id": chart.id("imm"),
                        "status": "completed", "patient": chart.subject(),
                        "vaccineCode": {"text": "Tetanus"}, "occurrenceDateTime": "2026-11-01"}),
                    json!({"resourceType": "Coverage", "id": chart.id("cov"), "status": "active",
                        "beneficiary": chart.subject(), "payor": [{"display": "Plan"}]}),
                    chart.observation("lab", "718-7", 9.0),
                ];
                world.put_all(&all).await?;
                let sam = chart.representative("sam");
                for (resource, there) in all.iter().zip(there) {
                    world.expect(&sam, resource, there).await?;
                    world.expect(&chart.patient(), resource, true).await?;
                }
                Ok(())
            })
            .await;
    }
    report
        .case(
            "release",
            "R20 a deleted permit is none; a deleted directive is no permit",
            async {
                let (world, chart) = worlds
                    .chart_with("US", "r20-gone", |chart| chart.proxy("sam").into())
                    .await?;
                let note = chart.note("note", "11506-3");
                let deny = chart.deny("deny", &chart.to("RelatedPerson", "sam"));
                world.put_all(&[note.clone(), deny.clone()]).await?;
                let sam = chart.representative("sam");
                world.expect(&sam, &note, false).await?;
                world.delete(&deny).await?;
                world.expect(&sam, &note, true).await?;
                let [_, permit] = chart.proxy("sam");
                world.delete(&permit).await?;
                concealed(&world, &sam, &[&note]).await
            },
        )
        .await;
}

/// Nothing is there: an app whose token or sign-in ended with the authority counts as well.
async fn concealed(
    world: &crate::world::World,
    who: &Who,
    resources: &[&Value],
) -> anyhow::Result<()> {
    let probe = world.get(who, "Patient").await;
    let ended = match &probe {
        Ok(answer) => matches!(answer.status.as_u16(), 401 | 403),
        Err(_) => true,
    };
    if ended {
        world.forget(who);
        return Ok(());
    }
    for resource in resources {
        world.expect(who, resource, false).await?;
    }
    Ok(())
}
