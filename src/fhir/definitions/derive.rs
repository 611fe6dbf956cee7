//! Derivation: the official FHIR packages in, the compact tables of `fhir-profiles/derived` out.
//!
//! The product embeds the tables and needs no package at run time. A derivation is deterministic,
//! and the numbers of resource types and search parameters in an existing output are kept: stored
//! rows carry them.

mod codes;
mod constraints;
mod elements;
mod search;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

/// Canonical URL of R4's own StructureDefinitions, SearchParameters and value sets.
const FHIR: &str = "http://hl7.org/fhir/";

/// Why a derivation stopped.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// A package or an output file could not be read or written.
    #[error("{path}: {message}")]
    Io {
        /// The file in question.
        path: PathBuf,
        /// What the operating system said.
        message: String,
    },
    /// A file of a package is not the JSON it should be.
    #[error("{file} in package: {message}")]
    Json {
        /// Name of the file inside the package.
        file: String,
        /// What the parser said.
        message: String,
    },
    /// The packages do not fit together: something is missing or contradicts the rest.
    #[error("{0}")]
    Package(String),
}

/// The resources of one FHIR package that definitions are derived from, by file name.
#[derive(Debug)]
pub struct Package {
    name: String,
    version: String,
    resources: BTreeMap<String, Value>,
}

impl Package {
    /// Reads a package archive (`.tgz`) as published: `package/package.json` beside one file for
    /// each resource.
    ///
    /// # Errors
    /// When the archive cannot be read, is not a FHIR package, or holds broken JSON.
    pub fn read(path: &Path) -> Result<Self, DeriveError> {
        let io = |message: String| DeriveError::Io {
            path: path.to_path_buf(),
            message,
        };
        let file = File::open(path).map_err(|error| io(error.to_string()))?;
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        let mut manifest = None;
        let mut resources = BTreeMap::new();
        for entry in archive.entries().map_err(|error| io(error.to_string()))? {
            let mut entry = entry.map_err(|error| io(error.to_string()))?;
            let inside = entry
                .path()
                .map_err(|error| io(error.to_string()))?
                .into_owned();
            let Some(name) = inside
                .to_str()
                .and_then(|name| name.strip_prefix("package/"))
            else {
                continue;
            };
            const WANTED: [&str; 5] = [
                "StructureDefinition-",
                "SearchParameter-",
                "CompartmentDefinition-",
                "CodeSystem-",
                "ValueSet-",
            ];
            let wanted = WANTED.iter().any(|prefix| name.starts_with(prefix));
            if name != "package.json" && !wanted {
                continue;
            }
            let mut bytes = Vec::new();
            entry
                .read_to_end(&mut bytes)
                .map_err(|error| io(error.to_string()))?;
            let value: Value =
                serde_json::from_slice(&bytes).map_err(|error| DeriveError::Json {
                    file: name.to_owned(),
                    message: error.to_string(),
                })?;
            if name == "package.json" {
                manifest = Some(value);
            } else {
                resources.insert(name.to_owned(), value);
            }
        }
        let manifest = manifest.ok_or_else(|| io("no package/package.json inside".to_owned()))?;
        Ok(Self {
            name: text(&manifest, "name").to_owned(),
            version: text(&manifest, "version").to_owned(),
            resources,
        })
    }

    /// The package's resources of one type, in the order of their file names.
    fn of_type(&self, resource_type: &str) -> impl Iterator<Item = &Value> {
        self.resources
            .values()
            .filter(move |value| text(value, "resourceType") == resource_type)
    }
}

/// Derives every table from the packages: one `hl7.fhir.r4.core` and any number of
/// `hl7.fhir.us.core`, of which a later version wins. Answers file name -> content.
/// `existing` is the folder whose numbers are kept.
///
/// # Errors
/// When a package cannot be read or lacks what the tables need.
pub fn derive(
    packages: &[PathBuf],
    existing: &Path,
) -> Result<BTreeMap<&'static str, String>, DeriveError> {
    let packages = packages
        .iter()
        .map(|path| Package::read(path))
        .collect::<Result<Vec<_>, _>>()?;
    let core = packages
        .iter()
        .find(|package| package.name == "hl7.fhir.r4.core")
        .ok_or_else(|| DeriveError::Package("hl7.fhir.r4.core is needed".to_owned()))?;
    let mut us_core: Vec<&Package> = packages
        .iter()
        .filter(|package| package.name == "hl7.fhir.us.core")
        .collect();
    us_core.sort_by(|a, b| a.version.cmp(&b.version));

    let tables = elements::Tables::read(core)?;
    let types = Numbering::read(&existing.join("types.tsv"))?.extend(tables.resource_types());
    let search = search::Search::read(core, &us_core, &tables)?;
    let params = Numbering::read(&existing.join("params.tsv"))?.extend(search.codes());

    Ok(BTreeMap::from([
        ("types.tsv", types.write()),
        ("params.tsv", params.write()),
        ("search-params.tsv", search.write()),
        ("compartments.tsv", search::compartments(core)),
        ("patient.tsv", search.primary_patient(&tables)),
        ("elements.tsv", tables.write()),
        ("constraints.tsv", constraints::write(core)),
        ("codes.tsv", codes::write(core, tables.bindings())),
        ("us-core-profiles.tsv", us_core_profiles(&us_core)),
    ]))
}

/// Derives the tables and writes them to `out`, whose numbers are kept. Answers one line for each
/// file written.
///
/// # Errors
/// As [`derive`], and when `out` cannot be written.
pub fn run(packages: &[PathBuf], out: &Path) -> Result<Vec<String>, DeriveError> {
    let io = |path: &Path, error: std::io::Error| DeriveError::Io {
        path: path.to_path_buf(),
        message: error.to_string(),
    };
    std::fs::create_dir_all(out).map_err(|error| io(out, error))?;
    let mut report = Vec::new();
    for (name, content) in derive(packages, out)? {
        let path = out.join(name);
        std::fs::write(&path, &content).map_err(|error| io(&path, error))?;
        let lines = content.lines().count();
        report.push(format!("{name}: {lines} lines, {} bytes", content.len()));
    }
    Ok(report)
}

/// US Core's resource profiles: `version TAB type TAB canonical`.
fn us_core_profiles(packages: &[&Package]) -> String {
    let mut out = String::new();
    for package in packages {
        for profile in package.of_type("StructureDefinition") {
            if text(profile, "kind") == "resource" && text(profile, "derivation") == "constraint" {
                let row = [
                    &package.version,
                    text(profile, "type"),
                    text(profile, "url"),
                ];
                out.push_str(&row.join("\t"));
                out.push('\n');
            }
        }
    }
    out
}

/// Names with fixed numbers, `number TAB name` a line.
struct Numbering(BTreeMap<i16, String>);

impl Numbering {
    fn read(path: &Path) -> Result<Self, DeriveError> {
        let mut rows = BTreeMap::new();
        if path.exists() {
            let content = std::fs::read_to_string(path).map_err(|error| DeriveError::Io {
                path: path.to_path_buf(),
                message: error.to_string(),
            })?;
            for line in content.lines() {
                let row = line.split_once('\t').and_then(|(number, name)| {
                    number
                        .parse::<i16>()
                        .ok()
                        .map(|number| (number, name.to_owned()))
                });
                let (number, name) = row.ok_or_else(|| {
                    DeriveError::Package(format!("{}: bad line {line}", path.display()))
                })?;
                rows.insert(number, name);
            }
        }
        Ok(Self(rows))
    }

    /// Gives the names that have no number yet the next ones, in their order.
    fn extend<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        for name in names {
            if !self.0.values().any(|known| known == name) {
                let next = self.0.last_key_value().map_or(1, |(number, _)| number + 1);
                self.0.insert(next, name.to_owned());
            }
        }
        self
    }

    fn write(&self) -> String {
        self.0
            .iter()
            .map(|(number, name)| format!("{number}\t{name}\n"))
            .collect()
    }
}

/// A string property, empty when absent.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// An array property, empty when absent.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
