//! What ran and how it went.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

/// No case may take longer, except the crash rounds, which have one case each.
const LONGEST: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
}

/// One case's result.
#[derive(Debug)]
struct Row {
    suite: &'static str,
    name: String,
    verdict: Verdict,
    error: Option<String>,
    took: Duration,
}

impl Row {
    /// A line of the table, and the reason of a failure below it.
    fn line(&self) -> String {
        let mark = match self.verdict {
            Verdict::Passed => "ok  ",
            Verdict::Failed => "FAIL",
        };
        let took = self.took.as_millis();
        let line = format!("{mark} {:<8} {:<76} {took:>6} ms", self.suite, self.name);
        match &self.error {
            Some(error) => format!("{line}\n     {error}"),
            None => line,
        }
    }
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

    /// Runs a case if it is wanted, says how it went, and takes the result down.
    pub async fn case(
        &mut self,
        suite: &'static str,
        name: &str,
        body: impl Future<Output = Result<()>>,
    ) {
        self.case_within(suite, name, LONGEST, body).await;
    }

    /// The same for a case that may take longer.
    #[expect(clippy::print_stdout, reason = "a command-line program")]
    pub async fn case_within(
        &mut self,
        suite: &'static str,
        name: &str,
        longest: Duration,
        body: impl Future<Output = Result<()>>,
    ) {
        if !self.wants(&format!("{suite} {name}")) {
            return;
        }
        let begun = Instant::now();
        let result = tokio::time::timeout(longest, body).await;
        let result = result.unwrap_or_else(|_| Err(anyhow::anyhow!("not done in {longest:?}")));
        let verdict = match &result {
            Ok(()) => Verdict::Passed,
            Err(_) => Verdict::Failed,
        };
        let error = result.err().map(|error| format!("{error:#}"));
        let row = Row {
            suite,
            name: name.to_owned(),
            verdict,
            error,
            took: begun.elapsed(),
        };
        println!("{}", row.line());
        self.rows.push(row);
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.rows
            .iter()
            .filter(|row| row.verdict == verdict)
            .count()
    }

    pub fn passed(&self) -> usize {
        self.count(Verdict::Passed)
    }

    pub fn failed(&self) -> usize {
        self.count(Verdict::Failed)
    }

    /// The cases that failed, once more, for the end of a long list.
    pub fn failures(&self) -> String {
        let failed = self
            .rows
            .iter()
            .filter(|row| row.verdict == Verdict::Failed);
        failed.map(|row| row.line() + "\n").collect()
    }

    /// A FHIR R4 TestReport.
    pub fn test_report(&self) -> Value {
        let tests: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let result = match row.verdict {
                    Verdict::Passed => "pass",
                    Verdict::Failed => "fail",
                };
                let mut action = json!({"result": result});
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
