//! Writes `docs/query-plans.md`: what both databases do with the statements, on some 50 000
//! resources. Not a test of anything: `cargo test --lib search::tests::plans -- --ignored`.

use std::fmt::Write as _;
use std::time::Instant;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::bed::{BASE, Bed, Doc, NOW, Rows, pairs, system, type_id, viewer};
use crate::keys::Keys;
use crate::search::extract::custom::Custom;
use crate::search::parse::{limit, parse};
use crate::search::run::{Context, page_sql};
use crate::search::sql::Lower;
use crate::visibility::{Access, Viewer, ViewerClass, Visibility};

const PATIENTS: usize = 150;
const OBSERVATIONS: usize = 260;
const HOUR: i64 = 3_600_000;
const LOINC: &str = "http://loinc.org";

const SHAPES: &[(bool, &str, &str)] = &[
    (false, "Observation", "patient=p7&category=laboratory"),
    (true, "Observation", "patient=p7&category=laboratory"),
    (
        false,
        "Observation",
        "patient=p7&code=http://loinc.org|c11&date=ge2020-01-01&_count=50",
    ),
    (
        false,
        "Observation",
        "patient=p7&category=laboratory&date=ge2020-01-01&_sort=-date",
    ),
    (true, "Observation", ""),
    (false, "Observation", "patient=p7&date=ge2020-01-01"),
    (false, "Observation", "patient=p7&_sort=-date"),
    (false, "Observation", "patient=p7&_sort=code"),
    (
        false,
        "Observation",
        "patient=p7&category=laboratory,vital-signs",
    ),
    (false, "Observation", "patient=p7&code:not=c11"),
    (false, "Observation", "encounter=Encounter/p7-e3"),
    (false, "Observation", "category=laboratory"),
    (false, "Observation", "code=http://loinc.org|c11"),
    (
        false,
        "Observation",
        "code=http://loinc.org|c11&category=laboratory&status=final",
    ),
    (false, "Observation", "code=c11,c12,c13"),
    (false, "Observation", "code=c11&date=ge2020-01-01"),
    (false, "Observation", "date=2020-01-04"),
    (false, "Observation", "date=ge2020-01-04&_sort=date"),
    (false, "Observation", "code-value-quantity=c11$gt50"),
    (false, "Observation", "value-quantity=gt99"),
    (false, "Observation", "_sort=-_lastUpdated"),
    (false, "Observation", "_sort=value-quantity"),
    (false, "Observation", "code=c11&_sort=-value-quantity"),
    (
        false,
        "Observation",
        "category=laboratory&_sort=value-quantity,-date",
    ),
    (false, "Patient", "_sort=name"),
    (false, "Observation", "_id=p7-o1,p8-o2"),
    (false, "Patient", "identifier=urn:mrn|mrn-7"),
    (false, "Patient", "name=fam7"),
    (
        false,
        "Patient",
        "family=fam7&gender=female&birthdate=gt1950",
    ),
    (
        false,
        "Patient",
        "_has:Observation:patient:code=c11&gender=female",
    ),
    (false, "Patient", "_has:Observation:patient:code=rare"),
    (false, "Condition", "subject:Patient._id=p7"),
    (false, "Condition", "subject:Patient.name=fam7"),
    (
        false,
        "Condition",
        "patient.gender=female&clinical-status=active",
    ),
    (
        false,
        "Condition",
        "encounter.service-provider=Organization/g1&code=k3",
    ),
    (false, "Encounter", "_has:Observation:encounter:code=rare"),
    (false, "", "_type=Observation,Condition&_lastUpdated=gt2020"),
    (true, "", ""),
    (true, "Condition", "encounter.class=AMB"),
];

fn docs(keys: &Keys) -> Vec<Doc> {
    let mut docs = Vec::new();
    let mut number = 0;
    let mut add = |kind: &str, id: String, patient: Option<&str>, rows: Rows<'_>| {
        number += 1;
        docs.push(Doc {
            id: number * 16,
            type_id: type_id(kind),
            fhir_id: id,
            patient: patient.map(str::to_owned),
            updated: NOW - 100_000_000 + number,
            rows: rows.rows,
        });
    };
    for at in 0..10 {
        let rows = Rows::new(keys, "Organization").string("name", &format!("Org {at}"));
        add("Organization", format!("g{at}"), None, rows);
    }
    for at in 0..60 {
        let rows = Rows::new(keys, "Practitioner").string("name", &format!("Doc {at}"));
        add("Practitioner", format!("d{at}"), None, rows);
    }
    for p in 0..PATIENTS {
        let patient = format!("p{p}");
        let rows = Rows::new(keys, "Patient")
            .string("name", &format!("Fam{p}"))
            .string("name", &format!("Giv{p}"))
            .string("family", &format!("Fam{p}"))
            .token(
                "gender",
                "urn:g",
                if p % 2 == 0 { "male" } else { "female" },
            )
            .token("identifier", "urn:mrn", &format!("mrn-{p}"))
            .date(
                "birthdate",
                i64::try_from(p).unwrap() * 100 * HOUR,
                i64::try_from(p).unwrap() * 100 * HOUR + 24 * HOUR,
            );
        add("Patient", patient.clone(), Some(&patient), rows);
        let of = |kind: &'static str| {
            Rows::new(keys, kind)
                .reference("patient", "Patient", &patient)
                .reference("subject", "Patient", &patient)
        };
        for e in 0..30 {
            let day = day(p, e);
            let rows = of("Encounter")
                .token("class", "urn:class", if e % 3 == 0 { "IMP" } else { "AMB" })
                .token("status", "urn:s", "finished")
                .reference("service-provider", "Organization", &format!("g{}", e % 10))
                .reference("participant", "Practitioner", &format!("d{}", (e + p) % 60))
                .date("date", day, day + HOUR);
            add("Encounter", format!("{patient}-e{e}"), Some(&patient), rows);
        }
        for c in 0..25 {
            let day = day(p, c);
            let rows = of("Condition")
                .token("code", "urn:snomed", &format!("k{}", (c * 7 + p) % 90))
                .token("category", "urn:cat", "problem-list-item")
                .token(
                    "clinical-status",
                    "urn:cs",
                    if c % 4 == 0 { "resolved" } else { "active" },
                )
                .reference("encounter", "Encounter", &format!("{patient}-e{c}"))
                .date("onset-date", day, day + HOUR);
            add("Condition", format!("{patient}-c{c}"), Some(&patient), rows);
        }
        for o in 0..OBSERVATIONS {
            let day = day(p, o);
            let code = if o == 0 && p == 5 {
                "rare".to_owned()
            } else {
                format!("c{}", (o * 3 + p) % 40)
            };
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let value = (o * 7 % 100) as f64;
            let rows = of("Observation")
                .token("code", LOINC, &code)
                .token("status", "urn:s", "final")
                .token(
                    "category",
                    "urn:cat",
                    if o % 3 == 0 {
                        "laboratory"
                    } else {
                        "vital-signs"
                    },
                )
                .reference("encounter", "Encounter", &format!("{patient}-e{}", o % 30))
                .reference("performer", "Practitioner", &format!("d{}", o % 60))
                .quantity(
                    "value-quantity",
                    value,
                    "http://unitsofmeasure.org",
                    "mg/dL",
                )
                .code_quantity(
                    "code-value-quantity",
                    ("http://loinc.org", &code),
                    value,
                    "mg/dL",
                )
                .date("date", day, day + 1_000);
            add(
                "Observation",
                format!("{patient}-o{o}"),
                Some(&patient),
                rows,
            );
        }
    }
    docs
}

/// Spread over the years 2015 to 2024.
fn day(patient: usize, item: usize) -> i64 {
    let hours = (patient * 131 + item * 337) % 87_600;
    1_420_070_400_000 + i64::try_from(hours).unwrap() * HOUR
}

/// The statement of a first page.
fn statement(bed: &Bed, who: &Viewer, kind: &str, query: &str) -> Statement {
    let keys = bed.store.keys();
    let visibility = Visibility::of(who, keys, NOW, NOW);
    let kind = crate::fhir::definitions::definitions().type_id(kind);
    let (types, mut parsed) = parse(kind, &pairs(query), true, BASE, &Custom::default()).unwrap();
    let context = Context {
        keys,
        visibility: &visibility,
    };
    let plan = context
        .plan(&types, std::mem::take(&mut parsed.conditions))
        .unwrap();
    let mut lower = Lower::new(keys, &visibility, Access::Search);
    let count = parsed.count.unwrap_or(limit::DEFAULT_COUNT);
    let limit = count as usize + 1;
    lower.sql.text = match crate::search::walk::of(&plan, &parsed) {
        Some(walk) => walk.sql(&mut lower, None, limit).unwrap(),
        None => page_sql(&mut lower, &plan, &parsed, None, limit).unwrap().0,
    };
    lower.sql.statement(bed.store.backend())
}

async fn explain(bed: &Bed, statement: &Statement) -> String {
    let prefix = match bed.store.backend() {
        DbBackend::Postgres => "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) ",
        _ => "EXPLAIN QUERY PLAN ",
    };
    let mut asked = statement.clone();
    asked.sql = format!("{prefix}{}", asked.sql);
    let rows = bed.store.reader().query_all_raw(asked).await.unwrap();
    let mut text = String::new();
    let mut depth = std::collections::HashMap::from([(0, 0)]);
    for row in rows {
        if bed.store.backend() == DbBackend::Postgres {
            let line: String = row.try_get_by_index(0).unwrap();
            writeln!(text, "    {line}").unwrap();
        } else {
            let (id, parent): (i32, i32) = (
                row.try_get_by_index(0).unwrap(),
                row.try_get_by_index(1).unwrap(),
            );
            let line: String = row.try_get_by_index(3).unwrap();
            let indent = depth.get(&parent).copied().unwrap_or(0);
            depth.insert(id, indent + 1);
            writeln!(text, "    {}{line}", "  ".repeat(indent)).unwrap();
        }
    }
    text
}

async fn microseconds(bed: &Bed, statement: &Statement) -> (u128, usize) {
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..15 {
        let start = Instant::now();
        let found = bed.store.reader().query_all_raw(statement.clone()).await;
        times.push(start.elapsed().as_micros());
        rows = found.unwrap().len();
        if start.elapsed().as_millis() > 100 {
            break;
        }
    }
    times.sort_unstable();
    // The machine may be busy with other things: the best run is nearest to the truth.
    (times[0], rows)
}

#[tokio::test]
#[ignore = "writes docs/query-plans.md"]
async fn write_the_plans() {
    let beds = Bed::all().await;
    let ann = viewer(ViewerClass::Patient, Some("p7"), "patient/*.rs");
    for bed in &beds {
        bed.insert(&docs(bed.store.keys()), &[]).await;
        let connection = bed.store.reader();
        // SQLite has the statistics of its migration; PostgreSQL gathers its own.
        if bed.store.backend() == DbBackend::Postgres {
            connection
                .execute_unprepared("VACUUM ANALYZE")
                .await
                .unwrap();
        }
    }
    let only = std::env::var("CANDOR_PLANS_ONLY").ok();
    let mut text = String::new();
    for (is_patient, kind, query) in SHAPES {
        if only
            .as_ref()
            .is_some_and(|only| !query.contains(only.as_str()))
        {
            continue;
        }
        let who = if *is_patient { &ann } else { &system() };
        writeln!(
            text,
            "### `{kind}?{query}`{}\n",
            if *is_patient {
                ", as a patient's app"
            } else {
                ""
            }
        )
        .unwrap();
        for bed in &beds {
            let statement = statement(bed, who, kind, query);
            if bed.store.backend() == DbBackend::Sqlite {
                writeln!(text, "    {}\n", statement.sql).unwrap();
            }
            let plan = explain(bed, &statement).await;
            let (time, rows) = microseconds(bed, &statement).await;
            #[expect(clippy::print_stderr, reason = "a tool's progress")]
            {
                eprintln!("{time:>9} µs {:?} {kind}?{query}", bed.store.backend());
            }
            writeln!(
                text,
                "{:?}, {rows} rows, {time} µs:\n\n{plan}",
                bed.store.backend()
            )
            .unwrap();
        }
    }
    let path =
        std::env::var("CANDOR_PLANS_FILE").unwrap_or_else(|_| "/tmp/query-plans.md".to_owned());
    std::fs::write(path, text).unwrap();
}
