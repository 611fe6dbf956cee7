//! Servers started when a case first asks for one, and kept for the cases after it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use crate::fixtures::Chart;
use crate::world::{T0, World};

/// Servers by jurisdiction.
#[derive(Debug)]
pub struct Worlds {
    pub candor: PathBuf,
    pub database: String,
    started: RefCell<HashMap<String, Result<Rc<World>, String>>>,
}

impl Worlds {
    pub fn new(candor: PathBuf, database: String) -> Self {
        Self {
            candor,
            database,
            started: RefCell::default(),
        }
    }

    /// The server of a jurisdiction, its clock at `T0`.
    pub async fn get(&self, jurisdiction: &str) -> Result<Rc<World>> {
        let there = self.started.borrow().get(jurisdiction).cloned();
        let world = match there {
            Some(world) => world,
            None => {
                let world = World::start(&self.candor, &self.database, jurisdiction).await;
                let world = world.map(Rc::new).map_err(|error| format!("{error:#}"));
                let mut started = self.started.borrow_mut();
                started.insert(jurisdiction.to_owned(), world.clone());
                world
            }
        };
        let world = world
            .map_err(|error| anyhow!(error))
            .with_context(|| format!("a server for {jurisdiction}"))?;
        world.clock(T0).await?;
        Ok(world)
    }

    /// A new record on a server, its people written, and more beside them.
    pub async fn chart(&self, jurisdiction: &str, case: &str) -> Result<(Rc<World>, Chart)> {
        let world = self.get(jurisdiction).await?;
        let chart = Chart::new(case);
        world.put_all(&chart.people()).await?;
        Ok((world, chart))
    }

    /// The same with further resources in the same transaction.
    pub async fn chart_with(
        &self,
        jurisdiction: &str,
        case: &str,
        more: impl FnOnce(&Chart) -> Vec<Value>,
    ) -> Result<(Rc<World>, Chart)> {
        let world = self.get(jurisdiction).await?;
        let chart = Chart::new(case);
        let mut all = chart.people();
        all.extend(more(&chart));
        world.put_all(&all).await?;
        Ok((world, chart))
    }
}
