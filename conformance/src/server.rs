//! Servers under test: the candor binary, started on loopback with a test clock.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// A running server and the commands on its database.
#[derive(Debug)]
pub struct Server {
    candor: PathBuf,
    environment: Vec<(String, String)>,
    child: Child,
    /// `http://127.0.0.1:port`.
    pub public: String,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Starts a server for a jurisdiction and waits until it answers.
    pub async fn start(candor: &Path, database: &str, jurisdiction: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = free_port()?;
        let url = if database == "sqlite" {
            format!("sqlite://{}/candor.db", directory.path().display())
        } else {
            database.to_owned()
        };
        let public = format!("http://127.0.0.1:{port}");
        let environment = vec![
            ("CANDOR_DATABASE_URL".to_owned(), url),
            ("CANDOR_BIND".to_owned(), format!("127.0.0.1:{port}")),
            ("CANDOR_PUBLIC_URL".to_owned(), public.clone()),
            ("CANDOR_JURISDICTION".to_owned(), jurisdiction.to_owned()),
            ("CANDOR_TIMEZONE".to_owned(), "America/Chicago".to_owned()),
            ("CANDOR_LOG".to_owned(), "warn".to_owned()),
        ];
        let child = Command::new(candor)
            .args(["serve", "--test-clock"])
            .envs(environment.iter().cloned())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start {}", candor.display()))?;
        let mut server = Self {
            candor: candor.to_owned(),
            environment,
            child,
            public,
            _directory: directory,
        };
        server.wait().await?;
        Ok(server)
    }

    /// The FHIR base.
    pub fn fhir(&self) -> String {
        format!("{}/fhir/r4", self.public)
    }

    async fn wait(&mut self) -> Result<()> {
        let client = reqwest::Client::new();
        for _ in 0..300 {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server stopped at once: {status}");
            }
            let ready = client
                .get(format!("{}/health/ready", self.public))
                .send()
                .await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
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
        self.run(
            &[&["user", "add"], arguments].concat(),
            &format!("{password}\n"),
        )
        .await?;
        Ok(())
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(&self.candor)
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            bail!(
                "candor {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
