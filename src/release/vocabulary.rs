//! Names of the release contract: canonical URLs, codes, systems.

/// The canonical base of everything in `fhir-profiles`.
pub const CANONICAL: &str = "https://candor.example/fhir";

pub const RELEASE_TASK: &str = "https://candor.example/fhir/CodeSystem/release-task";
pub const RELEASE_BASIS: &str = "https://candor.example/fhir/CodeSystem/release-basis";
pub const RELEASE_FLAG_SYSTEM: &str = "https://candor.example/fhir/CodeSystem/release-flag";
pub const HOLD_INPUT: &str = "https://candor.example/fhir/CodeSystem/hold-input";
pub const CLIENT_ID: &str = "https://candor.example/fhir/NamingSystem/client-id";

pub const PSYCHOTHERAPY_ATTESTATION: &str =
    "https://candor.example/fhir/StructureDefinition/psychotherapy-attestation";
pub const RELEASE_FLAG: &str = "https://candor.example/fhir/StructureDefinition/release-flag";
pub const NO_INDUCEMENT: &str = "https://candor.example/fhir/StructureDefinition/no-inducement";
pub const REPRESENTATIVE_SUSPENDED: &str =
    "https://candor.example/fhir/StructureDefinition/representative-suspended";
pub const INCLUDES_TREATMENT: &str =
    "https://candor.example/fhir/StructureDefinition/includes-treatment";
pub const BLINDED: &str = "https://candor.example/fhir/StructureDefinition/blinded";
pub const ACCESS_SUSPENSION: &str =
    "https://candor.example/fhir/StructureDefinition/access-suspension";
pub const MINOR_CONSENTED_SERVICE: &str =
    "https://candor.example/fhir/StructureDefinition/minor-consented-service";
/// The standard extension that ties data to a study.
pub const RESEARCH_STUDY: &str = "http://hl7.org/fhir/StructureDefinition/workflow-researchStudy";

pub const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
pub const CONSENT_SCOPE: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
pub const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
/// Levels of a representative's access: `full`, `full-messaging`, `limited`, `billing`.
pub const PROXY_LEVEL: &str = "https://candor.example/fhir/CodeSystem/proxy-level";
