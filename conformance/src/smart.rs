//! SMART App Launch 2.2, OAuth 2.0 and OpenID Connect, as the certification kit asks
//! (`../shared/g10-checklist.md`), and as attackers do.

mod authorize;
mod backend;
mod discovery;
mod introspect;
mod launch;
mod refresh;
mod scopes;
mod token;

use std::rc::Rc;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::app::{Launch, Tokens};
use crate::fixtures::Chart;
use crate::report::Report;
use crate::world::{PASSWORD, REDIRECT, World};
use crate::worlds::Worlds;

/// Everything that the standalone launch asks for.
const SCOPE: &str = "openid fhirUser launch/patient offline_access patient/*.rs";

/// Runs every case, on the federal server.
pub async fn run(worlds: &Worlds, report: &mut Report) {
    discovery::run(worlds, report).await;
    authorize::run(worlds, report).await;
    token::run(worlds, report).await;
    refresh::run(worlds, report).await;
    introspect::run(worlds, report).await;
    launch::run(worlds, report).await;
    scopes::run(worlds, report).await;
    backend::run(worlds, report).await;
}

/// A patient who can sign in, and the server.
struct Person {
    world: Rc<World>,
    chart: Chart,
    username: String,
    fhir: String,
}

impl Person {
    async fn new(worlds: &Worlds, name: &str) -> Result<Self> {
        let (world, chart) = worlds.chart("US", &format!("smart-{name}")).await?;
        let (username, _) = world.account(&chart.patient()).await?;
        let fhir = world.server.fhir();
        Ok(Self {
            world,
            chart,
            username,
            fhir,
        })
    }

    /// A launch of the public app.
    fn launch<'a>(&'a self, scope: &'a str) -> Launch<'a> {
        Launch {
            endpoints: &self.world.endpoints,
            fhir: &self.fhir,
            client_id: &self.world.app,
            redirect: REDIRECT,
            scope,
            username: &self.username,
            password: PASSWORD,
            patient: None,
            allows: true,
        }
    }

    /// Tokens of a launch that succeeds.
    async fn tokens(&self, scope: &str) -> Result<Tokens> {
        self.launch(scope).run().await
    }

    /// The status that an access token gets for the patient's own resource.
    async fn status(&self, access: &str) -> Result<u16> {
        let path = format!("Patient/{}", self.chart.id("p"));
        self.status_of(access, &path).await
    }

    /// The status that an access token gets for a path.
    async fn status_of(&self, access: &str, path: &str) -> Result<u16> {
        let bearer = format!("Bearer {access}");
        let headers = [("authorization", bearer.as_str())];
        let answer = self
            .world
            .raw(None, reqwest::Method::GET, path, &headers, None);
        Ok(answer.await?.status.as_u16())
    }
}

/// A confidential app of its own: client id and secret.
async fn confidential(world: &World, name: &str) -> Result<(String, String)> {
    let printed = world
        .server
        .add_client(&[
            "--name",
            name,
            "--type",
            "confidential",
            "--redirect-uri",
            REDIRECT,
            "--scope",
            "openid fhirUser launch/patient offline_access patient/*.rs",
        ])
        .await?;
    let text = |key: &str| -> Result<String> {
        let text = printed.get(key).and_then(Value::as_str);
        Ok(text
            .with_context(|| format!("no {key} printed"))?
            .to_owned())
    };
    Ok((text("client_id")?, text("client_secret")?))
}
