//! What a hold needs (171.201), each part missing or wrong by itself: refused with 422, the part
//! named, and nothing is withheld.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fixtures::{CB, Chart, concept};
use crate::report::Report;
use crate::worlds::Worlds;

/// A case's name, words of which one must stand in the refusal, and what is done to a valid hold.
type Fault<'a> = (&'a str, &'a [&'a str], Box<dyn Fn(&Chart, Value) -> Value>);

pub async fn run(worlds: &Worlds, report: &mut Report) {
    for (number, (name, words, change)) in faults().iter().enumerate() {
        report
            .case("release", &format!("28 refused: {name}"), async {
                let (world, chart) = worlds.chart("US", &format!("c28-{number}")).await?;
                let note = chart.note("note", "11506-3");
                world.put(&note).await?;
                let hold = change(&chart, chart.hold("hold", &note));
                let refused = world.try_put(&hold).await?.expect_outcome(&[422])?;
                let text = refused.text.to_lowercase();
                ensure!(
                    words.iter().any(|word| text.contains(word)),
                    "none of {words:?} is named: {}",
                    refused.text
                );
                world.expect(&chart.patient(), &note, true).await
            })
            .await;
    }
    report
        .case("release", "28d every fault is named at once", async {
            let (world, chart) = worlds.chart("US", "c28d").await?;
            let note = chart.note("note", "11506-3");
            world.put(&note).await?;
            let mut hold = chart.hold("hold", &note);
            for part in ["facts", "relationship", "harm-standard"] {
                hold = Chart::with_input(hold, part, None);
            }
            without(&mut hold, "restriction");
            let refused = world.try_put(&hold).await?.expect_outcome(&[422])?;
            for word in ["facts", "relationship", "harm-standard", "restriction"] {
                ensure!(
                    refused.text.contains(word),
                    "{word} is not named: {}",
                    refused.text
                );
            }
            let issues = refused.json()?["issue"].as_array().map_or(0, Vec::len);
            ensure!(issues >= 4, "{issues} issues for four faults");
            Ok(())
        })
        .await;
    report
        .case(
            "release",
            "28e exactly 90 days are accepted, and end",
            async {
                let (world, chart) = worlds.chart("US", "c28e").await?;
                let note = chart.note("note", "11506-3");
                let mut hold = chart.hold("hold", &note);
                hold["restriction"] = json!({"period": {"end": "2027-02-08T15:00:00Z"}});
                world.put_all(&[note.clone(), hold]).await?;
                world.clock("2027-02-08T14:59:59Z").await?;
                world.expect(&chart.patient(), &note, false).await?;
                world.clock("2027-02-08T15:00:01Z").await?;
                world.expect(&chart.patient(), &note, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "28f a valid hold cannot be edited into an invalid one",
            async {
                let (world, chart) = worlds.chart("US", "c28f").await?;
                let note = chart.note("note", "11506-3");
                let hold = chart.hold("hold", &note);
                world.put_all(&[note.clone(), hold.clone()]).await?;
                let bad = Chart::with_input(hold, "facts", None);
                world.try_put(&bad).await?.expect_outcome(&[422])?;
                world.expect(&chart.patient(), &note, false).await
            },
        )
        .await;
}

/// What a fault does to a valid hold.
type Spoil = Box<dyn Fn(&Chart, Value) -> Value>;

fn faults() -> Vec<Fault<'static>> {
    fn input(code: &'static str, value: Option<(&'static str, Value)>) -> Spoil {
        Box::new(move |_, hold| Chart::with_input(hold, code, value.clone()))
    }
    fn element(key: &'static str, value: Value) -> Spoil {
        Box::new(move |_, mut hold| {
            match &value {
                Value::Null => without(&mut hold, key),
                value => hold[key] = value.clone(),
            }
            hold
        })
    }
    fn by(name: &'static str) -> Spoil {
        Box::new(move |chart, mut hold| {
            hold["requester"] = chart.to("Practitioner", name);
            hold
        })
    }
    let basis = |code: &str| concept(&format!("{CB}/CodeSystem/release-basis"), code);
    vec![
        (
            "no requester",
            &["requester"],
            element("requester", Value::Null),
        ),
        ("a billing clerk", &["qualification"], by("clerk")),
        (
            "a doctor without a relationship",
            &["relationship"],
            by("other"),
        ),
        (
            "no relationship",
            &["relationship"],
            input("relationship", None),
        ),
        (
            "no harm standard",
            &["harm-standard"],
            input("harm-standard", None),
        ),
        (
            "a harm standard that is none",
            &["harm-standard"],
            input("harm-standard", Some(("valueCode", json!("discomfort")))),
        ),
        ("no facts", &["facts"], input("facts", None)),
        (
            "facts of 39 characters",
            &["facts"],
            input(
                "facts",
                Some((
                    "valueString",
                    json!("suicide plan, with a date, known to me."),
                )),
            ),
        ),
        (
            "27 the patient may be upset",
            &["facts", "harm"],
            input(
                "facts",
                Some((
                    "valueString",
                    json!("The patient may be upset and anxious when reading this result alone."),
                )),
            ),
        ),
        (
            "a clinician who wants to discuss it first",
            &["facts", "danger"],
            input(
                "facts",
                Some((
                    "valueString",
                    json!(
                        "I would like to discuss this result with the patient before it is seen."
                    ),
                )),
            ),
        ),
        (
            "a danger that is denied",
            &["facts", "harm"],
            input(
                "facts",
                Some((
                    "valueString",
                    json!("Patient will be upset. There is no risk of suicide or self-harm."),
                )),
            ),
        ),
        (
            "nothing less restrictive considered",
            &["less-restrictive"],
            input("less-restrictive-considered", None),
        ),
        (
            "neither policy nor case-by-case",
            &["policy", "case-by-case"],
            input("case-by-case", None),
        ),
        (
            "case-by-case false",
            &["policy", "case-by-case"],
            input("case-by-case", Some(("valueBoolean", json!(false)))),
        ),
        (
            "no reassess-at",
            &["reassess-at"],
            input("reassess-at", None),
        ),
        (
            "no expiry",
            &["expir", "restriction"],
            element("restriction", Value::Null),
        ),
        (
            "an expiry after 91 days",
            &["expir", "restriction", "90"],
            element(
                "restriction",
                json!({"period": {"end": "2027-02-09T15:00:00Z"}}),
            ),
        ),
        ("no focus", &["focus"], element("focus", Value::Null)),
        (
            "no patient",
            &["task.for", "`for`", "patient"],
            element("for", Value::Null),
        ),
        (
            "no reason",
            &["reason", "release-basis"],
            element("reasonCode", Value::Null),
        ),
        (
            "a reason that no rule knows",
            &["reason", "rule"],
            element("reasonCode", basis("because-we-always-did")),
        ),
        (
            "confidential-source, which is not in force",
            &["reason", "rule"],
            element("reasonCode", basis("confidential-source")),
        ),
        (
            "substantial harm for the patient's own access",
            &["harm-standard"],
            input(
                "harm-standard",
                Some(("valueCode", json!("substantial-harm"))),
            ),
        ),
        (
            "a visit of another patient as relationship",
            &["relationship"],
            Box::new(|_, hold| {
                let elsewhere = json!({"reference": "Encounter/somebody-elses-visit"});
                Chart::with_input(hold, "relationship", Some(("valueReference", elsewhere)))
            }),
        ),
        (
            "a path that is no FHIRPath",
            &["path"],
            Box::new(|_, hold| Chart::with_path(hold, "DocumentReference.content[")),
        ),
        (
            "a path that finds nothing",
            &["path"],
            Box::new(|_, hold| Chart::with_path(hold, "DocumentReference.description")),
        ),
    ]
}

fn without(resource: &mut Value, key: &str) {
    if let Some(object) = resource.as_object_mut() {
        object.remove(key);
    }
}
