//! search: GET and POST `_search`, of a type, a compartment or the whole system. The bodies go into
//! the Bundle as they are stored.

use bytes::Bytes;

use super::bundle::writer::BundleWriter;
use super::negotiate::Prefer;
use super::query::{self, Pairs};
use super::reply::{Content, Reply};
use super::route;
use super::session::Session;
use super::view::View;
use super::{RestError, audit};
use crate::fhir::definitions::{TypeId, definitions};
use crate::fhir::json;
use crate::fhir::outcome::{Issue, operation_outcome};
use crate::search::{self, SearchRequest};
use crate::store::{Narrow, Store, Writer};
use crate::visibility::{Access, Viewer};

/// How granular scopes lower into SQL, for every query of this module.
pub(super) const NARROW: Narrow = search::narrow;

/// What is searched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    /// None: every type.
    pub(super) type_id: Option<TypeId>,
    /// `Patient/1/…`.
    pub(super) compartment: Option<(TypeId, &'p str)>,
}

impl Place<'_> {
    /// The path below the base, for links.
    fn path(&self) -> String {
        let own = self.type_id.map(|type_id| definitions().type_name(type_id));
        match self.compartment {
            Some((type_id, id)) => format!(
                "{}/{id}/{}",
                definitions().type_name(type_id),
                own.unwrap_or("*")
            ),
            None => own.unwrap_or("").to_owned(),
        }
    }
}

/// A search and its answer.
pub(super) async fn search(
    session: &Session,
    place: Place<'_>,
    pairs: &Pairs,
    prefer: Prefer,
) -> Result<Reply, RestError> {
    search_with(session, place, pairs, prefer, Vec::new()).await
}

/// [`search`] with something more to say to whoever searches.
pub(super) async fn search_with(
    session: &Session,
    place: Place<'_>,
    pairs: &Pairs,
    prefer: Prefer,
    more: Vec<Issue>,
) -> Result<Reply, RestError> {
    match place.type_id {
        Some(type_id) => session.require(type_id, Access::Search)?,
        None => {
            let any = definitions()
                .types()
                .any(|(type_id, _)| session.visibility.allows(type_id, Access::Search));
            if !any {
                return Err(RestError::Forbidden(
                    "The token's scopes do not allow to search any type.".to_owned(),
                ));
            }
        }
    }
    if let Some((_, id)) = place.compartment
        && !route::is_id(id)
    {
        return Err(RestError::NotFound);
    }
    let all = pairs;
    let mut pairs: Vec<(String, String)> = all
        .iter()
        .filter(|(name, _)| name != "_format" && name != "_pretty")
        .cloned()
        .collect();
    // For whom plans are not, there is no such parameter.
    let explains = search::explain::may(&session.viewer)
        && pairs
            .iter()
            .any(|(name, value)| name == "_explain" && value == "true");
    if explains {
        pairs.retain(|(name, _)| name != "_explain");
    }
    let request = SearchRequest {
        type_id: place.type_id,
        pairs: &pairs,
        compartment: place
            .compartment
            .map(|(type_id, id)| (definitions().type_name(type_id), id)),
        strict: prefer.strict,
    };
    if explains {
        let plan = search::explain::explain(&session.store, &session.viewer, &request).await?;
        return Ok(Reply::ok(Content::Resource(plan)));
    }
    let result = search::search(&session.store, &session.viewer, &request).await?;

    let base = session.store.base();
    let mut query = result.self_query.clone();
    query.push_str(&shape(all, query.is_empty()));
    let path = place.path();
    let address = if path.is_empty() {
        base.to_owned()
    } else {
        format!("{base}/{path}")
    };
    let mut bundle = BundleWriter::new("searchset");
    if let Some(total) = result.total {
        bundle.total(total);
    }
    let own = query::single(all, "_cursor")?.filter(|cursor| !cursor.is_empty());
    bundle.link("self", &link(&address, &query, own));
    if let Some(cursor) = &result.next {
        bundle.link("next", &link(&address, &query, Some(cursor)));
    }
    bundle.reserve(
        result
            .entries
            .iter()
            .map(|entry| entry.body.len() + 192)
            .sum(),
    );
    let seen = result.entries.iter();
    session.touch(seen.map(|entry| (entry.type_id, &*entry.fhir_id)));
    let view = View::of_search(&result.view);
    for entry in result.entries {
        let type_name = definitions().type_name(entry.type_id);
        let mut address = format!("{base}/{type_name}/{}", entry.fhir_id);
        let mut shown = entry.type_id;
        if let Some((type_id, id)) = entry.within {
            address.push_str(&format!("#{id}"));
            shown = type_id;
        }
        let body = view.apply(shown, entry.body)?;
        bundle.entry(|out| {
            out.text("fullUrl", &address);
            out.raw("resource", &body);
            out.object("search", |out| out.text("mode", entry.mode.code()));
        });
    }
    let mut issues = result.issues;
    issues.extend(more);
    issues.extend(audit::incomplete_search(session, &path, all));
    if prefer.withheld_notice && session.viewer.class.is_patient_side() {
        let notices = session.store.notices(&session.visibility).await?;
        if !notices.is_empty() {
            issues.push(withheld_notice(&notices));
        }
    }
    tell(&mut bundle, &issues);
    Ok(Reply::ok(Content::Json(bundle.finish())))
}

/// Adds what else there is to say, as the last entry of a searchset.
pub(super) fn tell(bundle: &mut BundleWriter, issues: &[Issue]) {
    if issues.is_empty() {
        return;
    }
    let outcome = Bytes::from(json::to_bytes(&operation_outcome(issues)));
    bundle.entry(|out| {
        out.raw("resource", &outcome);
        out.object("search", |out| out.text("mode", "outcome"));
    });
}

/// What a patient who asks is told: on what grounds something is held back for now, and whom to
/// turn to; one notice, the same words whatever it is and however much (release-policy.md 4.4,
/// "notice" and "pending"; 45 CFR 164.524(d)(2)).
fn withheld_notice(notices: &[String]) -> Issue {
    let mut words = vec!["Some of this record is not shown at present."];
    words.extend(
        notices
            .iter()
            .map(String::as_str)
            .filter(|one| !one.is_empty()),
    );
    words.push("The records office tells you more, and how to ask for a review.");
    let words = words.join(" ");
    Issue::error("suppressed", words).information()
}

/// How the answer is to be written, for the links of a page: `&_format=…&_pretty=…`.
pub(super) fn shape(pairs: &Pairs, is_first: bool) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if matches!(name.as_str(), "_format" | "_pretty") && !value.is_empty() {
            let separator = if is_first && text.is_empty() { "" } else { "&" };
            text.push_str(&format!("{separator}{}", search::encode_pair(name, value)));
        }
    }
    text
}

/// A link with these parameters (encoded), and the place where the next page begins.
fn link(address: &str, query: &str, cursor: Option<&str>) -> String {
    let cursor = cursor.map(|cursor| format!("_cursor={cursor}"));
    let query: Vec<&str> = [Some(query), cursor.as_deref()]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    if query.is_empty() {
        address.to_owned()
    } else {
        format!("{address}?{}", query.join("&"))
    }
}

/// Ids that match the criteria of a conditional interaction, on the connection of a write: the
/// first two, for one is a match and two are too many.
pub(super) async fn find_ids(
    writer: &Writer<'_>,
    session: &Session,
    type_id: TypeId,
    pairs: &Pairs,
    most: usize,
) -> Result<Vec<String>, RestError> {
    let ids = search::find_ids(
        &session.store,
        writer.connection(),
        &session.visibility,
        type_id,
        pairs,
        u32::try_from(most).unwrap_or(u32::MAX),
    )
    .await?;
    Ok(ids.into_iter().map(|(id, _)| id).collect())
}

/// All ids that match for a viewer, in pages; None when they are more than `most`.
pub(super) async fn all_ids(
    store: &Store,
    viewer: &Viewer,
    type_id: TypeId,
    pairs: &Pairs,
    most: usize,
) -> Result<Option<Vec<String>>, RestError> {
    search::own_resources(pairs)?;
    let mut ids = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let mut all = pairs.clone();
        all.push(("_count".to_owned(), "500".to_owned()));
        all.extend(next.take().map(|cursor| ("_cursor".to_owned(), cursor)));
        let request = SearchRequest {
            type_id: Some(type_id),
            pairs: &all,
            compartment: None,
            strict: true,
        };
        let page = search::search(store, viewer, &request).await?;
        ids.extend(page.entries.into_iter().map(|entry| entry.fhir_id));
        if ids.len() > most {
            return Ok(None);
        }
        match page.next {
            Some(cursor) => next = Some(cursor),
            None => return Ok(Some(ids)),
        }
    }
}
