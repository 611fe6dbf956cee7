//! What the paths on the command line hold.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::report::{Bar, Report};

/// One file to read: on disk, or inside a package.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// As messages name it.
    pub(super) name: Arc<str>,
    pub(super) place: Place,
    /// Bytes on disk, for the progress bar.
    pub(super) size: u64,
    /// Position of the first entry to take; more than 0 for a file that was postponed midway.
    pub(super) start: u64,
}

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    File(PathBuf),
    /// Bytes of one file of a package: they are small, and an archive is read once.
    Member(Arc<[u8]>),
}

impl Source {
    /// The content, decompressed. `bar` hears of the bytes as they are read.
    pub(super) fn open(&self, bar: Option<&Bar>) -> io::Result<Box<dyn Read + '_>> {
        match &self.place {
            Place::Member(bytes) => Ok(Box::new(&bytes[..])),
            Place::File(path) => {
                let mut file = File::open(path)?;
                let gzip = is_gzip(&mut file)?;
                let counted = Counted {
                    inner: File::open(path)?,
                    bar: bar.cloned(),
                };
                let buffered = BufReader::with_capacity(1 << 16, counted);
                Ok(if gzip {
                    Box::new(MultiGzDecoder::new(buffered))
                } else {
                    Box::new(buffered)
                })
            }
        }
    }

    /// Whether the name says that each line is a resource.
    pub(super) fn is_lines(&self) -> bool {
        let name = self.name.strip_suffix(".gz").unwrap_or(&self.name);
        name.ends_with(".ndjson") || name.ends_with(".jsonl")
    }
}

/// All files under the paths, folders in the order of their names. What cannot be listed, or was
/// named and is nothing that can be imported, is reported.
pub(super) fn find(paths: &[PathBuf], report: &mut Report) -> Vec<Source> {
    let mut sources = Vec::new();
    for path in paths {
        walk(path, true, &mut sources, report);
    }
    sources
}

fn walk(path: &Path, named: bool, sources: &mut Vec<Source>, report: &mut Report) {
    let shown = path.display().to_string();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return report.refuse_file(&shown, &error.to_string()),
    };
    if metadata.is_dir() {
        let mut inside = match std::fs::read_dir(path).and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        }) {
            Ok(inside) => inside,
            Err(error) => return report.refuse_file(&shown, &error.to_string()),
        };
        inside.sort();
        for entry in inside {
            let hidden = entry
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if !hidden {
                walk(&entry, false, sources, report);
            }
        }
        return;
    }
    if shown.ends_with(".tgz") || shown.ends_with(".tar.gz") {
        if let Err(error) = package(path, &shown, sources) {
            report.refuse_file(&shown, &format!("not a package: {error}"));
        }
        return;
    }
    if named || is_importable(&shown) {
        sources.push(Source {
            name: shown.into(),
            place: Place::File(path.to_owned()),
            size: metadata.len(),
            start: 0,
        });
    } else {
        report.skipped += 1;
    }
}

/// Whether a file that was found in a folder is taken. Others (a README, a log) are not.
fn is_importable(name: &str) -> bool {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let is_manifest = name.rsplit('/').next() == Some("package.json");
    !is_manifest
        && [".json", ".ndjson", ".jsonl"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
}

/// The resources of a FHIR package: `package/*.json` and its examples, not its manifest nor the
/// folders that hold other things (`xml`, `openapi`, `other`).
fn package(path: &Path, shown: &str, sources: &mut Vec<Source>) -> io::Result<()> {
    let mut archive = tar::Archive::new(MultiGzDecoder::new(File::open(path)?));
    let mut members = Vec::new();
    for member in archive.entries()? {
        let mut member = member?;
        let name = member.path()?.to_string_lossy().into_owned();
        if !is_package_resource(&name) {
            continue;
        }
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;
        members.push((name, bytes));
    }
    members.sort_by(|left, right| left.0.cmp(&right.0));
    sources.extend(members.into_iter().map(|(name, bytes)| Source {
        name: format!("{shown}:{name}").into(),
        size: bytes.len() as u64,
        place: Place::Member(bytes.into()),
        start: 0,
    }));
    Ok(())
}

fn is_package_resource(name: &str) -> bool {
    let Some((folder, file)) = name.rsplit_once('/') else {
        return false;
    };
    let inner = folder
        .rsplit_once("package")
        .map_or("-", |(_, inner)| inner);
    matches!(inner, "" | "/example" | "/examples") && !file.starts_with('.') && is_importable(name)
}

fn is_gzip(file: &mut File) -> io::Result<bool> {
    let mut magic = [0_u8; 2];
    match file.read_exact(&mut magic) {
        Ok(()) => Ok(magic == [0x1f, 0x8b]),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Tells the progress bar of every byte read.
struct Counted {
    inner: File,
    bar: Option<Bar>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(bar) = &self.bar {
            bar.read(count as u64);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_resources_and_other_things() {
        for yes in [
            "package/StructureDefinition-x.json",
            "package/example/Patient-p.json",
            "4.0.1/package/Patient-p.json",
        ] {
            assert!(is_package_resource(yes), "{yes}");
        }
        for no in [
            "package/package.json",
            "package/.index.json",
            "package/openapi/x.openapi.json",
            "package/other/validation.json",
            "package/xml/x.json",
            "package/x.sch",
            "x.json",
        ] {
            assert!(!is_package_resource(no), "{no}");
        }
    }
}
