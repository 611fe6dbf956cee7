//! What ran and how it went.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

/// One case's result.
#[derive(Debug)]
struct Row {
    suite: &'static str,
    name: String,
    error: Option<String>,
    took: Duration,
}

/// Results so far.
#[derive(Debug)]
pub struct Report {
    only: String,
    rows: Vec<Row>,
}

impl Report {
    /// An empty report that takes only cases whose name contains `only`.
    pub fn new(only: &str) -> Self {
        Self {
            only: only.to_owned(),
            rows: Vec::new(),
        }
    }

    /// Whether a case of this name is wanted.
    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.only)
    }

    /// Runs a case and takes its result down.
    pub async fn case(
        &mut self,
        suite: &'static str,
        name: &str,
        body: impl Future<Output = Result<()>>,
    ) {
        let begun = Instant::now();
        let result = body.await;
        let error = result.err().map(|error| format!("{error:#}"));
        self.rows.push(Row {
            suite,
            name: name.to_owned(),
            error,
            took: begun.elapsed(),
        });
    }

    pub fn passed(&self) -> usize {
        self.rows.iter().filter(|row| row.error.is_none()).count()
    }

    pub fn failed(&self) -> usize {
        self.rows.len() - self.passed()
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let mark = if row.error.is_none() { "ok  " } else { "FAIL" };
            let took = row.took.as_millis();
            text.push_str(&format!(
                "{mark} {:<10} {:<60} {took:>6} ms\n",
                row.suite, row.name
            ));
            if let Some(error) = &row.error {
                text.push_str(&format!("     {error}\n"));
            }
        }
        text
    }

    /// A FHIR R4 TestReport.
    pub fn test_report(&self) -> Value {
        let tests: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let mut action = json!({"result": if row.error.is_none() { "pass" } else { "fail" }});
                if let Some(error) = &row.error {
                    action["message"] = json!(error);
                }
                json!({"name": format!("{}: {}", row.suite, row.name), "action": [{"assert": action}]})
            })
            .collect();
        let score = 100.0 * self.passed() as f64 / self.rows.len().max(1) as f64;
        json!({
            "resourceType": "TestReport",
            "status": "completed",
            "testScript": {"display": "Candor conformance"},
            "result": if self.failed() == 0 { "pass" } else { "fail" },
            "score": score,
            "test": tests,
        })
    }
}
