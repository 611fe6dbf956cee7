//! Revocation: test 9.3.

use anyhow::{Context, Result, ensure};

use super::refresh::refresh;
use super::{STANDALONE, SUITE, refused};
use crate::app::{self, browser, post_form};
use crate::demo::Demo;
use crate::html;
use crate::report::Report;
use crate::world::Answer;

pub async fn run(demo: &Demo, report: &mut Report) {
    let name = "V1 the person removes the app: the old token and the refresh token are refused";
    report.case(SUITE, name, by_the_person(demo)).await;
    let name = "V2 the app revokes its token: the same";
    report.case(SUITE, name, by_the_app(demo)).await;
}

async fn ended(demo: &Demo, tokens: &app::Tokens) -> Result<()> {
    let status = demo.status(&tokens.access, "Patient/ana").await?;
    ensure!(matches!(status, 401 | 403 | 404), "the old token: {status}");
    let token = tokens.refresh.as_deref().context("no refresh token")?;
    refused(&refresh(demo, token, None).await?).context("refresh")
}

async fn by_the_person(demo: &Demo) -> Result<()> {
    let tokens = demo.tokens(STANDALONE).await?;
    let browser = browser()?;
    let login = url::Url::parse(&format!("{}/login", demo.public))?;
    let page = Answer::read(browser.get(login.clone()).send().await?).await?;
    let forms = html::forms(&page.text);
    let form = forms
        .iter()
        .find(|form| form.of_kind("password").is_some())
        .context("no sign-in form")?;
    let mut fields = form.defaults();
    fields.retain(|(name, _)| name != "username" && name != "password");
    fields.push(("username".to_owned(), "ana".to_owned()));
    fields.push(("password".to_owned(), demo.password("ana")?.to_owned()));
    let post = browser.post(login.join(&form.action)?).form(&fields);
    let status = post.send().await?.status();
    ensure!(status.is_redirection(), "signing in: {status}");
    // All of them, until none is left.
    for _ in 0..200 {
        let apps = format!("{}/apps", demo.public);
        let page = Answer::read(browser.get(&apps).send().await?)
            .await?
            .expect(200)?;
        let forms = html::forms(&page.text);
        let remove = forms
            .iter()
            .find(|form| form.text.contains("Remove access"));
        let Some(form) = remove else {
            return ended(demo, &tokens).await;
        };
        let mut fields = form.defaults();
        fields.extend(
            form.of_kind("submit")
                .map(|button| (button.name.clone(), button.value.clone())),
        );
        let url = url::Url::parse(&apps)?.join(&form.action)?;
        let answer = browser.post(url).form(&fields).send().await?;
        let status = answer.status();
        ensure!(status.is_redirection() || status.is_success(), "{status}");
    }
    anyhow::bail!("the apps do not get fewer")
}

async fn by_the_app(demo: &Demo) -> Result<()> {
    let tokens = demo.tokens(STANDALONE).await?;
    let document = app::configuration(&demo.http, &demo.fhir).await?;
    let url = document["revocation_endpoint"].as_str();
    let url = url::Url::parse(url.context("no revocation_endpoint")?)?;
    let token = tokens.refresh.as_deref().context("no refresh token")?;
    let form = [("token", token), ("client_id", demo.app.id.as_str())];
    post_form(&demo.http, &url, &form).await?.expect(200)?;
    ended(demo, &tokens).await
}
