//! `[fhir]`: what the FHIR API does where the specification leaves a choice.

use serde::{Deserialize, Serialize};

/// Choices of the FHIR API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fhir {
    /// Whether `DELETE Type?criteria` takes one match or all of them.
    pub conditional_delete: ConditionalDelete,
    /// Whether a reference must name something that exists for whoever writes it.
    pub check_references: bool,
    /// Whether each request that writes leaves a Provenance with its client.
    pub provenance: bool,
    /// Whether every access leaves an AuditEvent.
    pub audit: bool,
    /// For how many days AuditEvents are kept; 0: for ever.
    pub audit_days: u32,
}

impl Default for Fhir {
    fn default() -> Self {
        Self {
            conditional_delete: ConditionalDelete::default(),
            check_references: false,
            provenance: true,
            audit: true,
            // Six years (45 CFR 164.316(b)(2)(i)), two leap days with them.
            audit_days: 6 * 365 + 2,
        }
    }
}

/// What a conditional deletion takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionalDelete {
    #[default]
    Single,
    Multiple,
}
