//! history of an instance, a type or the whole system, in pages.

use std::fmt::Write as _;

use super::bundle::writer::BundleWriter;
use super::cursor::Cursor;
use super::query::{self, Pairs};
use super::reply::{self, Content, Reply};
use super::route;
use super::session::Session;
use super::{RestError, search};
use crate::clock::{Millis, instant};
use crate::fhir::date::PartialDate;
use crate::fhir::definitions::definitions;
use crate::store::{HistoryQuery, HistoryScope, Method};
use crate::visibility::Access;

/// `GET [type]/[id]/_history`, `GET [type]/_history`, `GET _history`.
pub(super) async fn history(
    session: &Session,
    scope: HistoryScope<'_>,
    pairs: &Pairs,
) -> Result<Reply, RestError> {
    let is_system = matches!(scope, HistoryScope::System);
    let known: &[&str] = if is_system {
        &["_count", "_since", "_at", "_type", "_cursor"]
    } else {
        &["_count", "_since", "_at", "_cursor"]
    };
    query::only(pairs, known)?;
    match scope {
        HistoryScope::Instance(type_id, id) => {
            session.require(type_id, Access::Read)?;
            if !route::is_id(id) {
                return Err(RestError::NotFound);
            }
        }
        HistoryScope::Type(type_id) => session.require(type_id, Access::Search)?,
        HistoryScope::System => {
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
    let count = query::count(pairs, &session.limits)?;
    let since = since(pairs)?;
    let at = at(pairs)?;
    let types = query::types(pairs)?;
    let path = path(scope);
    let names: Vec<&str> = types
        .iter()
        .map(|type_id| definitions().type_name(*type_id))
        .collect();
    let what = format!(
        "{path}?_since={}&_at={at:?}&_type={}",
        since.unwrap_or(Millis::MIN),
        names.join(",")
    );
    let cursor = query::single(pairs, "_cursor")?
        .map(|text| Cursor::open(session, &what, text))
        .transpose()?;
    let visibility = session.visibility_on_page(cursor.map(|cursor| cursor.instant));
    let page = session
        .store
        .history(
            &visibility,
            search::NARROW,
            &HistoryQuery {
                scope,
                since,
                at: at.as_ref().map(|(range, _)| *range),
                types: &types,
                count,
                after: cursor.map(|cursor| cursor.after),
            },
        )
        .await?;

    let base = session.store.base();
    let mut own = String::new();
    if let Some(since) = since {
        let _ = write!(own, "&_since={}", instant(since));
    }
    if let Some((_, text)) = &at {
        let _ = write!(own, "&_at={}", text.replace(['+', ' '], "%2B"));
    }
    if !names.is_empty() {
        let _ = write!(own, "&_type={}", names.join(","));
    }
    let _ = write!(own, "&_count={count}");
    for (name, value) in pairs.iter().filter(|(name, _)| query::is_general(name)) {
        let _ = write!(own, "&{}", crate::search::encode_pair(name, value));
    }
    let here = query::single(pairs, "_cursor")?
        .map(|cursor| format!("&_cursor={cursor}"))
        .unwrap_or_default();
    let mut bundle = BundleWriter::new("history");
    bundle.link(
        "self",
        &format!("{base}/{path}?{}{here}", own.trim_start_matches('&')),
    );
    if page.more
        && let Some(last) = page.entries.last()
    {
        let cursor = Cursor {
            instant: visibility.instant(),
            after: (last.updated, last.doc, last.version),
        };
        let sealed = cursor.seal(session, &what)?;
        bundle.link("next", &format!("{base}/{path}?_cursor={sealed}{own}"));
    }
    let view = query::view(pairs)?;
    let seen = page.entries.iter();
    session.touch(seen.map(|entry| (entry.type_id, &*entry.id)));
    for entry in page.entries {
        let address = format!("{}/{}", definitions().type_name(entry.type_id), entry.id);
        let status = match entry.method {
            Method::Delete => "204 No Content",
            _ if entry.version == 1 || entry.follows_deletion => "201 Created",
            _ => "200 OK",
        };
        let url = match entry.method {
            Method::Post | Method::Noted => definitions().type_name(entry.type_id),
            _ => &address,
        };
        let body = entry
            .body
            .map(|body| view.apply(entry.type_id, body))
            .transpose()?;
        bundle.entry(|out| {
            out.text("fullUrl", &format!("{base}/{address}"));
            if let Some(body) = &body {
                out.raw("resource", body);
            }
            out.object("request", |out| {
                out.text("method", entry.method.http());
                out.text("url", url);
            });
            out.object("response", |out| {
                out.text("status", status);
                out.text("etag", &reply::etag(entry.version));
                out.text("lastModified", &instant(entry.updated));
            });
        });
    }
    Ok(Reply::ok(Content::Json(bundle.finish())))
}

fn path(scope: HistoryScope<'_>) -> String {
    match scope {
        HistoryScope::Instance(type_id, id) => {
            format!("{}/{id}/_history", definitions().type_name(type_id))
        }
        HistoryScope::Type(type_id) => format!("{}/_history", definitions().type_name(type_id)),
        HistoryScope::System => "_history".to_owned(),
    }
}

fn since(pairs: &Pairs) -> Result<Option<Millis>, RestError> {
    query::single(pairs, "_since")?
        .map(|text| {
            query::instant(text).ok_or_else(|| {
                RestError::bad_request(
                    "value",
                    "_since must be an instant, such as 2026-11-10T15:00:00Z.",
                )
            })
        })
        .transpose()
}

/// The time that `_at` means, and how it was written.
type At<'p> = ((Millis, Millis), &'p str);

fn at(pairs: &Pairs) -> Result<Option<At<'_>>, RestError> {
    query::single(pairs, "_at")?
        .map(|text| {
            let date = PartialDate::parse_search(text).ok_or_else(|| {
                RestError::bad_request(
                    "value",
                    "_at must be a date or a time, such as 2026-11-10 or 2026-11-10T15:00:00Z.",
                )
            })?;
            Ok((date.range(), text))
        })
        .transpose()
}
