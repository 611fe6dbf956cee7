//! FHIR itself, nothing of ours: definitions, codecs, validation, OperationOutcome.

pub mod date;
pub mod definitions;
pub mod json;
pub mod outcome;
pub mod validate;
pub mod xml;
