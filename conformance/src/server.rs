//! Servers under test: the candor binary, started on loopback with a test clock.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::database::Database;

/// Largest body that servers under test take, in 2^20 bytes: small, so that "too large" is cheap.
pub const BODY_MEGABYTES: usize = 8;

/// A running server and the commands on its database.
#[derive(Debug)]
pub struct Server {
    candor: PathBuf,
    environment: Vec<(String, String)>,
    child: Child,
    /// `http://127.0.0.1:port`.
    pub public: String,
    directory: tempfile::TempDir,
    /// Dropped after the process that is killed with the server.
    _database: Database,
}

impl Server {
    /// Starts a server for a jurisdiction on a new database and waits until it answers.
    pub async fn start(candor: &Path, database: &str, jurisdiction: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let database = Database::new(database, directory.path()).await?;
        let port = free_port()?;
        let public = format!("http://127.0.0.1:{port}");
        let environment = [
            ("CANDOR_DATABASE_URL", database.url.clone()),
            ("CANDOR_BIND", format!("127.0.0.1:{port}")),
            ("CANDOR_PUBLIC_URL", public.clone()),
            ("CANDOR_JURISDICTION", jurisdiction.to_owned()),
            ("CANDOR_TIMEZONE", "America/Chicago".to_owned()),
            ("CANDOR_BODY_MEGABYTES", BODY_MEGABYTES.to_string()),
            ("CANDOR_SECOND_FACTOR", "optional".to_owned()),
            ("CANDOR_LOG", "error".to_owned()),
        ];
        let environment: Vec<(String, String)> = environment
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let child = serve(candor, &environment, directory.path())?;
        let mut server = Self {
            candor: candor.to_owned(),
            environment,
            child,
            public,
            directory,
            _database: database,
        };
        server.wait().await?;
        Ok(server)
    }

    /// The FHIR base.
    pub fn fhir(&self) -> String {
        format!("{}/fhir/r4", self.public)
    }

    /// The server's process id.
    pub fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// SIGKILL: no goodbye, no flush.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }

    /// Starts again on the same database and address after [`Server::kill`].
    pub async fn restart(&mut self) -> Result<()> {
        self.child = serve(&self.candor, &self.environment, self.directory.path())?;
        self.wait().await
    }

    async fn wait(&mut self) -> Result<()> {
        let client = reqwest::Client::new();
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server stopped at once: {status}");
            }
            let ready = client.get(format!("{}/health/ready", self.public));
            if ready
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the server did not get ready within 30 s")
    }

    /// `candor client add …`: what it prints.
    pub async fn add_client(&self, arguments: &[&str]) -> Result<Value> {
        let text = self
            .run(&[&["client", "add"], arguments].concat(), "")
            .await?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// `candor user add …` with a password.
    pub async fn add_user(&self, arguments: &[&str], password: &str) -> Result<()> {
        let arguments = [&["user", "add"], arguments].concat();
        self.run(&arguments, &format!("{password}\n")).await?;
        Ok(())
    }

    /// Writes a file beside the database; its path.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.directory.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Runs a command of the product on the same database: what it prints.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "candor {arguments:?}: {} {errors}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A command of the product on the same database, to be spawned.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.candor);
        command
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
    }
}

fn serve(candor: &Path, environment: &[(String, String)], directory: &Path) -> Result<Child> {
    Command::new(candor)
        .args(["serve", "--test-clock"])
        .envs(environment.iter().cloned())
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("could not start {}", candor.display()))
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
