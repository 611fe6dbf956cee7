//! Release cases: `../shared/release-cases.md` and more of the same kind, through HTTP.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::fixtures::Chart;
use crate::report::Report;
use crate::world::{T0, Who, World};

/// Runs every release case, one server for each jurisdiction.
pub async fn run(candor: &Path, database: &str, report: &mut Report) -> Result<()> {
    let world = World::start(candor, database, "US").await?;
    let chart = Chart::new("c1");
    let patient = Who::Patient(chart.id("p"));
    report
        .case(
            "release",
            "1 a final progress note is there at once",
            async {
                world.clock(T0).await?;
                world.put_all(&chart.people()).await?;
                let note: Value = chart.note("note", "11506-3");
                world.put(&note).await?;
                world.clock("2026-11-10T15:00:01Z").await?;
                world.expect(&patient, &note, true).await
            },
        )
        .await;
    Ok(())
}
