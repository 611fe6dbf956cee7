//! The official example resources in `../shared`, for tests that need real records.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// Archives of official examples and the folder of interest in them.
const ARCHIVES: [(&str, &str); 2] = [
    ("data/hl7-r4-examples.tgz", "4.0.1/package/"),
    ("packages/hl7.fhir.us.core-6.1.0.tgz", "package/example/"),
];

/// One file of an archive.
pub struct Example {
    /// File name without folders.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// All examples of all archives; `None`, said loudly, where `../shared` is absent (a newcomer's
/// clone). Where it exists, an archive that is missing or unreadable is a failure.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub fn examples(test: &str) -> Option<Vec<Vec<Example>>> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    if !shared.exists() {
        eprintln!("SKIPPED: {test}: ../shared is absent, no official example was read");
        return None;
    }
    Some(
        ARCHIVES
            .iter()
            .map(|(archive, folder)| read(&shared.join(archive), folder))
            .collect(),
    )
}

fn read(path: &PathBuf, folder: &str) -> Vec<Example> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let mut archive = tar::Archive::new(GzDecoder::new(file));
    let mut examples = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if let Some(name) = path.strip_prefix(folder)
            && name.ends_with(".json")
            && !name.contains('/')
        {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            examples.push(Example {
                name: name.to_owned(),
                bytes,
            });
        }
    }
    assert!(!examples.is_empty(), "{path:?} has nothing in {folder}");
    examples
}
