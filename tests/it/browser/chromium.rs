//! Chromium without a window, driven through chromedriver.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use url::{ParseError, Url};

use super::tools::Tools;

/// Long enough for a machine that compiles at the same time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether pages may run scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scripts {
    On,
    Off,
}

/// A browser with a fresh profile.
#[derive(Debug)]
pub struct Chromium {
    pub client: Client,
    driver: Child,
    /// DevTools events so far; reading the log empties it.
    events: Mutex<Vec<Value>>,
    /// What the browser wrote to its console so far.
    console: Mutex<Vec<Value>>,
    _profile: TempDir,
}

/// A command of chromedriver that WebDriver does not have.
#[derive(Debug)]
struct Own {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Own {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _url: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// Runs steps in a browser, and ends the browser however they end. What the page looked like when
/// they failed is kept where [`Chromium::picture`] puts its pictures.
pub async fn browse(tools: &Tools, scripts: Scripts, steps: impl AsyncFnOnce(&Chromium)) {
    let chromium = Chromium::start(tools, scripts).await;
    let outcome = AssertUnwindSafe(steps(&chromium)).catch_unwind().await;
    if outcome.is_err() {
        chromium.say_where_it_stands().await;
    }
    chromium.stop().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Chromium {
    async fn start(tools: &Tools, scripts: Scripts) -> Self {
        let mut driver = Command::new(&tools.chromedriver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("chromedriver ended without naming a port"));
            // "ChromeDriver was started successfully on port 40123."
            if let Some((_, port)) = line.rsplit_once("on port ")
                && line.contains("success")
            {
                break port.trim_end_matches('.').to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().unwrap();
        let mut options = json!({
            "binary": tools.chromium,
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--disable-quic", "--no-first-run", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--disable-extensions",
                "--window-size=1024,900", "--hide-scrollbars",
                format!("--user-data-dir={}", profile.path().display()),
            ],
        });
        if scripts == Scripts::Off {
            options["prefs"] = json!({"profile.default_content_setting_values.javascript": 2});
        }
        let capabilities: Capabilities = serde_json::from_value(json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
            "timeouts": {"script": 60_000, "pageLoad": 60_000},
        }))
        .unwrap();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Self {
            client,
            driver,
            events: Mutex::default(),
            console: Mutex::default(),
            _profile: profile,
        }
    }

    async fn stop(mut self) {
        // Ends chromium; whatever is wrong with the session was said by the test.
        let _ = self.client.close().await;
        let _ = self.driver.kill().await;
    }

    /// A DevTools command.
    pub async fn devtools(&self, method: &str, params: Value) -> Value {
        self.client
            .issue_cmd(Own {
                path: "goog/cdp/execute",
                body: json!({"cmd": method, "params": params}),
            })
            .await
            .unwrap()
    }

    /// All DevTools events of this browser, as `(method, params)`.
    pub async fn events(&self) -> Vec<(String, Value)> {
        let fresh = self.log("performance").await;
        let fresh = fresh.iter().map(|entry| {
            let line = entry["message"].as_str().unwrap();
            serde_json::from_str::<Value>(line).unwrap()["message"].take()
        });
        let mut events = self.events.lock().unwrap();
        events.extend(fresh);
        events
            .iter()
            .map(|event| {
                let method = event["method"].as_str().unwrap().to_owned();
                (method, event["params"].clone())
            })
            .collect()
    }

    /// Every request so far: the page it came from, and where it went.
    pub async fn requests(&self) -> Vec<(String, Url)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.events()
            .await
            .into_iter()
            .filter(|(method, _)| method == "Network.requestWillBeSent")
            .filter_map(|(_, params)| {
                let to = Url::parse(&text(&params["request"]["url"])).ok()?;
                Some((text(&params["documentURL"]), to))
            })
            .filter(|(_, to)| !matches!(to.scheme(), "data" | "chrome" | "blob"))
            .collect()
    }

    /// What a Content-Security-Policy stopped.
    pub async fn refused_by_policy(&self) -> Vec<String> {
        let fresh = self.log("browser").await;
        let mut console = self.console.lock().unwrap();
        console.extend(fresh);
        let refused = console.iter().filter(|entry| entry["source"] == "security");
        refused.map(|entry| entry["message"].to_string()).collect()
    }

    /// What is new in a log of chromedriver.
    async fn log(&self, kind: &str) -> Vec<Value> {
        let command = Own {
            path: "se/log",
            body: json!({"type": kind}),
        };
        let log = self.client.issue_cmd(command).await.unwrap();
        log.as_array().unwrap().clone()
    }

    /// Waits for an element and gives its text.
    pub async fn text(&self, css: &str) -> String {
        self.wait_for(css).await.text().await.unwrap()
    }

    /// Waits for an element.
    pub async fn wait_for(&self, css: &str) -> fantoccini::elements::Element {
        let wait = self.client.wait().at_most(PATIENCE);
        match wait.for_element(Locator::Css(css)).await {
            Ok(element) => element,
            Err(error) => panic!("{css} did not come: {error}"),
        }
    }

    /// Clicks.
    pub async fn click(&self, css: &str) {
        self.wait_for(css).await.click().await.unwrap();
    }

    /// Presses a button that leads to another page, and waits until this one is gone.
    pub async fn press(&self, css: &str) {
        let page = self.wait_for("html").await;
        self.click(css).await;
        let end = tokio::time::Instant::now() + PATIENCE;
        while page.tag_name().await.is_ok() {
            assert!(tokio::time::Instant::now() < end, "{css} led nowhere");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Types into a field.
    pub async fn type_into(&self, css: &str, text: &str) {
        let field = self.wait_for(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Waits until the address begins with a text.
    pub async fn wait_for_address(&self, start: &str) -> Url {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let address = self.client.current_url().await.unwrap();
            if address.as_str().starts_with(start) {
                return address;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "waited for {start}, but the address is {address}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Lays the page out for a screen this wide, in the light or the dark scheme.
    pub async fn look(&self, width: u32, scheme: &str) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false}),
        )
        .await;
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        )
        .await;
    }

    /// Shows the page as for somebody who asked for less movement.
    pub async fn reduce_motion(&self) {
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}),
        )
        .await;
    }

    /// Shows the page as for somebody who chose the system's own few colours.
    pub async fn force_colors(&self) {
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "forced-colors", "value": "active"}]}),
        )
        .await;
    }

    /// Keeps a picture of the whole page where `CANDOR_TEST_SHOTS` says, if it does.
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("CANDOR_TEST_SHOTS").map(PathBuf::from) else {
            return;
        };
        let picture = self
            .devtools(
                "Page.captureScreenshot",
                json!({"captureBeyondViewport": true}),
            )
            .await;
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    #[expect(clippy::print_stderr, reason = "what a failed test leaves behind")]
    async fn say_where_it_stands(&self) {
        let look = async {
            let address = self.client.current_url().await.ok()?;
            let page = self.client.source().await.ok()?;
            let page: String = page.chars().take(6000).collect();
            eprintln!("The browser stood at {address}:\n{page}");
            self.picture("failed").await;
            Some(())
        };
        let _ = AssertUnwindSafe(look).catch_unwind().await;
    }
}
