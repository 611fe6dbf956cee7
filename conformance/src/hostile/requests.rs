//! Addresses, searches, headers and methods that no honest client sends.

use std::fmt::Write as _;

use anyhow::{Context, ensure};
use reqwest::Method;

use super::{alive, bearable};
use crate::report::Report;
use crate::world::{Who, next_link, short};
use crate::worlds::Worlds;

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case(
            "hostile",
            "searches: injection, absurd values, broken escapes",
            async {
                let (world, chart) = worlds.chart("US", "hostile-search").await?;
                let mut queries: Vec<String> = Vec::new();
                let values = [
                    "'",
                    "' OR 1=1--",
                    "\"",
                    "%27%20OR%20%271%27=%271",
                    "%00",
                    "%ff%fe",
                    "%",
                    "%zz",
                    "%25",
                    "_",
                    "a%2Cb",
                    "\\",
                    "\\,",
                    "\\$",
                    "$",
                    "|",
                    "||",
                    "|||||",
                    "a|b|c|d",
                    "%F0%9F%98%80",
                    "%E2%80%AE",
                    "gt",
                    "ge",
                    "lt1e999999",
                    "1e400",
                    "-1e400",
                    "99999999999999999999999999",
                    "NaN",
                    "0001",
                    "9999-12-31",
                    "Patient/",
                    "Patient/a/b/c",
                    "http://[::1",
                    "urn:uuid:",
                    "/",
                    "//",
                    "..",
                    "%2e%2e%2f",
                ];
                for parameter in [
                    "_id",
                    "identifier",
                    "name",
                    "name:exact",
                    "name:contains",
                    "birthdate",
                    "gender",
                    "_lastUpdated",
                    "_tag",
                    "_profile",
                    "general-practitioner",
                    "organization:Organization.name",
                    "_count",
                    "_sort",
                    "_cursor",
                    "_total",
                    "_summary",
                    "_elements",
                    "_include",
                    "_revinclude",
                    "_has:Observation:patient:code",
                    "_has:Observation:patient:value-quantity",
                    "birthdate:missing",
                    "_format",
                ] {
                    queries.extend(
                        values
                            .iter()
                            .map(|value| format!("Patient?{parameter}={value}")),
                    );
                }
                for query in queries {
                    for who in [&Who::Feed, &chart.patient()] {
                        bearable(&world, who, &query).await?;
                    }
                }
                alive(&world).await
            },
        )
        .await;
    report
        .case("hostile", "searches: thousands of values, parameters, chains; long and deep", async {
            let world = worlds.get("US").await?;
            let values: Vec<String> = (0..3_000).map(|number| number.to_string()).collect();
            let mut many = "Patient?".to_owned();
            for number in 0..1_000 {
                let _ = write!(many, "name=a{number}&");
            }
            let chain = format!("Observation?subject{}.name=x", ":Patient.link".repeat(50));
            let has = format!("Patient?{}code=x", "_has:Observation:patient:".repeat(50));
            let includes: String = (0..300).map(|_| "_include=Observation:subject&").collect();
            for query in [
                format!("Patient?_id={}", values.join(",")),
                format!("Observation?code={}", values.join(",")),
                many,
                chain,
                has,
                format!("Observation?{includes}"),
                format!("Patient?name={}", "a".repeat(7_000)),
                format!("Observation?code:{}=x", "m".repeat(2_000)),
                format!("Patient?_sort={}", vec!["birthdate"; 200].join(",")),
                "Patient?_revinclude=*&_include=*&_count=1000".to_owned(),
                "Observation?_include:iterate=Observation:has-member&_include:iterate=Observation:derived-from".to_owned(),
                "Patient?_count=99999999999999999999".to_owned(),
                format!("{}/Patient", "a/".repeat(500)),
                format!("Patient/{}", "a".repeat(5_000)),
            ] {
                bearable(&world, &Who::Feed, &query).await?;
            }
            alive(&world).await
        })
        .await;
    report
        .case("hostile", "addresses: traversal, NUL, empty parts", async {
            let world = worlds.get("US").await?;
            for path in [
                "Patient/..%2f..%2fetc%2fpasswd",
                "Patient/%00",
                "Patient/%ff",
                "Patient//1",
                "//Patient/1",
                "Patient/1/_history/",
                "Patient/1/_history/0",
                "Patient/1/_history/-1",
                "Patient/1/_history/99999999999999999999",
                "Patient/1/_history/one",
                "Patient/a%20b",
                "Patient/%F0%9F%98%80",
                "patient/1",
                "PATIENT/1",
                "Patient;x=1/1",
                "Patient/1?_format=%00",
                "%24release-ledger%00",
                "$",
                "$release-decision",
                "Patient/1/$release-decision",
                "_history?_count=-5",
                "_history?_since=%00",
                "Patient/_history?_cursor=AAAA",
                "Patient/_history?_at=soon",
            ] {
                bearable(&world, &Who::Feed, path).await?;
            }
            alive(&world).await
        })
        .await;
    report
        .case(
            "hostile",
            "cursors: forged, changed by one bit, and of another viewer",
            async {
                let (world, chart) = worlds.chart("US", "hostile-cursor").await?;
                let (_, other) = worlds.chart("US", "hostile-cursor2").await?;
                let all: Vec<_> = (0..4)
                    .map(|number| chart.observation(&format!("n{number}"), "718-7", 9.0))
                    .collect();
                world.put_all(&all).await?;
                let query = format!("Observation?patient={}&_count=1", chart.id("p"));
                let patient = chart.patient();
                for query in [query, "Observation/_history?_count=1".to_owned()] {
                    let bundle = world.search(&patient, &query).await?;
                    let next =
                        next_link(&bundle).with_context(|| format!("{query} has no next"))?;
                    world.get(&patient, &next).await?.expect(200)?;
                    let theirs = world.get(&other.patient(), &next).await?;
                    ensure!(
                        !theirs.text.contains(&chart.id("n")),
                        "another patient walks on with it"
                    );
                    ensure!(theirs.status.as_u16() < 500, "{}", theirs.status);
                    let (url, cursor) = split(&next)?;
                    for forged in forgeries(&cursor) {
                        let path = format!("{url}{forged}");
                        let answer = world.get(&patient, &path).await?;
                        answer
                            .expect_outcome(&[400])
                            .with_context(|| short(&path))?;
                    }
                }
                Ok(())
            },
        )
        .await;
    report
        .case(
            "hostile",
            "methods and headers that nobody expects",
            async {
                let world = worlds.get("US").await?;
                for method in ["TRACE", "CONNECT2", "PROPFIND", "PATCH", "LINK", "get"] {
                    let method = Method::from_bytes(method.as_bytes())?;
                    let answer = world
                        .raw(Some(&Who::Feed), method.clone(), "Patient/1", &[], None)
                        .await?;
                    let status = answer.status.as_u16();
                    ensure!(matches!(status, 400..=499 | 501), "{method}: {status}");
                }
                let long = "a".repeat(6_000);
                for headers in [
                    ("accept", long.as_str()),
                    ("accept", "application/fhir+json;q=abc;;;=,,"),
                    ("accept", "\u{fffd}"),
                    ("prefer", "return=;;=,handling"),
                    ("if-none-match", long.as_str()),
                    ("if-none-match", "W/\"\u{fffd}\""),
                    ("if-modified-since", "yesterday"),
                    ("range", "bytes=0-1,5-,-9999999"),
                    ("x-forwarded-for", "' OR 1=1"),
                    ("content-type", "application/fhir+json"),
                    ("accept-encoding", "gzip;q=9,*;q=-1"),
                    ("accept-language", long.as_str()),
                    ("cookie", long.as_str()),
                    ("origin", "null"),
                ] {
                    let answer = world
                        .raw(
                            Some(&Who::Feed),
                            Method::GET,
                            "Patient?_count=1",
                            &[headers],
                            None,
                        )
                        .await?;
                    let status = answer.status.as_u16();
                    ensure!(status < 500, "{}: {status}", short(headers.0));
                }
                alive(&world).await
            },
        )
        .await;
}

/// A next link's part before its cursor, and the cursor.
fn split(next: &str) -> anyhow::Result<(String, String)> {
    let url = url::Url::parse(next)?;
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let longest = pairs.iter().max_by_key(|(_, value)| value.len());
    let (name, cursor) = longest.context("a next link without parameters")?;
    let mut rest = url.clone();
    rest.query_pairs_mut()
        .clear()
        .extend_pairs(pairs.iter().filter(|(own, _)| own != name));
    Ok((format!("{rest}&{name}="), cursor.clone()))
}

fn forgeries(cursor: &str) -> Vec<String> {
    let mut forged = vec![
        "AAAA".to_owned(),
        "x".repeat(2_000),
        "%00".to_owned(),
        cursor.chars().rev().collect(),
    ];
    for at in [0, cursor.len() / 2, cursor.len().saturating_sub(2)] {
        let mut changed = cursor.to_owned().into_bytes();
        if let Some(byte) = changed.get_mut(at) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        forged.push(String::from_utf8_lossy(&changed).into_owned());
    }
    if cursor.len() > 8 {
        forged.push(cursor[..cursor.len() - 4].to_owned());
    }
    forged
}
