//! Whether a resource exists for somebody, asked in every way there is; the ways must agree.

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{Answer, Who, World, entries, next_link, patient_of, reference, short};

/// Pages walked at most.
const MOST_PAGES: usize = 60;

impl World {
    /// Whether a resource exists for somebody. Read, vread, history, every search, count, include,
    /// `_has`, chain, compartment and paging must agree; where they do not, that is the error. What
    /// is not there must look like an id that never existed.
    pub async fn sees(&self, who: &Who, resource: &Value) -> Result<bool> {
        let path = reference(resource);
        let (type_name, id) = path.split_once('/').context("a reference")?;
        let read = self.get(who, &path).await?;
        let visible = match read.status {
            StatusCode::OK => true,
            StatusCode::NOT_FOUND => false,
            // Whom a level keeps from a whole type cannot grant it: then every id is refused alike.
            StatusCode::FORBIDDEN => {
                self.looks_unknown(who, type_name, id).await?;
                let ask = async |id: &str| self.get(who, &format!("{type_name}?_id={id}")).await;
                let (hidden, never) = (ask(id).await?, ask("no-such-id").await?);
                ensure!(
                    hidden.status == StatusCode::FORBIDDEN,
                    "{path} is searched for"
                );
                return self
                    .same(&hidden, &never, id, "no-such-id", &path)
                    .map(|()| false);
            }
            other => bail!("read {path}: {other} {}", short(&read.text)),
        };
        if visible {
            self.versions(who, &path, &read.json()?).await?;
        } else {
            self.looks_unknown(who, type_name, id).await?;
        }
        if type_name == "Binary" {
            return Ok(visible);
        }
        self.searches(who, resource, visible).await?;
        self.counts(who, type_name, id, visible).await?;
        self.histories(who, type_name, &path, visible).await?;
        if let Some(patient) = patient_of(resource).filter(|_| type_name != "Patient") {
            self.joins(who, resource, &patient, visible).await?;
            self.pages(who, resource, &patient, visible).await?;
        }
        Ok(visible)
    }

    /// The version that was read, by vread and in the history.
    async fn versions(&self, who: &Who, path: &str, body: &Value) -> Result<()> {
        let version = body["meta"]["versionId"].as_str().unwrap_or("1");
        let vread = self.get(who, &format!("{path}/_history/{version}")).await?;
        let vread = vread.expect(200).context("vread of the current version")?;
        ensure!(
            vread.json()? == *body,
            "{path}: vread of version {version} differs from read"
        );
        let history = self.get(who, &format!("{path}/_history")).await?;
        let history = history.expect(200).context("history")?.json()?;
        let newest = entries(&history).into_iter().next();
        ensure!(
            newest.as_ref() == Some(body),
            "{path}: the newest entry of its history differs from read"
        );
        let head = self.request(who, Method::HEAD, path, None).await?;
        ensure!(
            head.status == StatusCode::OK,
            "HEAD {path}: {}",
            head.status
        );
        Ok(())
    }

    /// Withheld looks like an id that never existed, header by header and byte by byte.
    async fn looks_unknown(&self, who: &Who, type_name: &str, id: &str) -> Result<()> {
        // As long as the hidden id, so that lengths agree where an answer repeats it.
        let random = uuid::Uuid::new_v4().simple().to_string().repeat(2);
        let unknown = random.get(..id.len()).unwrap_or(&random).to_owned();
        for tail in [
            "",
            "/_history/1",
            "/_history/2",
            "/_history",
            "/$everything",
        ] {
            if tail == "/$everything" && type_name != "Patient" {
                continue;
            }
            let hidden = self.get(who, &format!("{type_name}/{id}{tail}")).await?;
            let never = self
                .get(who, &format!("{type_name}/{unknown}{tail}"))
                .await?;
            self.same(
                &hidden,
                &never,
                id,
                &unknown,
                &format!("{type_name}/{id}{tail}"),
            )?;
        }
        for headers in [
            [("if-none-match", "W/\"1\"")],
            [("if-modified-since", "Sat, 14 Nov 2026 15:00:00 GMT")],
            [("accept", "application/fhir+xml")],
        ] {
            let ask = async |id: &str| {
                let path = format!("{type_name}/{id}");
                self.request_with(who, Method::GET, &path, &headers, None)
                    .await
            };
            let (hidden, never) = (ask(id).await?, ask(&unknown).await?);
            self.same(&hidden, &never, id, &unknown, headers[0].0)?;
        }
        let head = async |id: &str| {
            let path = format!("{type_name}/{id}");
            self.request(who, Method::HEAD, &path, None).await
        };
        let (hidden, never) = (head(id).await?, head(&unknown).await?);
        self.same(&hidden, &never, id, &unknown, "HEAD")
    }

    fn same(
        &self,
        hidden: &Answer,
        never: &Answer,
        id: &str,
        unknown: &str,
        what: &str,
    ) -> Result<()> {
        ensure!(
            hidden.status == never.status
                && hidden.text.replace(id, "?") == never.text.replace(unknown, "?")
                && steady(hidden, id) == steady(never, unknown),
            "{what}: withheld does not look like unknown: {} {} / {} {}",
            hidden.status,
            short(&hidden.text),
            never.status,
            short(&never.text)
        );
        Ok(())
    }

    async fn searches(&self, who: &Who, resource: &Value, visible: bool) -> Result<()> {
        let path = reference(resource);
        let (type_name, id) = path.split_once('/').context("a reference")?;
        let mut searches = vec![
            format!("{type_name}?_id={id}"),
            format!("{type_name}?_id={id},nobody-{id}"),
        ];
        if who != &Who::Feed {
            searches.push(format!("{type_name}?_count=500"));
        }
        if let Some(patient) = patient_of(resource) {
            for query in [
                format!("{type_name}?patient={patient}&_count=500"),
                format!("{type_name}?patient=Patient/{patient}&_count=500"),
                format!("{type_name}?patient={patient}&_sort=-_lastUpdated&_count=500"),
                format!("{type_name}?patient={patient}&_sort=_lastUpdated&_count=500"),
                format!("{type_name}?patient={patient}&_lastUpdated=ge2020&_count=500"),
                format!("Patient/{patient}/{type_name}?_count=500"),
            ] {
                searches.push(query);
            }
        }
        for code in ["code", "type"] {
            let coding = &resource[code]["coding"][0];
            if let Some(code_text) = coding["code"].as_str()
                && matches!(
                    (type_name, code),
                    ("Observation" | "DiagnosticReport" | "Condition", "code")
                        | ("DocumentReference" | "Composition", "type")
                )
            {
                let system = coding["system"].as_str().unwrap_or_default();
                searches.push(format!("{type_name}?{code}={system}|{code_text}&_id={id}"));
            }
        }
        for query in searches {
            let bundle = self.search(who, &query).await?;
            let found = entries(&bundle)
                .iter()
                .any(|entry| reference(entry) == path);
            ensure!(
                found == visible,
                "{query}: found {found}, but read says {visible}"
            );
        }
        let form = format!("_id={id}");
        let posted = self
            .raw(
                Some(who),
                Method::POST,
                &format!("{type_name}/_search"),
                &[("content-type", "application/x-www-form-urlencoded")],
                Some(form.into_bytes()),
            )
            .await?
            .expect(200)
            .context("POST _search")?;
        let found = !entries(&posted.json()?).is_empty();
        ensure!(found == visible, "POST _search: found {found}");
        Ok(())
    }

    async fn counts(&self, who: &Who, type_name: &str, id: &str, visible: bool) -> Result<()> {
        for tail in [
            "_summary=count",
            "_count=0&_total=accurate",
            "_total=accurate",
        ] {
            let query = format!("{type_name}?_id={id}&{tail}");
            let bundle = self.search(who, &query).await?;
            let total = bundle.get("total").and_then(Value::as_i64);
            ensure!(
                total == Some(i64::from(visible)),
                "{query}: total {total:?}, but read says {visible}"
            );
        }
        Ok(())
    }

    /// Type and system history, as far as this viewer may ask for them.
    async fn histories(&self, who: &Who, type_name: &str, path: &str, visible: bool) -> Result<()> {
        for query in [
            format!("{type_name}/_history?_count=500"),
            "_history?_count=500".to_owned(),
        ] {
            let answer = self.get(who, &query).await?;
            if answer.status == StatusCode::FORBIDDEN {
                continue;
            }
            let bundle = answer.expect(200).with_context(|| query.clone())?.json()?;
            let found = entries(&bundle)
                .iter()
                .any(|entry| reference(entry) == path);
            let is_whole = next_link(&bundle).is_none();
            ensure!(
                found == visible || (visible && !is_whole),
                "{query}: found {found}, but read says {visible}"
            );
            let mention = entries(&bundle)
                .into_iter()
                .find(|entry| !visible && entry.to_string().contains(path));
            ensure!(mention.is_none(), "{query} mentions {path} in {mention:?}");
        }
        Ok(())
    }

    async fn joins(&self, who: &Who, resource: &Value, patient: &str, visible: bool) -> Result<()> {
        let path = reference(resource);
        let (type_name, id) = path.split_once('/').context("a reference")?;
        let query = format!("Patient?_id={patient}&_revinclude={type_name}:patient&_count=500");
        let bundle = self.search(who, &query).await?;
        let found = entries(&bundle)
            .iter()
            .any(|entry| reference(entry) == path);
        ensure!(
            found == visible,
            "{query}: found {found}, but read says {visible}"
        );
        // From here on the patient's own resource has to be there as well.
        let patient_there =
            self.get(who, &format!("Patient/{patient}")).await?.status == StatusCode::OK;
        let query = format!("Patient?_has:{type_name}:patient:_id={id}");
        let found = !entries(&self.search(who, &query).await?).is_empty();
        ensure!(
            found == (visible && patient_there),
            "{query}: found {found}, but read says {visible}"
        );
        let query = format!("{type_name}?patient._id={patient}&_id={id}");
        let found = !entries(&self.search(who, &query).await?).is_empty();
        ensure!(
            found == (visible && patient_there),
            "{query}: found {found}, but read says {visible}"
        );
        let query = format!("{type_name}?_id={id}&_include={type_name}:patient");
        let bundle = self.search(who, &query).await?;
        let there = entries(&bundle)
            .iter()
            .any(|entry| reference(entry) == format!("Patient/{patient}"));
        ensure!(
            there == (visible && patient_there),
            "{query}: the patient is there: {there}"
        );
        Ok(())
    }

    /// One resource a page, to the end: the resource is on exactly one page or on none, and the
    /// total is what was walked.
    async fn pages(&self, who: &Who, resource: &Value, patient: &str, visible: bool) -> Result<()> {
        let path = reference(resource);
        let type_name = resource["resourceType"].as_str().unwrap_or_default();
        let query = format!("{type_name}?patient={patient}&_count=1&_total=accurate");
        let mut bundle = self.search(who, &query).await?;
        let total = bundle["total"].as_i64();
        let (mut seen, mut walked) = (0, 0);
        for _ in 0..MOST_PAGES {
            let page = entries(&bundle);
            walked += i64::try_from(page.len())?;
            seen += page.iter().filter(|entry| reference(entry) == path).count();
            let Some(next) = next_link(&bundle) else {
                ensure!(
                    seen == usize::from(visible),
                    "{query}: on {seen} pages, but read says {visible}"
                );
                ensure!(
                    total == Some(walked),
                    "{query}: total {total:?}, {walked} on the pages"
                );
                return Ok(());
            };
            bundle = self.search(who, &next).await?;
        }
        Ok(())
    }
}

/// Headers that say something, without those that differ from request to request.
fn steady(answer: &Answer, id: &str) -> Vec<(String, String)> {
    answer
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"))
        .map(|(name, value)| (name.clone(), value.replace(id, "?")))
        .collect()
}
