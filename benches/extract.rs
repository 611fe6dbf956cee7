//! How fast index rows are extracted, and expressions parsed and evaluated: parts of every write.
//!
//! `cargo bench --bench extract`. Throughput is of compact JSON that is parsed already.

use std::path::Path;

use candor::fhir::definitions::{TypeId, definitions};
use candor::fhirpath::{Context, parse};
use candor::keys::Keys;
use candor::search::extract::extract;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use serde_json::Value;

fn main() {
    divan::main();
}

/// The official examples in the repository with their types, and their length as compact JSON.
fn examples() -> (Vec<(TypeId, Value)>, usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/r4-examples");
    let (mut found, mut length) = (Vec::new(), 0);
    for path in std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
    {
        let text = std::fs::read(path).unwrap_or_default();
        let Ok(resource) = serde_json::from_slice::<Value>(&text) else {
            continue;
        };
        let type_name = resource
            .get("resourceType")
            .and_then(Value::as_str)
            .unwrap_or("");
        if let Some(type_id) = definitions().type_id(type_name) {
            length += resource.to_string().len();
            found.push((type_id, resource));
        }
    }
    (found, length)
}

#[divan::bench]
fn index_rows(bencher: Bencher<'_, '_>) {
    let (all, length) = examples();
    let keys = Keys::new([7; 16]);
    bencher.counter(BytesCount::new(length)).bench(|| {
        for (type_id, resource) in &all {
            black_box(extract(
                *type_id,
                resource,
                &keys,
                "https://here.example/fhir/r4",
            ));
        }
    });
}

const EXPRESSION: &str = "Observation.component.where(code.coding.exists(code = '8480-6')).value.as(Quantity).value > 100";

#[divan::bench]
fn parse_expression() {
    let _ = black_box(parse(black_box(EXPRESSION)));
}

#[divan::bench]
fn evaluate_expression(bencher: Bencher<'_, '_>) {
    let (all, _) = examples();
    let Ok(expression) = parse(EXPRESSION) else {
        return;
    };
    let observation = definitions().type_id("Observation");
    let Some((_, resource)) = all
        .iter()
        .find(|(type_id, _)| Some(*type_id) == observation)
    else {
        return;
    };
    bencher.bench(|| {
        expression
            .evaluate(black_box(resource), &Context::default())
            .is_ok()
    });
}
