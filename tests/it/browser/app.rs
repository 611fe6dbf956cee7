//! The app's own web server: static pages, and the npm library as its makers ship it.

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::tools::{Tools, folder};

/// An app at `http://localhost:port`: another site than the server's `127.0.0.1`.
#[derive(Debug)]
pub struct AppServer {
    pub origin: String,
    serving: JoinHandle<()>,
}

impl Drop for AppServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn page(name: &str) -> Html<String> {
    Html(std::fs::read_to_string(folder().join("app").join(name)).unwrap())
}

fn script(text: String) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], text)
}

fn own_script(name: &str) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    script(std::fs::read_to_string(folder().join("app").join(name)).unwrap())
}

impl AppServer {
    /// Starts it on a free port.
    pub async fn start(tools: &Tools) -> Self {
        let library = tools.package_file("fhirclient/build/fhir-client.min.js");
        let router = Router::new()
            .route("/launch.html", get(async || page("launch.html")))
            .route("/launch.js", get(async || own_script("launch.js")))
            .route("/journal.html", get(async || page("journal.html")))
            .route("/journal.js", get(async || own_script("journal.js")))
            .route("/callback.html", get(async || page("callback.html")))
            .route("/fhir-client.js", get(async move || script(library)));
        Self::serve(router).await
    }

    /// A form under `form-action 'self'` whose answer leads to another origin: what the consent page
    /// would be if it had the policy of the other pages.
    pub async fn start_trap(lead_to: String) -> Self {
        let form = "<!doctype html><title>Trap</title><form method=post><button>Go</button></form>";
        let shown = async move || {
            (
                [(CONTENT_SECURITY_POLICY, "form-action 'self'")],
                Html(form),
            )
        };
        let router = Router::new()
            .route("/", get(shown))
            .route("/", post(async move || Redirect::to(&lead_to)));
        Self::serve(router).await
    }

    async fn serve(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            origin: format!("http://localhost:{port}"),
            serving,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}
