//! SIGKILL while the server writes, and while `candor import` loads: every acknowledged write is
//! there, whole, indexed and decided; nothing else is half there.

mod import;
mod writers;

use std::path::PathBuf;

use crate::report::Report;
use crate::worlds::Worlds;

/// Runs the rounds: each kills the server once, and an import once if there are files for it.
pub async fn run(worlds: &Worlds, report: &mut Report, rounds: u32, data: &[PathBuf]) {
    writers::run(worlds, report, rounds).await;
    if !data.is_empty() {
        import::run(worlds, report, rounds, data).await;
    }
}
