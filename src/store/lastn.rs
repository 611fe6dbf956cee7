//! The latest observations of each code (`$lastn`), ranked by the database among what the viewer
//! may see.

use super::everything::{RecordEntry, entry};
use super::select::Select as _;
use super::{Narrow, Store, StoreError};
use crate::fhir::definitions::definitions;
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
        let after = match query.after {
            Some((low, doc)) => {
                let (low, doc) = (sql.bind(low), sql.bind(doc));
                format!(" HAVING (MAX(g.low), g.id) < ({low}, {doc})")
            }
            None => String::new(),
        };
        let max = sql.bind(i64::from(query.max));
        let count = sql.bind(i64::from(query.count));
        sql.text = format!(
            "SELECT r.type, r.fhir_id, r.id, r.body, p.low FROM (\
             SELECT g.id AS id, MAX(g.low) AS low FROM (\
             SELECT r.id AS id, COALESCE(d.low, -9223372036854775807) AS low, \
             RANK() OVER (PARTITION BY t.system, t.code \
             ORDER BY COALESCE(d.low, -9223372036854775807) DESC) AS place \
             FROM idx_token t CROSS JOIN resource r \
             LEFT JOIN (SELECT v.id AS id, MAX(v.low) AS low FROM idx_date v \
             WHERE v.patient = {key} AND v.type = {type_id} AND v.param = {date} GROUP BY v.id) d \
             ON d.id = r.id \
             WHERE t.patient = {key} AND t.type = {type_id} AND t.param = {code} \
             AND r.id = t.id AND r.deleted = 0 AND {ways} AND {holds}{filter}) g \
             WHERE g.place <= {max} GROUP BY g.id{after} ORDER BY 2 DESC, 1 DESC LIMIT {count}) p \
             CROSS JOIN resource r WHERE r.id = p.id ORDER BY p.low DESC, p.id DESC"
        );
        let rows = self.reader().select(sql).await?;
        rows.iter()
            .map(|row| Ok((row.get(4)?, entry(row)?)))
            .collect()
    }
}
