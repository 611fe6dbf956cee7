//! What the browser tests need that cargo does not bring: chromium, chromedriver and npm.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::skipped;

/// Programs found, and the folder of the installed npm packages.
#[derive(Debug)]
pub struct Tools {
    pub chromium: PathBuf,
    pub chromedriver: PathBuf,
    modules: PathBuf,
}

impl Tools {
    /// Finds everything, and installs the npm packages where they are not yet. None where a program
    /// is missing, said loudly; CI must not do without.
    pub fn find() -> Option<Self> {
        let named = std::env::var_os("CANDOR_TEST_BROWSER")
            .filter(|name| !name.is_empty())
            .map(PathBuf::from);
        let chromium =
            named.or_else(|| program(&["chromium", "chromium-browser", "google-chrome"]));
        let chromedriver = program(&["chromedriver"]);
        let npm = program(&["npm"]);
        let missing: Vec<&str> = [
            ("chromium", chromium.is_none()),
            ("chromium-driver (chromedriver)", chromedriver.is_none()),
            ("npm", npm.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, is_missing)| is_missing.then_some(name))
        .collect();
        let (Some(chromium), Some(chromedriver), Some(npm)) = (chromium, chromedriver, npm) else {
            let words = format!(
                "browser tests need {}; install the Debian packages of these names, or run ./test \
                 as root",
                missing.join(", ")
            );
            assert!(!is_ci(), "{words}");
            skipped(&words);
            return None;
        };
        let modules = match modules(&npm) {
            Ok(modules) => modules,
            Err(error) => {
                let words = format!("browser tests need npm packages: {error}");
                assert!(!is_ci(), "{words}");
                skipped(&words);
                return None;
            }
        };
        Some(Self {
            chromium,
            chromedriver,
            modules,
        })
    }

    /// The text of a file in an npm package.
    pub fn package_file(&self, path: &str) -> String {
        let path = self.modules.join("node_modules").join(path);
        match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

/// `tests/browser`: the app's pages, the packages' lock file, the record.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser"))
}

fn is_ci() -> bool {
    std::env::var_os("CI").is_some()
}

fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    names
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|candidate| candidate.is_file())
}

/// Installs the locked packages once for each lock file, in a folder that other test processes share.
fn modules(npm: &Path) -> Result<PathBuf, String> {
    const FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
    let mut hasher = DefaultHasher::new();
    for file in FILES {
        std::fs::read(folder().join(file))
            .unwrap()
            .hash(&mut hasher);
    }
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let place = cache.join(format!("browser-{:016x}", hasher.finish()));
    if place.is_dir() {
        return Ok(place);
    }
    // Under another name until it is whole.
    std::fs::create_dir_all(cache).unwrap();
    let draft = tempfile::tempdir_in(cache).unwrap();
    for file in FILES {
        std::fs::copy(folder().join(file), draft.path().join(file)).unwrap();
    }
    let output = Command::new(npm)
        .arg("ci")
        .current_dir(draft.path())
        .output()
        .map_err(|error| format!("npm does not run: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("npm ci in tests/browser: {words}"));
    }
    let draft = draft.keep();
    match std::fs::rename(&draft, &place) {
        Ok(()) => Ok(place),
        // Somebody else was quicker.
        Err(_) if place.is_dir() => {
            let _ = std::fs::remove_dir_all(draft);
            Ok(place)
        }
        Err(error) => Err(format!("{}: {error}", place.display())),
    }
}
