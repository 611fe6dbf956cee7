//! `_contained`: resources within others (R4 search, 3.1.1.5.7). What is contained has no row of its
//! own, only its container is marked with its type: the containers that the viewer sees are read in
//! the order of their ids, as the viewer sees them, and what they contain is asked condition by
//! condition. So nothing that is withheld takes part.

mod matches;

use std::sync::LazyLock;

use super::cursor::{Cursor, SortValue};
use super::parse::limit;
use super::plan::Plan;
use super::query::{CodeTest, Condition, Contained, Param, Query, SystemTest, TokenTest, Types};
use super::run::{Context, Found};
use super::sound::sound;
use super::{Entry, SearchError};
use crate::fhir::definitions::{ParamKind, Rules, SearchParam, TypeId, definitions};
use crate::fhir::json;
use crate::fhir::outcome::Issue;
use crate::search::extract::contained::{MARK, inside};
use crate::store::{Store, StoreError};
use crate::visibility::{Access, record_types};
use matches::Candidate;

/// Containers that one statement reads.
const BATCH: u32 = 100;

/// Containers that one page looks at. A page may end before it is full; its next link goes on.
const MOST_LOOKED_AT: usize = 2_000;

/// What such a search cannot have; the type that is sought.
///
/// # Errors
/// [`SearchError::Invalid`] naming it.
pub(super) fn check(
    types: &Types,
    query: &Query,
    is_compartment: bool,
    conditions: &[Condition],
) -> Result<TypeId, SearchError> {
    let Types::One(type_id) = types else {
        return Err(refused("'_contained' searches one type"));
    };
    if is_compartment {
        return Err(refused("'_contained' is not for compartments"));
    }
    if !query.sort.is_empty() {
        return Err(refused("what is contained cannot be sorted"));
    }
    if !query.includes.is_empty() {
        let words = "'_contained' goes without '_include' and '_revinclude'";
        return Err(refused(words));
    }
    matches::check(conditions)?;
    Ok(*type_id)
}

fn refused(words: &str) -> SearchError {
    SearchError::invalid(Issue::error("not-supported", words))
}

/// A page, and where it ended if there may be more.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub entries: Vec<Entry>,
    pub next: Option<(i64, Vec<SortValue>)>,
}

/// Whether a page that this cursor begins is one of containers.
pub(super) fn is_within(query: &Query, cursor: &Cursor) -> bool {
    query.contained != Contained::No && cursor.keys == [MARKED]
}

/// In a cursor, tells a place among containers from one among other resources, which has no keys.
const MARKED: SortValue = SortValue::Int(MARK as i64);

/// A search of what is contained.
pub(super) struct Search<'a> {
    pub context: Context<'a>,
    pub store: &'a Store,
    pub type_id: TypeId,
    pub shows_contained: bool,
    /// [Checked](check).
    pub conditions: Vec<Condition>,
}

impl Search<'_> {
    /// A page. Of `_contained=both` the resources of their own, which `plan` finds, come first.
    ///
    /// # Errors
    /// [`SearchError::Store`].
    pub async fn page(
        &self,
        plan: &Plan,
        query: &Query,
        cursor: Option<&Cursor>,
    ) -> Result<Page, SearchError> {
        let count = query.count.unwrap_or(limit::DEFAULT_COUNT);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let mut page = Page::default();
        let mut after = cursor;
        if query.contained == Contained::Both && !after.is_some_and(|own| is_within(query, own)) {
            let reader = self.store.reader();
            let own = self.context.page(reader, plan, query, after).await?;
            page.entries = own.matches.into_iter().map(Entry::from).collect();
            if own.next.is_some() {
                page.next = own.next;
                return Ok(page);
            }
            after = None;
        }
        self.fill(&mut page, after.map(|cursor| cursor.id), count)
            .await?;
        Ok(page)
    }

    /// The number of matches within containers.
    ///
    /// # Errors
    /// [`SearchError::Invalid`] where there is too much to look at, [`SearchError::Store`].
    pub async fn count(&self) -> Result<i64, SearchError> {
        let mut page = Page::default();
        self.fill(&mut page, None, usize::MAX).await?;
        if page.next.is_some() {
            let words = format!(
                "more than {MOST_LOOKED_AT} resources contain one of this type: matches are not counted"
            );
            return Err(SearchError::invalid(Issue::error("too-costly", words)));
        }
        Ok(i64::try_from(page.entries.len()).unwrap_or(i64::MAX))
    }

    /// Adds matches of the containers after this one until there are `count`.
    async fn fill(
        &self,
        page: &mut Page,
        after: Option<i64>,
        count: usize,
    ) -> Result<(), SearchError> {
        let containers = containers(&self.context);
        if containers.is_empty() {
            return Ok(());
        }
        let conditions = vec![contains(self.type_id)];
        let plan = self.context.plan(&Types::Many(containers), conditions)?;
        let batch = Query {
            count: Some(BATCH),
            ..Query::default()
        };
        let reader = self.store.reader();
        let plan = sound(&self.context, reader, &plan, &batch)
            .await?
            .unwrap_or(plan);
        let mut looked_at = 0;
        // Surrogate ids are above 0.
        let mut at = after.unwrap_or(0);
        loop {
            let cursor = Cursor {
                instant: self.context.visibility.instant(),
                id: at,
                keys: Vec::new(),
            };
            let reader = self.store.reader();
            let found = self
                .context
                .page(reader, &plan, &batch, Some(&cursor))
                .await?;
            for container in found.matches {
                let id = container.id;
                let matching = self.look(container)?;
                let is_full = page.entries.len() >= count
                    || !page.entries.is_empty() && page.entries.len() + matching.len() > count;
                if !matching.is_empty() && is_full || looked_at == MOST_LOOKED_AT {
                    page.next = Some((at, vec![MARKED]));
                    return Ok(());
                }
                page.entries.extend(matching);
                at = id;
                looked_at += 1;
            }
            if found.next.is_none() {
                return Ok(());
            }
        }
    }

    /// The entries of one container: itself once, or each match that it contains.
    fn look(&self, container: Found) -> Result<Vec<Entry>, SearchError> {
        let whole = json::parse(&container.body).map_err(|_| StoreError::Corrupt("a body"))?;
        let type_name = definitions().type_name(self.type_id);
        let indexer = self.store.indexer();
        let mut matching = inside(&whole)
            .filter(|one| {
                if one["resourceType"] != type_name {
                    return false;
                }
                let candidate = Candidate {
                    types: Types::One(self.type_id),
                    id: one["id"].as_str().unwrap_or_default(),
                    rows: &indexer.rows(self.type_id, one),
                    keys: self.context.keys,
                    instant: self.context.visibility.instant(),
                };
                let mut conditions = self.conditions.iter();
                conditions.all(|condition| candidate.satisfies(condition))
            })
            .peekable();
        if self.shows_contained {
            let shown = matching.map(|one| {
                let id = one["id"].as_str().unwrap_or_default();
                Entry {
                    body: json::to_bytes(one).into(),
                    within: Some((self.type_id, id.into())),
                    ..Entry::from(container.clone())
                }
            });
            return Ok(shown.collect());
        }
        let any = matching.peek().is_some();
        drop(matching);
        Ok(any.then(|| container.into()).into_iter().collect())
    }
}

/// The types that the viewer may search and that can contain others.
fn containers(context: &Context<'_>) -> Vec<TypeId> {
    record_types()
        .filter(|type_id| {
            // No DomainResource.
            !matches!(
                definitions().type_name(*type_id),
                "Binary" | "Bundle" | "Parameters"
            )
        })
        .filter(|type_id| context.visibility.allows(*type_id, Access::Search))
        .collect()
}

fn contains(type_id: TypeId) -> Condition {
    static PARAM: LazyLock<SearchParam> = LazyLock::new(|| SearchParam {
        id: MARK,
        code: "_contained".to_owned(),
        kind: ParamKind::Token,
        url: String::new(),
        expression: String::new(),
        targets: Vec::new(),
        components: Vec::new(),
        rules: Some(Rules {
            is_exact: true,
            ..Rules::default()
        }),
    });
    Condition::Token {
        param: Param(&PARAM),
        values: vec![TokenTest {
            system: SystemTest::None,
            code: Some(CodeTest::Is(definitions().type_name(type_id).to_owned())),
        }],
        not: false,
    }
}
