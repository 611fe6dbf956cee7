//! Refresh: tests 1.4 and 3.4.

use anyhow::{Context, Result, ensure};

use super::{STANDALONE, SUITE, refused, scopes_of};
use crate::app::post_form;
use crate::demo::Demo;
use crate::report::Report;
use crate::world::Answer;

pub async fn run(demo: &Demo, report: &mut Report) {
    let name = "R1 refresh without scope: token, type, time, no more scope; the patient reads";
    report.case(SUITE, name, refreshed(demo, false)).await;
    let name = "R2 refresh with scope: the same";
    report.case(SUITE, name, refreshed(demo, true)).await;
    let name = "R3 refresh with a bogus token";
    report
        .case(SUITE, name, async {
            refused(&refresh(demo, "bogus", None).await?)
        })
        .await;
}

pub async fn refresh(demo: &Demo, token: &str, scope: Option<&str>) -> Result<Answer> {
    let mut form = vec![
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", demo.app.id.as_str()),
    ];
    form.extend(scope.map(|scope| ("scope", scope)));
    post_form(&demo.http, &demo.endpoints.token, &form).await
}

async fn refreshed(demo: &Demo, names_scope: bool) -> Result<()> {
    let first = demo.tokens(STANDALONE).await?;
    let token = first.refresh.as_deref().context("no refresh token")?;
    let had = scopes_of(&first.body);
    let all = had.join(" ");
    let answer = refresh(demo, token, names_scope.then_some(all.as_str())).await?;
    let answer = answer.expect(200)?;
    let cache = answer.header("cache-control").unwrap_or_default();
    ensure!(cache.contains("no-store"), "Cache-Control: {cache}");
    let body = answer.json()?;
    let kind = body["token_type"].as_str().unwrap_or_default();
    ensure!(kind.eq_ignore_ascii_case("bearer"), "{kind}");
    ensure!(body["expires_in"].is_number(), "{}", body["expires_in"]);
    let scopes = scopes_of(&body);
    ensure!(!scopes.is_empty(), "no scope");
    for scope in &scopes {
        ensure!(had.contains(scope), "{scope} is new");
    }
    let access = body["access_token"].as_str().context("no token")?;
    ensure!(access != first.access, "the same token");
    let status = demo.status(access, "Patient/ana").await?;
    ensure!(status == 200, "Patient: {status}");
    Ok(())
}
