//! The authorization endpoint: tests 1.4, 9.4.

use anyhow::{Context, Result, ensure};

use super::{STANDALONE, SUITE};
use crate::app::How;
use crate::demo::Demo;
use crate::report::Report;

pub async fn run(demo: &Demo, report: &mut Report) {
    let name = "A1 authorize by GET: code and the same state come back";
    report.case(SUITE, name, by(demo, false)).await;
    let name = "A2 authorize by POST: code and the same state come back";
    report.case(SUITE, name, by(demo, true)).await;
    let name = "A3 a wrong aud never yields a code";
    report.case(SUITE, name, wrong_aud(demo)).await;
}

async fn by(demo: &Demo, posts: bool) -> Result<()> {
    let how = How {
        posts,
        choose: None,
    };
    let launch = demo.launch(&demo.app, "ana", STANDALONE)?;
    let back = launch.authorize_as(&[], &how).await?;
    let code = back.code()?;
    ensure!(back.get("iss") == Some(demo.public.as_str()), "iss");
    launch.exchange(code, &back.verifier).await?.expect(200)?;
    Ok(())
}

async fn wrong_aud(demo: &Demo) -> Result<()> {
    let launch = demo.launch(&demo.app, "ana", STANDALONE)?;
    for aud in ["https://elsewhere.example/fhir", "", &demo.public] {
        // A page that says so is as good as an error to the app.
        if let Ok(back) = launch.authorize(&[("aud", aud)]).await {
            ensure!(back.get("code").is_none(), "a code for aud {aud:?}");
            let error = back.get("error");
            error.with_context(|| format!("no error for aud {aud:?}"))?;
        }
    }
    Ok(())
}
