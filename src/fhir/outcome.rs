//! OperationOutcome: how every problem reaches a FHIR client.

use serde_json::{Value, json};

/// One problem, as in `OperationOutcome.issue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// `fatal`, `error`, `warning` or `information`.
    pub severity: &'static str,
    /// A code of <http://hl7.org/fhir/issue-type>: `invalid`, `structure`, `required`, `value`,
    /// `not-supported`, `not-found`, `conflict`, `forbidden`, `login`, `suppressed`, ...
    pub code: &'static str,
    /// What is wrong and what to do, in words. Never holds a value from a stored record.
    pub diagnostics: String,
    /// FHIRPath of the element, `Patient.name[0].given`, or empty.
    pub expression: String,
}

impl Issue {
    /// An `error` without a location.
    #[must_use]
    pub fn error(code: &'static str, diagnostics: impl Into<String>) -> Self {
        Self {
            severity: "error",
            code,
            diagnostics: diagnostics.into(),
            expression: String::new(),
        }
    }

    /// The same issue at a FHIRPath location.
    #[must_use]
    pub fn at(mut self, expression: impl Into<String>) -> Self {
        self.expression = expression.into();
        self
    }

    /// The same issue as a `warning`.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = "warning";
        self
    }

    /// The same issue as `information`.
    #[must_use]
    pub fn information(mut self) -> Self {
        self.severity = "information";
        self
    }
}

/// The resource with these issues; one "all OK" issue when there are none (the type requires one).
#[must_use]
pub fn operation_outcome(issues: &[Issue]) -> Value {
    let ok = [Issue::error("informational", "All OK").information()];
    let issues = if issues.is_empty() { &ok[..] } else { issues };
    let rows: Vec<Value> = issues
        .iter()
        .map(|issue| {
            let mut row = json!({
                "severity": issue.severity,
                "code": issue.code,
            });
            // FHIR has no empty strings, and XML could not say this one.
            if !issue.diagnostics.is_empty() {
                row["diagnostics"] = json!(issue.diagnostics);
            }
            if !issue.expression.is_empty() {
                row["expression"] = json!([issue.expression]);
            }
            row
        })
        .collect();
    json!({"resourceType": "OperationOutcome", "issue": rows})
}
