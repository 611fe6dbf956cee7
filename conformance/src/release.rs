//! Release cases: `../shared/release-cases.md`, by their numbers, and more of the same kind. One
//! file for each family; one server for each jurisdiction.

mod agreement;
mod checks;
mod derivatives;
mod directives;
mod federal;
mod hold_evidence;
mod holds;
mod leaks;
mod minors;
mod packs;
mod proxies;
mod psychotherapy;
mod research;
mod shapes;
mod versions;

use crate::report::Report;
use crate::worlds::Worlds;

/// Runs every release case.
pub async fn run(worlds: &Worlds, report: &mut Report) {
    federal::run(worlds, report).await;
    psychotherapy::run(worlds, report).await;
    holds::run(worlds, report).await;
    hold_evidence::run(worlds, report).await;
    derivatives::run(worlds, report).await;
    leaks::run(worlds, report).await;
    research::run(worlds, report).await;
    directives::run(worlds, report).await;
    proxies::run(worlds, report).await;
    minors::run(worlds, report).await;
    packs::run(worlds, report).await;
    agreement::run(worlds, report).await;
    checks::run(worlds, report).await;
    versions::run(worlds, report).await;
    shapes::run(worlds, report).await;
}
