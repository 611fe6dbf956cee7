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
    pub modules: PathBuf,
    pub node: PathBuf,
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
        let node = program(&["node", "nodejs"]);
        let missing: Vec<&str> = [
            ("chromium", chromium.is_none()),
            ("chromium-driver (chromedriver)", chromedriver.is_none()),
            ("npm", npm.is_none()),
            ("nodejs", node.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, is_missing)| is_missing.then_some(name))
        .collect();
        let (Some(chromium), Some(chromedriver), Some(npm), Some(node)) =
            (chromium, chromedriver, npm, node)
        else {
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
            node,
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

/// Installs the locked npm packages, once for each lock file.
fn modules(npm: &Path) -> Result<PathBuf, String> {
    const FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];
    installed("browser", &FILES, |place| {
        for file in FILES {
            std::fs::copy(folder().join(file), place.join(file)).unwrap();
        }
        run(Command::new(npm).arg("ci").current_dir(place))
    })
}

/// The programs of a Python with the packages of `tests/browser/requirements.txt`. None where Python is missing, said
/// loudly; CI must not do without.
pub fn python() -> Option<PathBuf> {
    let made = program(&["python3"])
        .ok_or_else(|| "python3 is missing".to_owned())
        .and_then(|python| {
            installed("python", &["requirements.txt"], |place| {
                run(Command::new(python).args(["-m", "venv"]).arg(place))?;
                let pip = place.join("bin/pip");
                let list = folder().join("requirements.txt");
                run(Command::new(pip)
                    .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
                    .arg(list))
            })
        });
    match made {
        Ok(place) => Some(place.join("bin")),
        Err(error) => {
            let words = format!(
                "tests with Python apps need python3 and python3-venv (Debian), and packages: {error}"
            );
            assert!(!is_ci(), "{words}");
            skipped(&words);
            None
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?} does not run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {words}"))
}

/// A folder that other test processes share, made by `install` once for what `files` hold.
fn installed(
    name: &str,
    files: &[&str],
    install: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(folder().join(file))
            .unwrap()
            .hash(&mut hasher);
    }
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(cache).unwrap();
    let place = cache.join(format!("{name}-{:016x}", hasher.finish()));
    // One at a time: a Python environment cannot be moved, so it is made where it stays.
    let lock = std::fs::File::create(place.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let whole = place.join("whole");
    if whole.is_file() {
        return Ok(place);
    }
    // What is left of somebody who was interrupted.
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    install(&place)?;
    std::fs::write(whole, "").unwrap();
    Ok(place)
}
