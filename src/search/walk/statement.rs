//! A walk as SQL.

use super::{By, Walk};
use crate::search::SearchError;
use crate::search::cursor::{Cursor, SortValue};
use crate::search::extract::units::Canonical;
use crate::search::extract::{fold, sampled};
use crate::search::plan::Sounding;
use crate::search::plan::driver::SELECTIVE;
use crate::search::query::{Condition, Query, SpanTest, Types};
use crate::search::run::{columns, page_sql};
use crate::search::sort::{self, Key, KeyKind};
use crate::search::sql::range::Halves;
use crate::search::sql::{Lower, Row};
use crate::visibility::access_log;

/// A part of the order.
enum Stretch<'s> {
    All,
    /// After the row with this value and id.
    After(&'s SortValue, i64),
    /// With a value beyond this one.
    Beyond(&'s SortValue),
    /// From a value, if there is one, to that of an SQL expression, both included.
    Until(Option<&'s SortValue>, &'s str),
}

impl Walk {
    /// The statement of resources with a value, in order.
    ///
    /// # Errors
    /// [`SearchError::Forbidden`] when a chain leads to types that no scope opens.
    pub fn sql(
        &self,
        lower: &mut Lower<'_>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<String, SearchError> {
        let after = cursor.and_then(|cursor| {
            let value = cursor.keys.first().filter(|value| value.is(self.kind()))?;
            Some((value, cursor))
        });
        if !self.then.is_empty() {
            return self.by_several(lower, after, limit);
        }
        let stretch = after.map_or(Stretch::All, |(value, cursor)| {
            Stretch::After(value, cursor.id)
        });
        let row = self.row(lower)?;
        let ids = self.select(lower, &row, &stretch, Some(limit))?;
        let direction = self.direction();
        Ok(format!(
            "SELECT {}, p.k0 FROM ({ids}) p CROSS JOIN resource r WHERE r.id = p.id \
             ORDER BY p.k0{direction}, p.id{direction}",
            columns("r"),
        ))
    }

    /// The same by several keys. Beyond the cursor's value as many rows as the page takes are walked:
    /// no row of the page has a value beyond theirs. All up to there are sorted, so that those that
    /// are equal in the first key take their order from the others.
    fn by_several(
        &self,
        lower: &mut Lower<'_>,
        after: Option<(&SortValue, &Cursor)>,
        limit: usize,
    ) -> Result<String, SearchError> {
        let value = after.map(|(value, _)| value);
        let row = self.row(lower)?;
        let stretch = value.map_or(Stretch::All, Stretch::Beyond);
        let walked = self.select(lower, &row, &stretch, Some(limit))?;
        let last = if self.descending { "MIN" } else { "MAX" };
        let mut last = format!("(SELECT {last}(n.k0) FROM ({walked}) n)");
        if let Some(value) = value {
            last = format!("COALESCE({last}, {})", lower.sql.bind(value.to_value()));
        }
        let row = self.row(lower)?;
        let candidates = self.select(lower, &row, &Stretch::Until(value, &last), None)?;
        let mut keys = vec![Key {
            expression: "c.k0".to_owned(),
            join: None,
            kind: self.kind(),
            descending: self.descending,
        }];
        for (at, then) in self.then.iter().enumerate() {
            keys.push(sort::key(lower, then, &row, SELECTIVE, at + 1)?);
        }
        let cursor = after.map(|(_, cursor)| cursor);
        Ok(sort::page(lower, &candidates, &keys, cursor, limit))
    }

    /// The statement of resources without a value, in order of their ids, or of the other keys.
    ///
    /// # Errors
    /// [`SearchError::Forbidden`] when a chain leads to types that no scope opens.
    pub fn rest_sql(
        &self,
        lower: &mut Lower<'_>,
        query: &Query,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<String, SearchError> {
        let mut plan = self.plan.clone();
        plan.sounding = Sounding::None;
        if let By::Date { param, .. }
        | By::Text { param }
        | By::Quantity { param }
        | By::Coded { param, .. } = self.by
        {
            plan.conditions.push(Condition::Unsorted(param));
        }
        plan.lead();
        if !self.then.is_empty() {
            return Ok(page_sql(lower, &plan, query, cursor, limit)?.0);
        }
        if plan.driver.is_none() {
            plan.sounding = Sounding::Many;
        }
        let selection = lower.select(&plan)?;
        let t = &selection.row.alias;
        let (beyond, direction) = (self.beyond(), self.direction());
        let after = match cursor {
            Some(cursor) => format!(" AND {t}.id {beyond} {}", lower.sql.bind(cursor.id)),
            None => String::new(),
        };
        let distinct = if selection.repeats { "DISTINCT " } else { "" };
        let missing = self.kind().missing(self.descending);
        // PostgreSQL takes the number alone for a decimal.
        let missing = match self.kind() {
            KeyKind::Float => format!("CAST({missing} AS DOUBLE PRECISION)"),
            KeyKind::Int | KeyKind::Text => missing.to_owned(),
        };
        Ok(format!(
            "SELECT {}, {missing} AS k0 FROM (SELECT {distinct}{t}.id AS id{}{after} \
             ORDER BY 1{direction} LIMIT {limit}) p \
             CROSS JOIN resource r WHERE r.id = p.id ORDER BY p.id{direction}",
            columns("r"),
            selection.from_where(),
        ))
    }

    fn beyond(&self) -> &'static str {
        if self.descending { "<" } else { ">" }
    }

    fn direction(&self) -> &'static str {
        if self.descending { " DESC" } else { "" }
    }

    /// The row that is walked.
    fn row(&self, lower: &mut Lower<'_>) -> Result<Row, SearchError> {
        Ok(Row {
            pin: lower.pin(&self.plan)?,
            alias: lower.alias(),
            types: self.plan.types.clone(),
            is_resource: matches!(self.by, By::Updated { .. }),
            // Probes stay probes: PostgreSQL would rather begin with all that satisfies them and
            // sort it.
            is_link: true,
        })
    }

    /// `SELECT … id, … k0` of a stretch, in order, if it has a limit; else all, with `patient`.
    fn select(
        &self,
        lower: &mut Lower<'_>,
        row: &Row,
        stretch: &Stretch<'_>,
        limit: Option<usize>,
    ) -> Result<String, SearchError> {
        let (table, column) = match self.by {
            By::Updated { .. } => ("resource", "updated"),
            By::Date { .. } => ("idx_date", "low"),
            By::Text { .. } => ("idx_string", "norm"),
            By::Quantity { .. } => ("idx_quantity", "low"),
            By::Coded { .. } => ("idx_composite", "low"),
        };
        let t = &row.alias;
        let direction = self.direction();
        let mut all = Vec::new();
        if let Some(pin) = &row.pin {
            all.push(format!("{t}.patient {pin}"));
        }
        all.extend(self.own(lower, row));
        all.extend(self.within(lower, &format!("{t}.{column}"), t, stretch));
        all.extend(lower.restrictions(&self.plan, row)?);
        let all = all.join(" AND ");
        let end = |alias: &str, key: &str| match limit {
            Some(limit) => {
                format!(" ORDER BY {alias}.{key}{direction}, {alias}.id{direction} LIMIT {limit}")
            }
            None => String::new(),
        };
        // The same value may stand twice.
        let distinct = match self.by {
            By::Text { .. } | By::Quantity { .. } | By::Coded { .. } => "DISTINCT ",
            By::Updated { .. } | By::Date { .. } => "",
        };
        // Only what is sorted asks for the patient: rows told apart by more than the index is in the
        // order of would be sorted to tell them apart.
        let patient = match limit {
            Some(_) => String::new(),
            None => format!(", {t}.patient AS patient"),
        };
        let ids = |more: &str| {
            format!(
                "SELECT {distinct}{t}.id AS id{patient}, {t}.{column} AS k0 \
                 FROM {table} {t} WHERE {all}{more}{}",
                end(t, column)
            )
        };
        let halves = match &self.by {
            By::Date { tests, .. } if row.pin.is_none() => {
                let tests: Vec<&[SpanTest]> = tests.iter().map(Vec::as_slice).collect();
                lower.date_halves(t, &tests)
            }
            // The log has an index for itself.
            By::Updated { .. }
                if matches!(row.types, Types::Many(_)) && row.beside_the_log(t).is_none() =>
            {
                Some(Halves {
                    near: format!("{t}.type = {}", access_log()),
                    far: format!("{t}.type <> {}", access_log()),
                })
            }
            // Each of the two has the order, both together do not.
            By::Coded { pair, .. } => Some(Halves {
                near: format!("{t}.param = {}", pair.id),
                far: format!("{t}.param = {}", sampled(pair)),
            }),
            _ => None,
        };
        Ok(match halves {
            None => ids(""),
            Some(halves) => format!(
                "SELECT {distinct}h.* FROM (SELECT * FROM ({}) n UNION ALL SELECT * FROM ({}) f) h{}",
                ids(&format!(" AND {}", halves.near)),
                ids(&format!(" AND {}", halves.far)),
                end("h", "k0"),
            ),
        })
    }

    /// What makes a row of the index one of the walk.
    fn own(&self, lower: &mut Lower<'_>, row: &Row) -> Vec<String> {
        let t = &row.alias;
        let mut all = Vec::new();
        match &self.by {
            By::Updated { tests } => {
                // Several types are walked together, in an index that does not begin with the type.
                match &row.types {
                    Types::One(_) => all.push(row.any_type(t)),
                    Types::Many(_) if self.plan.groups.is_empty() => {
                        all.push(format!("+{}", row.any_type(t)));
                    }
                    Types::Many(_) => {}
                }
                all.extend(row.beside_the_log(t));
                all.push(format!("{t}.deleted = 0"));
                for tests in tests {
                    all.push(lower.updated_tests(t, tests));
                }
            }
            By::Date { param, tests } => {
                all.push(row.any_type(t));
                all.push(format!("{t}.param = {}", param.id));
                for tests in tests {
                    all.push(lower.span_tests(t, tests));
                }
            }
            By::Text { param } => {
                let s = lower.alias();
                let earlier = if self.descending { ">" } else { "<" };
                all.push(row.any_type(t));
                all.push(format!("{t}.param = {}", param.id));
                all.push(format!(
                    "NOT EXISTS (SELECT 1 FROM idx_string {s} WHERE {s}.id = {t}.id \
                     AND {s}.param = {} AND {s}.norm {earlier} {t}.norm LIMIT 1 OFFSET 0)",
                    param.id
                ));
            }
            By::Quantity { param } => {
                let s = lower.alias();
                let earlier = if self.descending { ">" } else { "<" };
                // Rows in canonical units are for comparisons.
                let canonical = lower.sql.bind(Canonical::system(lower.keys));
                all.push(row.any_type(t));
                all.push(format!("{t}.param = {}", param.id));
                all.push(format!("{t}.system <> {canonical}"));
                all.push(format!(
                    "NOT EXISTS (SELECT 1 FROM idx_quantity {s} WHERE {s}.patient = {t}.patient \
                     AND {} AND {s}.param = {} AND {s}.low {earlier} {t}.low AND {s}.id = {t}.id \
                     AND {s}.system <> {canonical} LIMIT 1 OFFSET 0)",
                    row.any_type(&s),
                    param.id
                ));
            }
            // The condition on the code stays among the others: it knows how codes are spelt.
            By::Coded { code, system, .. } => {
                all.push(row.any_type(t));
                let key = lower.sql.bind(lower.keys.code(&fold(code)));
                all.push(format!("{t}.code = {key}"));
                all.extend(lower.system_test(t, system));
            }
        }
        all
    }

    /// What keeps the walk in a stretch.
    fn within(
        &self,
        lower: &mut Lower<'_>,
        column: &str,
        t: &str,
        stretch: &Stretch<'_>,
    ) -> Vec<String> {
        let beyond = self.beyond();
        let before = if self.descending { ">" } else { "<" };
        let mut bind = |value: &SortValue| lower.sql.bind(value.to_value());
        match stretch {
            Stretch::All => Vec::new(),
            Stretch::After(value, id) => {
                let value = bind(value);
                let id = lower.sql.bind(*id);
                // The first part is for the index, the second for the truth.
                vec![format!(
                    "{column} {beyond}= {value} AND ({column} {beyond} {value} \
                     OR {t}.id {beyond} {id})"
                )]
            }
            Stretch::Beyond(value) => vec![format!("{column} {beyond} {}", bind(value))],
            Stretch::Until(from, last) => from
                .iter()
                .map(|value| format!("{column} {beyond}= {}", bind(value)))
                .chain([format!("{column} {before}= {last}")])
                .collect(),
        }
    }
}
