//! The latest observations of each code (`$lastn`), ranked among what the viewer may see: one
//! statement for their codes and dates, one for those that are shown.

use std::collections::HashMap;

use serde_json::Value;

use super::current::in_list;
use super::everything::{RecordEntry, entry};
use super::packed::unpack;
use super::select::Select as _;
use super::{Narrow, Store, StoreError};
use crate::fhir::definitions::{TypeId, definitions};
use crate::search::extract::present;
use crate::sql::Sql;
use crate::visibility::{Access, Visibility};

/// Which observations.
#[derive(Clone, Copy, Debug)]
pub struct LastnQuery<'a> {
    /// Id of the patient.
    pub patient: &'a str,
    /// Further search parameters, a query string that was checked.
    pub filter: Option<&'a str>,
    /// How many of each code; those of one time count as one.
    pub max: u32,
    /// At most this many in all.
    pub count: u32,
    /// Continue after this date and surrogate id.
    pub after: Option<(i64, i64)>,
}

impl Store {
    /// The observations, newest first, each with the date that it stands by.
    pub async fn lastn(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        query: &LastnQuery<'_>,
    ) -> Result<Vec<(i64, RecordEntry)>, StoreError> {
        let param = |code: &str| {
            let type_id = definitions().type_id("Observation")?;
            let param = definitions().search_param(type_id, code)?;
            Some((type_id, param.id))
        };
        let (Some((type_id, code)), Some((_, date))) = (param("code"), param("date")) else {
            return Err(StoreError::Corrupt("definitions"));
        };
        let mut sql = Sql::default();
        let key = sql.bind(self.keys().reference("Patient", query.patient));
        let Some(ways) = self.visible_types(
            visibility,
            narrow,
            &[type_id],
            Access::Search,
            &mut sql,
            "+r",
        )?
        else {
            return Ok(Vec::new());
        };
        let holds = visibility.holds_predicate(&mut sql, "r.id", None);
        let filter = match query.filter {
            Some(filter) => {
                let test = narrow(self.keys(), type_id, filter, &mut sql, "r")?;
                format!(" AND ({test})")
            }
            None => String::new(),
        };
        // Only what has no coding is read here: its text is not in the index as it is written.
        let bare = sql.bind(present(self.keys()));
        sql.text = format!(
            "SELECT r.id, t.code, t.system, COALESCE(d.low, {BEFORE_ALL}), \
             CASE WHEN t.code = {bare} AND t.system = 0 THEN r.body END \
             FROM idx_token t CROSS JOIN resource r \
             LEFT JOIN (SELECT v.id AS id, MAX(v.low) AS low FROM idx_date v \
             WHERE v.patient = {key} AND v.type = {type_id} AND v.param = {date} GROUP BY v.id) d \
             ON d.id = r.id \
             WHERE t.patient = {key} AND t.type = {type_id} AND t.param = {code} \
             AND r.id = t.id AND r.deleted = 0 AND {ways} AND {holds}{filter}"
        );
        let mut groups = Groups::default();
        for row in self.reader().select(sql).await? {
            let code = match row.bytes(4)? {
                Some(body) => Code::Text(text_of(&unpack(body)?)?),
                None => Code::Coding(row.get(2)?, row.get(1)?),
            };
            groups.add(row.get(0)?, row.get(3)?, code);
        }
        let mut chosen = groups.latest(query.max);
        if let Some(after) = query.after {
            chosen.retain(|place| *place < after);
        }
        chosen.truncate(usize::try_from(query.count).unwrap_or(usize::MAX));
        self.chosen(visibility, narrow, type_id, &chosen).await
    }

    /// The observations that were chosen, in their order. The viewer is asked for again: what was
    /// written meanwhile may be withheld.
    async fn chosen(
        &self,
        visibility: &Visibility,
        narrow: Narrow,
        type_id: TypeId,
        chosen: &[(i64, i64)],
    ) -> Result<Vec<(i64, RecordEntry)>, StoreError> {
        let mut sql = Sql::default();
        let types = [type_id];
        let ways =
            self.visible_types(visibility, narrow, &types, Access::Search, &mut sql, "+r")?;
        let Some(ways) = ways.filter(|_| !chosen.is_empty()) else {
            return Ok(Vec::new());
        };
        let holds = visibility.holds_predicate(&mut sql, "r.id", None);
        let ids: Vec<i64> = chosen.iter().map(|(_, id)| *id).collect();
        let these = in_list(&mut sql, self.backend(), &ids);
        sql.text = format!(
            "SELECT r.type, r.fhir_id, r.id, r.body FROM resource r \
             WHERE r.id {these} AND r.deleted = 0 AND {ways} AND {holds}"
        );
        let mut found = HashMap::new();
        for row in self.reader().select(sql).await? {
            let entry = entry(&row)?;
            found.insert(entry.doc, entry);
        }
        let of = |(low, id): &(i64, i64)| Some((*low, found.remove(id)?));
        Ok(chosen.iter().filter_map(of).collect())
    }
}

/// The date of what has none: it is older than all others.
const BEFORE_ALL: i64 = -9_223_372_036_854_775_807;

/// What observations are grouped by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Code {
    /// Keys of a system and a code.
    Coding(i32, i64),
    /// `Observation.code.text` of what has no coding, to the letter, as the definition's example has
    /// it.
    Text(String),
}

/// Observations by their codes. The codes of one observation mean the same, so whatever two share
/// puts all of theirs into one group (Observation-lastn: "the transitive property of equality").
#[derive(Debug, Default)]
struct Groups {
    /// (surrogate id, date) of each.
    all: Vec<(i64, i64)>,
    places: HashMap<i64, usize>,
    /// Another observation of the group, or itself.
    parents: Vec<usize>,
    first: HashMap<Code, usize>,
}

impl Groups {
    fn add(&mut self, id: i64, date: i64, code: Code) {
        let next = self.all.len();
        let place = *self.places.entry(id).or_insert(next);
        if place == next {
            self.all.push((id, date));
            self.parents.push(place);
        }
        let other = *self.first.entry(code).or_insert(place);
        let (one, other) = (self.root(place), self.root(other));
        if let Some(parent) = self.parents.get_mut(one) {
            *parent = other;
        }
    }

    fn root(&mut self, mut place: usize) -> usize {
        loop {
            let parent = self.parents.get(place).copied().unwrap_or(place);
            if parent == place {
                return place;
            }
            // Halves the way for who comes next.
            let above = self.parents.get(parent).copied().unwrap_or(parent);
            if let Some(parent) = self.parents.get_mut(place) {
                *parent = above;
            }
            place = above;
        }
    }

    /// (date, surrogate id) of the latest of each group, newest first: those with fewer than `max`
    /// later ones, so that those of one time are all there.
    fn latest(mut self, max: u32) -> Vec<(i64, i64)> {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut groups: HashMap<usize, Vec<(i64, i64)>> = HashMap::new();
        for (place, (id, date)) in std::mem::take(&mut self.all).into_iter().enumerate() {
            let root = self.root(place);
            groups.entry(root).or_default().push((date, id));
        }
        let mut chosen = Vec::new();
        for (_, mut group) in groups {
            group.sort_unstable_by(|one, other| other.cmp(one));
            let last = group.get(max.saturating_sub(1)).map(|(date, _)| *date);
            let recent = group.into_iter();
            chosen.extend(recent.take_while(|(date, _)| last.is_none_or(|last| *date >= last)));
        }
        chosen.sort_unstable_by(|one, other| other.cmp(one));
        chosen
    }
}

/// What an observation without a coding is called.
fn text_of(body: &[u8]) -> Result<String, StoreError> {
    let body: Value =
        serde_json::from_slice(body).map_err(|_| StoreError::Corrupt("resource body"))?;
    let code = &body["code"];
    let display = code["coding"]
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|coding| coding["display"].as_str());
    let text = code["text"].as_str().or(display).unwrap_or_default();
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids of what is latest; each observation is its id and its codes, later ones after earlier.
    fn latest(observations: &[&[&str]], max: u32) -> Vec<i64> {
        let mut groups = Groups::default();
        for (id, codes) in (0..).zip(observations) {
            for code in *codes {
                groups.add(id, id, Code::Text((*code).to_owned()));
            }
        }
        groups.latest(max).into_iter().map(|(_, id)| id).collect()
    }

    #[test]
    fn codes_that_meet_are_one_group() {
        // The examples of the definition.
        assert_eq!(latest(&[&["a"], &["b"], &["c"]], 1), [2, 1, 0]);
        assert_eq!(latest(&[&["a"], &["b"], &["a", "c"]], 1), [2, 1]);
        assert_eq!(latest(&[&["a"], &["b"], &["a", "b"]], 1), [2]);
        assert_eq!(latest(&[&["textM"], &["Text"], &["t e x t"]], 1), [2, 1, 0]);
        // What two have in common comes last, first and in the middle.
        assert_eq!(latest(&[&["b"], &["b", "c"], &["c"]], 1), [2]);
        assert_eq!(latest(&[&["b", "c"], &["c"], &["b"]], 2), [2, 1]);
        assert_eq!(
            latest(&[&["a", "b"], &["c", "d"], &["e"], &["d", "a"]], 1),
            [3, 2]
        );
    }

    #[test]
    fn those_of_one_time_count_as_one_place_and_come_together() {
        let mut groups = Groups::default();
        for (id, date) in [(1, 10), (2, 10), (3, 9), (4, 20), (5, 10)] {
            groups.add(id, date, Code::Coding(1, 1));
        }
        assert_eq!(groups.latest(2), [(20, 4), (10, 5), (10, 2), (10, 1)]);
    }
}
