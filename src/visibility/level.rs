//! How far a representative's authority reaches (release-contract.md, "Proxy"): the level of the permit
//! Consent. What lies beyond it does not exist for them.

use crate::fhir::definitions::{TypeId, definitions};

/// A level of `CodeSystem/proxy-level`, the narrowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Bills and coverage.
    Billing,
    /// Those, appointments and immunizations.
    Limited,
    /// The whole record; with `full-messaging` messages too, which are not read through FHIR.
    #[default]
    Full,
}

const BILLING: [&str; 13] = [
    "Account",
    "ChargeItem",
    "Claim",
    "ClaimResponse",
    "Coverage",
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
    "EnrollmentRequest",
    "EnrollmentResponse",
    "ExplanationOfBenefit",
    "Invoice",
    "PaymentNotice",
    "PaymentReconciliation",
];

const LIMITED: [&str; 7] = [
    "Appointment",
    "AppointmentResponse",
    "Immunization",
    "ImmunizationEvaluation",
    "ImmunizationRecommendation",
    "Schedule",
    "Slot",
];

/// Who the record is about and who acts in it: part of every level.
const WHO: [&str; 2] = ["Patient", "RelatedPerson"];

impl Level {
    /// The level with this code; none for a code that is not of the code system.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Some(match code {
            "billing" => Self::Billing,
            "limited" => Self::Limited,
            "full" | "full-messaging" => Self::Full,
            _ => return None,
        })
    }

    /// Whether resources of a type are within the level. Directories and definitions always are.
    #[must_use]
    pub fn reaches(self, type_id: TypeId) -> bool {
        if self == Self::Full {
            return true;
        }
        let name = definitions().type_name(type_id);
        WHO.contains(&name)
            || BILLING.contains(&name)
            || (self == Self::Limited && LIMITED.contains(&name))
            || super::is_about_nobody(type_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_level_reaches_all_that_a_narrower_one_does() {
        for name in BILLING.iter().chain(&LIMITED).chain(&WHO) {
            assert!(definitions().type_id(name).is_some(), "{name} is no type");
        }
        for (type_id, name) in definitions().types() {
            assert!(Level::Full.reaches(type_id), "{name}");
            assert!(
                !Level::Billing.reaches(type_id) || Level::Limited.reaches(type_id),
                "{name}"
            );
        }
        let observation = definitions().type_id("Observation");
        assert!(observation.is_some_and(|it| !Level::Limited.reaches(it)));
    }
}
