//! The FHIR R4 RESTful API: interactions, conditions, history, bundles, formats, errors.

mod bundles;
mod conditional;
mod crud;
mod formats;
mod history;
mod operations;
mod patch;
mod search;

use crate::report::Report;
use crate::worlds::Worlds;

/// Runs every case, on the federal server.
pub async fn run(worlds: &Worlds, report: &mut Report) {
    crud::run(worlds, report).await;
    conditional::run(worlds, report).await;
    history::run(worlds, report).await;
    bundles::run(worlds, report).await;
    formats::run(worlds, report).await;
    patch::run(worlds, report).await;
    operations::run(worlds, report).await;
    search::run(worlds, report).await;
}
