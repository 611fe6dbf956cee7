//! The least code that moves the same bytes as Candor: the floor under the figures of
//! docs/performance.md, which `benches/load` takes. It works on the database that Candor made, with
//! statements written by hand for that schema, and knows nothing of viewers, holds or FHIR.

mod insert;
mod list;
mod serve;
mod sqlite;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use candor::fhir::definitions::{ParamId, TypeId, definitions};
use candor::keys::Keys;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Arguments {
    /// What `cargo bench` passes to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer static bytes, reads and one search, from both databases.
    Serve {
        /// Candor's database file.
        #[arg(long)]
        sqlite: PathBuf,
        /// Candor's database, `postgres://…`.
        #[arg(long)]
        postgres: String,
        #[arg(long)]
        bind: SocketAddr,
    },
    /// Print what the load asks for, a line each: resources, and patients with a full page.
    List {
        #[arg(long, required_unless_present = "postgres")]
        sqlite: Option<PathBuf>,
        #[arg(long)]
        postgres: Option<String>,
        #[arg(long, default_value_t = 1000)]
        resources: u32,
    },
    /// Insert the bodies of Candor's database file into a bare table and say how long it took.
    Insert {
        /// Candor's database file.
        #[arg(long)]
        from: PathBuf,
        /// A new database file, or `postgres://…`.
        #[arg(long)]
        to: String,
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
}

fn main() -> anyhow::Result<()> {
    let Some(command) = Arguments::parse().command else {
        return print("benches/load starts this beside the server");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Serve {
                sqlite,
                postgres,
                bind,
            } => serve::serve(&sqlite, &postgres, bind).await,
            Command::List {
                sqlite: Some(file),
                resources,
                ..
            } => list::of_sqlite(&file, resources),
            Command::List {
                postgres,
                resources,
                ..
            } => list::of_postgres(&postgres.unwrap_or_default(), resources).await,
            Command::Insert { from, to, rounds } => insert::insert(&from, &to, rounds).await,
        }
    })
}

fn print(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// Read by id: [`Lookup::key`] and the FHIR id.
const READ: &str = "SELECT body FROM resource WHERE key = $1 AND fhir_id = $2 AND rendition = 0";

/// `Observation?patient=X&category=laboratory`: patient, type, param, code. One row more than a
/// page, as a server must ask that offers the next one.
const SEARCH: &str = "SELECT r.fhir_id, r.body FROM idx_token t CROSS JOIN resource r \
     WHERE t.patient = $1 AND t.type = $2 AND t.param = $3 AND t.code = $4 AND r.id = t.id \
     ORDER BY t.id LIMIT 21";

/// What the statements are asked for.
#[derive(Clone, Copy, Debug)]
struct Lookup {
    keys: Keys,
    observation: TypeId,
    category: ParamId,
}

impl Lookup {
    /// Takes the value of `key-secret` in Candor's table `meta`.
    fn new(secret: &str) -> anyhow::Result<Self> {
        use base64::Engine as _;
        let secret = base64::engine::general_purpose::STANDARD.decode(secret)?;
        let observation = definitions()
            .type_id("Observation")
            .context("no Observation")?;
        let category = definitions()
            .search_param(observation, "category")
            .context("no category")?;
        Ok(Self {
            keys: Keys::new(secret.as_slice().try_into()?),
            observation,
            category: category.id,
        })
    }

    fn key(&self, type_name: &str, id: &str) -> i64 {
        self.keys.reference(type_name, id)
    }

    fn laboratory(&self) -> i64 {
        self.keys.code("laboratory")
    }
}

const SECRET: &str = "SELECT value FROM meta WHERE name = 'key-secret'";
