//! What the operator sees: log lines and metrics, neither with anything about a patient
//! (`docs/logging.md` lists what may be said).

mod lines;
pub mod logging;
pub mod metrics;
mod output;
pub mod requests;
