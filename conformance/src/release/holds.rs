//! R03, R08 to R11: valid holds, how they end, and what they leave visible.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fixtures::Chart;
use crate::report::Report;
use crate::world::{Who, transaction, wall_clock};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    in_force(worlds, report).await;
    ended(worlds, report).await;
    narrowed(worlds, report).await;
    others(worlds, report).await;
}

async fn in_force(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "26 a hold with everything: withheld, and only that",
            async {
                let (world, chart) = worlds.chart("US", "c26").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let free = chart.observation("free", "718-7", 8.0);
                world.put_all(&[held.clone(), free.clone()]).await?;
                world.expect(&chart.patient(), &held, true).await?;
                let hold = chart.hold("hold", &held);
                world.put(&hold).await?;
                world.expect(&chart.patient(), &held, false).await?;
                world.expect(&chart.patient(), &free, true).await?;
                world.expect(&Who::Feed, &held, true).await?;
                let md = Who::Clinician(chart.id("md"));
                let path = format!("Observation/{}", chart.id("held"));
                world.get(&md, &path).await?.expect(200)?;
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "26b the hold itself tells the patient nothing",
            async {
                let (world, chart) = worlds.chart("US", "c26b").await?;
                let held = chart.note("held", "11506-3");
                let hold = chart.hold("hold", &held);
                world.put_all(&[held.clone(), hold.clone()]).await?;
                let answer = world
                    .get(&chart.patient(), &format!("Task/{}", chart.id("hold")))
                    .await?;
                for word in ["suicide", &chart.id("held")] {
                    ensure!(!answer.text.contains(word), "the Task tells: {word}");
                }
                let owned = format!("DocumentReference/{}", chart.id("held"));
                for query in [
                    "Task?_count=100".to_owned(),
                    format!("Task?focus={owned}&_summary=count"),
                ] {
                    let tasks = world.get(&chart.patient(), &query).await?;
                    ensure!(
                        !tasks.text.contains("\"reference\":\"DocumentReference"),
                        "{query} names it"
                    );
                    ensure!(!tasks.text.contains("\"total\":1"), "{query} counts it");
                }
                world.expect(&Who::Feed, &hold, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "26c the notice: on request, aggregate, with basis, review, complaint",
            async {
                let (world, chart) = worlds.chart("US", "c26c").await?;
                let held = chart.note("held", "11506-3");
                let hold = chart.hold("hold", &held);
                world.put_all(&[held, hold]).await?;
                let query = format!("DocumentReference?patient={}", chart.id("p"));
                let plain = world.get(&chart.patient(), &query).await?.expect(200)?;
                ensure!(
                    !plain.text.contains("suppressed"),
                    "told without being asked"
                );
                let asked = [("prefer", "withheld-notice")];
                let told = world
                    .request_with(&chart.patient(), reqwest::Method::GET, &query, &asked, None)
                    .await?
                    .expect(200)?;
                let bundle = told.json()?;
                let outcomes = outcomes(&bundle);
                ensure!(outcomes.len() == 1, "{} notices", outcomes.len());
                let text = outcomes[0].to_string();
                for word in ["suppressed", "164.524", "review", "omplain"] {
                    ensure!(
                        text.contains(word),
                        "the notice does not say {word}: {text}"
                    );
                }
                for word in [chart.id("held"), chart.id("hold"), chart.id("md")] {
                    ensure!(!told.text.contains(&word), "the notice names {word}");
                }
                let count = world
                    .search(&chart.patient(), &format!("{query}&_summary=count"))
                    .await?;
                ensure!(count["total"] == 0, "counted {}", count["total"]);
                Ok(())
            },
        )
        .await;
    report
        .case("release", "26d policy instead of case-by-case; a CareTeam as relationship; POST", async {
            let (world, chart) = worlds.chart("US", "c26d").await?;
            let one = chart.observation("one", "718-7", 7.0);
            let two = chart.observation("two", "718-7", 7.5);
            let team = json!({"resourceType": "CareTeam", "id": chart.id("team"), "status": "active",
                "subject": chart.subject(),
                "participant": [{"member": chart.to("Practitioner", "md")}]});
            world.put_all(&[one.clone(), two.clone(), team]).await?;
            let policy = Chart::with_input(chart.hold("by-policy", &one), "case-by-case", None);
            let policy = Chart::with_input(policy, "policy", Some(("valueString", json!("HARM-7@3"))));
            world.put(&policy).await?;
            let team = ("valueReference", chart.to("CareTeam", "team"));
            let mut posted = Chart::with_input(chart.hold("x", &two), "relationship", Some(team));
            if let Some(object) = posted.as_object_mut() {
                object.remove("id");
            }
            let created = world.request(&Who::Feed, reqwest::Method::POST, "Task", Some(&posted));
            created.await?.expect(201)?;
            world.expect(&chart.patient(), &one, false).await?;
            world.expect(&chart.patient(), &two, false).await
        })
        .await;
    report
        .case(
            "release",
            "26e the hold arrives before what it holds",
            async {
                let (world, chart) = worlds.chart("US", "c26e").await?;
                let held = chart.observation("late", "718-7", 7.0);
                world.put(&chart.hold("hold", &held)).await?;
                world.put(&held).await?;
                world.expect(&chart.patient(), &held, false).await
            },
        )
        .await;
    report
        .case(
            "release",
            "26f a new version of what is held is held as well",
            async {
                let (world, chart) = worlds.chart("US", "c26f").await?;
                let mut held = chart.observation("held", "718-7", 7.0);
                world
                    .put_all(&[held.clone(), chart.hold("hold", &held)])
                    .await?;
                held["status"] = json!("amended");
                world.put(&held).await?;
                world.expect(&chart.patient(), &held, false).await
            },
        )
        .await;
    report
        .case(
            "release",
            "26g the hold, its focus and its evidence in one transaction",
            async {
                let world = worlds.get("US").await?;
                let chart = Chart::new("c26g");
                let held = chart.note("held", "11506-3");
                let mut all = chart.people();
                all.insert(0, chart.hold("hold", &held));
                all.insert(0, held.clone());
                world.put_all(&all).await?;
                world.expect(&chart.patient(), &held, false).await
            },
        )
        .await;
}

/// Every way a hold ends: the stroke of the clock, a word of the determiner, a review.
async fn ended(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "30 expired a second ago: released without any job",
            async {
                let (world, chart) = worlds.chart("US", "c30").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let mut hold = chart.hold("hold", &held);
                hold["restriction"] = json!({"period": {"end": "2026-11-10T16:00:00Z"}});
                world.put_all(&[held.clone(), hold]).await?;
                world.clock("2026-11-10T15:59:59Z").await?;
                world.expect(&chart.patient(), &held, false).await?;
                world.clock("2026-11-10T16:00:01Z").await?;
                world.expect(&chart.patient(), &held, true).await
            },
        )
        .await;
    for status in ["cancelled", "completed"] {
        report
            .case(
                "release",
                &format!("30b {status}: released at once"),
                async {
                    let (world, chart) = worlds.chart("US", &format!("c30b-{status}")).await?;
                    let held = chart.observation("held", "718-7", 7.0);
                    let mut hold = chart.hold("hold", &held);
                    world.put_all(&[held.clone(), hold.clone()]).await?;
                    world.expect(&chart.patient(), &held, false).await?;
                    hold["status"] = json!(status);
                    world.put(&hold).await?;
                    world.expect(&chart.patient(), &held, true).await
                },
            )
            .await;
    }
    report
        .case(
            "release",
            "30c a hold that is deleted holds no longer",
            async {
                let (world, chart) = worlds.chart("US", "c30c").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let hold = chart.hold("hold", &held);
                world.put_all(&[held.clone(), hold.clone()]).await?;
                world.expect(&chart.patient(), &held, false).await?;
                world.delete(&hold).await?;
                world.expect(&chart.patient(), &held, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "30d a Task that is not in progress holds nothing",
            async {
                let (world, chart) = worlds.chart("US", "c30d").await?;
                let note = chart.observation("note", "718-7", 7.0);
                world.put(&note).await?;
                for status in ["draft", "requested", "on-hold", "entered-in-error"] {
                    let mut hold = chart.hold(&format!("hold-{status}"), &note);
                    hold["status"] = json!(status);
                    world.put(&hold).await?;
                    world.expect(&chart.patient(), &note, true).await?;
                }
                Ok(())
            },
        )
        .await;
    report
        .case("release", "30e of two holds the longer one counts", async {
            let (world, chart) = worlds.chart("US", "c30e").await?;
            let held = chart.observation("held", "718-7", 7.0);
            let mut first = chart.hold("first", &held);
            first["restriction"] = json!({"period": {"end": "2026-11-11T15:00:00Z"}});
            let mut second = chart.hold("second", &held);
            second["restriction"] = json!({"period": {"end": "2026-11-12T15:00:00Z"}});
            world
                .put_all(&[held.clone(), first, second.clone()])
                .await?;
            world.clock("2026-11-11T15:00:01Z").await?;
            world.expect(&chart.patient(), &held, false).await?;
            second["status"] = json!("cancelled");
            world.put(&second).await?;
            world.expect(&chart.patient(), &held, true).await
        })
        .await;
    report
        .case(
            "release",
            "30f the determiner's relationship evidence is taken back",
            async {
                let (world, chart) = worlds.chart("US", "c30f").await?;
                let held = chart.observation("held", "718-7", 7.0);
                world
                    .put_all(&[held.clone(), chart.hold("hold", &held)])
                    .await?;
                world.expect(&chart.patient(), &held, false).await?;
                let mut visit = chart.visit("visit", "md");
                visit["status"] = json!("entered-in-error");
                world.put(&visit).await?;
                world.expect(&chart.patient(), &held, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "31 a reviewer who determined the hold is refused",
            async {
                let (world, chart) = worlds.chart("US", "c31").await?;
                let held = chart.observation("held", "718-7", 7.0);
                let hold = chart.hold("hold", &held);
                world.put_all(&[held.clone(), hold.clone()]).await?;
                let own = chart.review("own", &hold, "md", None);
                let refused = world.try_put(&own).await?.expect_outcome(&[422])?;
                ensure!(
                    refused.text.contains("owner"),
                    "Task.owner is not named: {}",
                    refused.text
                );
                let asked = chart.review("asked", &hold, "other", None);
                world.put(&asked).await?;
                world.expect(&chart.patient(), &held, false).await
            },
        )
        .await;
    for (outcome, there) in [("upheld", false), ("reversed", true)] {
        report
            .case(
                "release",
                &format!("31b reviewed by another and {outcome}"),
                async {
                    let (world, chart) = worlds.chart("US", &format!("c31b-{outcome}")).await?;
                    let held = chart.observation("held", "718-7", 7.0);
                    let hold = chart.hold("hold", &held);
                    world.put_all(&[held.clone(), hold.clone()]).await?;
                    world
                        .put(&chart.review("review", &hold, "other", Some(outcome)))
                        .await?;
                    world.expect(&chart.patient(), &held, there).await
                },
            )
            .await;
    }
    report
        .case(
            "release",
            "15b release-now does not end a harm hold of another",
            async {
                let (world, chart) = worlds.chart("US", "c15b").await?;
                let held = chart.observation("held", "718-7", 7.0);
                world
                    .put_all(&[held.clone(), chart.hold("hold", &held)])
                    .await?;
                world
                    .put(&chart.release_now("now", &held, "other", "2026-11-10T15:00:00Z"))
                    .await?;
                world.expect(&chart.patient(), &held, false).await
            },
        )
        .await;
}

/// Holds on parts of a resource.
async fn narrowed(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "33 one paragraph suffices: the path goes, the rest stays",
            async {
                let (world, chart) = worlds.chart("US", "c33").await?;
                let sections = [("Plan", "Walk daily"), ("Risk", "Said that he would jump")];
                let mut note = chart.composition("note", &sections);
                note["text"] = json!({"status": "generated",
                "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">All of it: would jump</div>"});
                let hold = chart.hold("hold", &note);
                let hold = Chart::with_path(hold, "Composition.section.where(title='Risk')");
                world.put_all(&[note.clone(), hold.clone()]).await?;
                world.expect(&chart.patient(), &note, true).await?;
                let seen = world.read(&chart.patient(), &note).await?;
                let text = seen.to_string();
                ensure!(
                    text.contains("Walk daily"),
                    "what is not held went too: {text}"
                );
                ensure!(
                    !text.contains("jump") && !text.contains("Risk"),
                    "the part is there: {text}"
                );
                let whole = world.read(&Who::Feed, &note).await?.to_string();
                ensure!(whole.contains("would jump"), "the record itself was cut");
                let mut over = hold;
                over["status"] = json!("cancelled");
                world.put(&over).await?;
                let seen = world.read(&chart.patient(), &note).await?.to_string();
                ensure!(seen.contains("would jump"), "not whole after the hold");
                Ok(())
            },
        )
        .await;
    report
        .case(
            "release",
            "33b the cut part is not searchable, the rest is",
            async {
                let (world, chart) = worlds.chart("US", "c33b").await?;
                let mut lab = chart.observation("lab", "718-7", 7.0);
                lab["interpretation"] = json!([{"coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
                "code": "LL"}]}]);
                let hold = Chart::with_path(chart.hold("hold", &lab), "Observation.value");
                world.put_all(&[lab.clone(), hold]).await?;
                world.expect(&chart.patient(), &lab, true).await?;
                let id = chart.id("lab");
                for (query, there) in [
                    (format!("Observation?_id={id}&value-quantity=7"), false),
                    (format!("Observation?_id={id}&value-quantity=lt8"), false),
                    (format!("Observation?_id={id}&code=718-7"), true),
                    (
                        format!("Observation?_id={id}&code-value-quantity=718-7$7"),
                        false,
                    ),
                ] {
                    let found = !world.found(&chart.patient(), &query).await?.is_empty();
                    ensure!(found == there, "{query}: found {found}");
                }
                Ok(())
            },
        )
        .await;
    report
        .case("release", "33c a whole chart cannot be held", async {
            let (world, chart) = worlds.chart("US", "c33c").await?;
            let note = chart.note("note", "11506-3");
            world.put(&note).await?;
            let hold = chart.hold("hold", &chart.people()[0]);
            world.try_put(&hold).await?.expect_outcome(&[422])?;
            world.expect(&chart.patient(), &note, true).await
        })
        .await;
    report
        .case("release", "36 a daughter's disclosure: those paths, and no name of a provider", async {
            let (world, chart) = worlds.chart("US", "c36").await?;
            let sections = [
                ("Assessment", "Seen by Dr. Lee"),
                ("Collateral", "Her daughter told us of his threats"),
                ("Family", "The daughter moved out"),
            ];
            let note = chart.composition("note", &sections);
            let mut hold = chart.hold_of("hold", &note, "harm-third-party", "substantial-harm");
            let facts = "The daughter disclosed threats; he would retaliate and injure her if he read it.";
            hold = Chart::with_input(hold, "facts", Some(("valueString", json!(facts))));
            for title in ["Collateral", "Family"] {
                let path = format!("Composition.section.where(title='{title}')");
                hold = Chart::with_path(hold, &path);
            }
            world.put_all(&[note.clone(), hold]).await?;
            let seen = world.read(&chart.patient(), &note).await?;
            let text = seen.to_string();
            ensure!(!text.contains("aughter"), "the disclosure is there: {text}");
            ensure!(text.contains("Dr. Lee"), "the rest went too: {text}");
            ensure!(seen["author"] == note["author"], "the author went");
            world.expect(&chart.patient(), &note, true).await
        })
        .await;
}

/// Other grounds: a representative's access, a data defect, litigation.
async fn others(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "release",
            "35 substantial harm is no ground against the patient",
            async {
                let (world, chart) = worlds.chart("US", "c35").await?;
                let [related, permit] = chart.proxy("sam");
                let note = chart.note("note", "11506-3");
                world.put_all(&[related, permit, note.clone()]).await?;
                let own = chart.hold_of("own", &note, "harm-self", "substantial-harm");
                let refused = world.try_put(&own).await?.expect_outcome(&[422])?;
                ensure!(
                    refused.text.contains("harm-standard"),
                    "not named: {}",
                    refused.text
                );
                let hold = chart.hold_of("rep", &note, "harm-representative", "substantial-harm");
                world.put(&hold).await?;
                world.expect(&chart.patient(), &note, true).await?;
                world
                    .expect(&chart.representative("sam"), &note, false)
                    .await
            },
        )
        .await;
    report
        .case(
            "release",
            "35b held off one representative, not the other",
            async {
                let (world, chart) = worlds.chart("US", "c35b").await?;
                let mut all: Vec<Value> = chart.proxy("sam").into();
                all.extend(chart.proxy("kim"));
                let note = chart.note("note", "11506-3");
                all.push(note.clone());
                world.put_all(&all).await?;
                let mut hold =
                    chart.hold_of("hold", &note, "harm-representative", "substantial-harm");
                hold["restriction"]["recipient"] = json!([chart.to("RelatedPerson", "sam")]);
                world.put(&hold).await?;
                world
                    .expect(&chart.representative("sam"), &note, false)
                    .await?;
                world
                    .expect(&chart.representative("kim"), &note, true)
                    .await?;
                world.expect(&chart.patient(), &note, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "R11 suspected to be another patient's: quarantined, then corrected",
            async {
                let (world, chart) = worlds.chart("US", "r11").await?;
                let lab = chart.observation("lab", "718-7", 7.0);
                let mut hold = chart.defect("defect", &lab, "wrong patient");
                world.put_all(&[lab.clone(), hold.clone()]).await?;
                world.expect(&chart.patient(), &lab, false).await?;
                hold["status"] = json!("completed");
                world.put(&hold).await?;
                world.expect(&chart.patient(), &lab, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "R03 compiled for a legal proceeding: not EHI",
            async {
                let (world, chart) = worlds.chart("US", "r03").await?;
                let note = chart.note("note", "51847-2");
                world
                    .put_all(&[note.clone(), chart.litigation("hold", &note)])
                    .await?;
                world.expect(&chart.patient(), &note, false).await?;
                let other = chart.note("other", "51847-2");
                world.put(&other).await?;
                let bare = Chart::with_input(chart.litigation("bare", &other), "matter", None);
                let refused = world.try_put(&bare).await?.expect_outcome(&[422])?;
                ensure!(
                    refused.text.contains("matter"),
                    "not named: {}",
                    refused.text
                );
                world.expect(&chart.patient(), &other, true).await
            },
        )
        .await;
    report
        .case(
            "release",
            "28b the same invalid hold: refused over the API, kept from a feed",
            async {
                let (world, chart) = worlds.chart("US", "c28b").await?;
                let note = chart.note("note", "11506-3");
                world.put(&note).await?;
                let bad = Chart::with_input(chart.hold("bad", &note), "relationship", None);
                let bundle = transaction(&[chart.note("beside", "11506-3"), bad.clone()]);
                world
                    .try_transaction(&bundle)
                    .await?
                    .expect_outcome(&[422])?;
                let beside = format!("DocumentReference/{}", chart.id("beside"));
                world.get(&Who::Feed, &beside).await?.expect(404)?;
                world
                    .feed("c28b", &transaction(std::slice::from_ref(&bad)))
                    .await?;
                world.expect(&Who::Feed, &bad, true).await?;
                world.expect(&chart.patient(), &note, true).await?;
                let ledger = world.ledger().await?;
                ensure!(
                    ledger.contains("evidence_gap"),
                    "the ledger has no evidence_gap"
                );
                Ok(())
            },
        )
        .await;
    report
        .case("release", "28c a valid hold from a feed holds", async {
            let (world, chart) = worlds.chart("US", "c28c").await?;
            let note = chart.note("note", "11506-3");
            world.put(&note).await?;
            let hold = chart.hold_at("hold", &note, wall_clock());
            world
                .feed("c28c", &transaction(std::slice::from_ref(&hold)))
                .await?;
            world.expect(&chart.patient(), &note, false).await
        })
        .await;
}

/// OperationOutcomes among the entries of a searchset.
fn outcomes(bundle: &Value) -> Vec<Value> {
    let all = bundle["entry"].as_array().into_iter().flatten();
    let outcomes = all.map(|entry| &entry["resource"]);
    outcomes
        .filter(|one| one["resourceType"] == "OperationOutcome")
        .cloned()
        .collect()
}
