//! JSON that is broken, deep, large, or says absurd things.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::{alive, refused};
use crate::report::Report;
use crate::server::BODY_MEGABYTES;
use crate::world::{Who, short};
use crate::worlds::Worlds;

const JSON: &str = "application/fhir+json";

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case("hostile", "JSON that is none", async {
            let world = worlds.get("US").await?;
            let bodies: Vec<Vec<u8>> = vec![
                b"".to_vec(),
                b" ".to_vec(),
                b"{".to_vec(),
                b"null".to_vec(),
                b"[]".to_vec(),
                b"42".to_vec(),
                b"\"Patient\"".to_vec(),
                b"{\"resourceType\":\"Patient\"".to_vec(),
                b"{\"resourceType\":\"Patient\",}".to_vec(),
                b"{\"resourceType\":\"Patient\"} {}".to_vec(),
                b"{'resourceType':'Patient'}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"active\":NaN}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"active\":true,\"active\":false}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"resourceType\":\"Group\"}".to_vec(),
                b"{\"active\":true}".to_vec(),
                b"{\"resourceType\":7}".to_vec(),
                b"{\"resourceType\":\"patient\"}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"name\":[null]}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"active\":null}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"id\":{}}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"meta\":[]}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"\xff\xfe\"}]}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"\xc0\xaf\"}]}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"\xed\xa0\x80\"}]}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"\\ud800\"}]}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"a\\u0000b\"}]}".to_vec(),
                b"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"a\nb\"}]}".to_vec(),
                vec![0; 4096],
                vec![0xff; 4096],
            ];
            for body in bodies {
                let words = short(&String::from_utf8_lossy(&body));
                refused(&world, JSON, body, &[400, 415, 422])
                    .await
                    .with_context(|| words)?;
            }
            alive(&world).await
        })
        .await;
    report
        .case(
            "hostile",
            "JSON nested 100, 10 000 and 1 000 000 deep",
            async {
                let world = worlds.get("US").await?;
                for depth in [100_usize, 10_000, 1_000_000] {
                    let arrays = format!(
                        "{{\"resourceType\":\"Patient\",\"name\":{}{}}}",
                        "[".repeat(depth),
                        "]".repeat(depth)
                    );
                    refused(&world, JSON, arrays.into_bytes(), &[400, 413, 422]).await?;
                    let objects = format!(
                        "{{\"resourceType\":\"Patient\",\"extension\":{}1{}}}",
                        "[{\"url\":\"u\",\"extension\":".repeat(depth.min(100_000)),
                        "}]".repeat(depth.min(100_000))
                    );
                    refused(&world, JSON, objects.into_bytes(), &[400, 413, 422]).await?;
                }
                alive(&world).await
            },
        )
        .await;
    report
        .case(
            "hostile",
            "contained within contained, a Bundle within a Bundle",
            async {
                let world = worlds.get("US").await?;
                let mut inner = json!({"resourceType": "Patient", "id": "a"});
                for _ in 0..50 {
                    inner = json!({"resourceType": "Patient", "id": "a", "contained": [inner]});
                }
                refused(&world, JSON, inner.to_string().into_bytes(), &[400, 422]).await?;
                let mut bundle =
                    json!({"resourceType": "Bundle", "type": "transaction", "entry": []});
                for _ in 0..20 {
                    bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
                    {"resource": bundle, "request": {"method": "POST", "url": ""}}]});
                }
                world
                    .try_transaction(&bundle)
                    .await?
                    .expect_outcome(&[400, 422])?;
                alive(&world).await
            },
        )
        .await;
    report
        .case(
            "hostile",
            "bodies over the limit, plain and by gzip",
            async {
                let world = worlds.get("US").await?;
                let large = |bytes: usize| {
                    let mut body =
                        b"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"".to_vec();
                    body.resize(bytes, b'a');
                    body.extend(b"\"}]}");
                    body
                };
                // A refused body costs the connection: time for the client to notice.
                let breathe = || tokio::time::sleep(Duration::from_millis(100));
                for megabytes in [BODY_MEGABYTES + 1, 100] {
                    let headers = [("content-type", JSON)];
                    let sent = world
                        .raw(
                            Some(&Who::Feed),
                            Method::POST,
                            "Patient",
                            &headers,
                            Some(large(megabytes << 20)),
                        )
                        .await;
                    // A server may close the connection before all is sent; it must not take it.
                    if let Ok(answer) = sent {
                        answer
                            .expect_outcome(&[413])
                            .with_context(|| format!("{megabytes} MB"))?;
                    }
                    breathe().await;
                    alive(&world).await?;
                }
                let headers = [("content-type", JSON), ("content-encoding", "gzip")];
                let bomb = gzip_of_blanks(512);
                let sent = world
                    .raw(
                        Some(&Who::Feed),
                        Method::POST,
                        "Patient",
                        &headers,
                        Some(bomb),
                    )
                    .await;
                if let Ok(answer) = sent {
                    answer
                        .expect_outcome(&[400, 413, 415])
                        .context("a gzip bomb")?;
                }
                breathe().await;
                let garbage = Some(b"this is no gzip".to_vec());
                let sent = world
                    .raw(Some(&Who::Feed), Method::POST, "Patient", &headers, garbage)
                    .await?;
                sent.expect_outcome(&[400, 415]).context("no gzip at all")?;
                alive(&world).await
            },
        )
        .await;
    report
        .case("hostile", "absurd dates and times", async {
            let world = worlds.get("US").await?;
            for date in [
                "0000-01-01",
                "0000",
                "-001-01-01",
                "10000-01-01",
                "99999",
                "2026-00-10",
                "2026-13-01",
                "2026-02-30",
                "2023-02-29",
                "2026-11-31",
                "2026-1-1",
                "20261110",
                "2026-11-10T",
                "yesterday",
                "",
                " 2026",
                "2026-11-10T15:00:00Z",
                "２０２６",
            ] {
                let body = json!({"resourceType": "Patient", "birthDate": date});
                let body = body.to_string().into_bytes();
                refused(&world, JSON, body, &[400, 422])
                    .await
                    .with_context(|| date.to_owned())?;
            }
            for time in [
                "2026-11-10T25:00:00Z",
                "2026-11-10T15:60:00Z",
                "2026-11-10T15:00:61Z",
                "2026-11-10T15:00:00",
                "2026-11-10T15:00Z",
                "2026-11-10T15:00:00+25:00",
                "2026-11-10T15:00:00+14:60",
                "2026-02-30T00:00:00Z",
                "2026-11-10 15:00:00Z",
                "99999-11-10T15:00:00Z",
            ] {
                let body = json!({"resourceType": "Patient", "deceasedDateTime": time});
                let body = body.to_string().into_bytes();
                refused(&world, JSON, body, &[400, 422])
                    .await
                    .with_context(|| time.to_owned())?;
            }
            // Strange but lawful ones are taken and can be searched.
            for (id, date) in [
                ("first", "0001-01-01"),
                ("last", "9999-12-31"),
                ("leap", "2000-02-29"),
            ] {
                let id = format!("hostile-{id}");
                let body = json!({"resourceType": "Patient", "id": id, "birthDate": date});
                world.put(&body).await?;
                let found = world
                    .found(&Who::Feed, &format!("Patient?birthdate={date}&_id={id}"))
                    .await?;
                ensure!(found.len() == 1, "{date} is not found");
            }
            Ok(())
        })
        .await;
    report
        .case("hostile", "absurd numbers", async {
            let world = worlds.get("US").await?;
            let observation = |value: &str| {
                format!("{{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{{\"text\":\"x\"}},\"valueQuantity\":{{\"value\":{value}}}}}")
            };
            let long = format!("0.{}1", "0".repeat(10_000));
            let wide = "9".repeat(10_000);
            for value in [
                "1e400", "-1e400", "1e999999999", "1e-999999999", "0e99999999999999999999", "-0", "-0.0",
                "1E+2", long.as_str(), wide.as_str(), "123456789012345678901234567890.123456789",
            ] {
                let headers = [("content-type", JSON)];
                let body = Some(observation(value).into_bytes());
                let answer = world.raw(Some(&Who::Feed), Method::POST, "Observation", &headers, body).await?;
                let status = answer.status.as_u16();
                ensure!(
                    matches!(status, 201 | 400 | 413 | 422),
                    "{}: {status} {}",
                    short(value),
                    short(&answer.text)
                );
                if status == 201 {
                    let stored = answer.json()?;
                    let path = crate::world::reference(&stored);
                    world.get(&Who::Feed, &path).await?.expect(200).with_context(|| short(value))?;
                }
            }
            for value in ["01", "1.", ".5", "+1", "0x10", "1e", "Infinity", "\"7\"", "true", "[1]", "{}"] {
                let headers = [("content-type", JSON)];
                let body = Some(observation(value).into_bytes());
                let answer = world.raw(Some(&Who::Feed), Method::POST, "Observation", &headers, body).await?;
                answer.expect_outcome(&[400, 422]).with_context(|| value.to_owned())?;
            }
            for (name, value) in [("multipleBirthInteger", "2147483648"), ("multipleBirthInteger", "1.5"),
                ("multipleBirthInteger", "1e3")] {
                let body = format!("{{\"resourceType\":\"Patient\",\"{name}\":{value}}}");
                refused(&world, JSON, body.into_bytes(), &[400, 422]).await.with_context(|| value.to_owned())?;
            }
            alive(&world).await
        })
        .await;
    report
        .case(
            "hostile",
            "a hundred thousand elements, entries, extensions",
            async {
                let world = worlds.get("US").await?;
                let mut many = json!({"resourceType": "Patient"});
                let names: Vec<Value> = (0..100_000).map(|_| json!({"family": "a"})).collect();
                many["name"] = Value::Array(names);
                let headers = [("content-type", JSON)];
                let body = Some(many.to_string().into_bytes());
                let answer = world
                    .raw(Some(&Who::Feed), Method::POST, "Patient", &headers, body)
                    .await?;
                ensure!(answer.status.as_u16() < 500, "names: {}", answer.status);
                let entry = json!({"request": {"method": "GET", "url": "Patient/none"}});
                let entries: Vec<Value> = (0..5_000).map(|_| entry.clone()).collect();
                let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
                let answer = world.try_transaction(&bundle).await?;
                ensure!(answer.status.as_u16() < 500, "entries: {}", answer.status);
                alive(&world).await
            },
        )
        .await;
    report
        .case("hostile", "FHIRPath in a hold that never ends or never parses", async {
            let (world, chart) = worlds.chart("US", "hostile-path").await?;
            let note = chart.note("note", "11506-3");
            world.put(&note).await?;
            let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
            let chain = format!("DocumentReference{}", ".descendants()".repeat(40));
            for path in [
                deep.as_str(), chain.as_str(), "DocumentReference.repeat($this)",
                "DocumentReference.repeat(children()).repeat(children())", "'a'.matches('(a+)+$')",
                "(((((", "iif(true, 1)", "%x", "$total", "{}", "", "1 + ", "descendants().descendants()",
                "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matches('^(([a-z])+.)+[A-Z]([a-z])+$')",
            ] {
                let hold = crate::fixtures::Chart::with_path(chart.hold("hold", &note), path);
                let answer = world.try_put(&hold).await?;
                let status = answer.status.as_u16();
                ensure!(status < 500, "{}: {status} {}", short(path), short(&answer.text));
                alive(&world).await?;
            }
            Ok(())
        })
        .await;
}

/// Gzip of so many megabytes of blanks, which is small.
fn gzip_of_blanks(megabytes: usize) -> Vec<u8> {
    use std::io::Write as _;
    let mut one = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..megabytes {
        if one.write_all(&blanks).is_err() {
            break;
        }
    }
    one.finish().unwrap_or_default()
}
