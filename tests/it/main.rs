//! Tests through the public interface, in one binary so that there is one link.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod examples;
mod hostile_parsers;
mod xml_round_trip;
