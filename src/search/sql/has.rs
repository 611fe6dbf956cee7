//! `_has`: a condition on what refers to a resource. The sources must exist for the viewer.

use super::{Lower, Row, Source, canonical};
use crate::fhir::definitions::{SearchParam, TypeId, definitions};
use crate::search::extract::finds_canonicals;
use crate::search::plan::{Forbidden, patient};
use crate::search::query::{Condition, Types};

impl Lower<'_> {
    pub(super) fn has_probe(
        &mut self,
        source: TypeId,
        param: &SearchParam,
        condition: &Condition,
        row: &Row,
    ) -> Result<String, Forbidden> {
        let mut plan = self.plan(&Types::One(source), vec![condition.clone()])?;
        if self.through_patient_column(source, param, row) {
            // A Patient's own rows have the patient's own key; `key` is the same, where it is.
            let pin = format!("= {}.patient", row.alias);
            plan.repin();
            let selection = self.select_pinned(&plan, Some(pin))?;
            return Ok(format!("EXISTS (SELECT 1{})", selection.from_where()));
        }
        let s = Row {
            alias: self.alias(),
            types: Types::One(source),
            is_resource: false,
            pin: None,
            is_link: true,
        };
        let restricted = self.restrict(&plan, &s)?;
        let alias = &s.alias;
        let refers = format!("{alias}.type = {source} AND {alias}.param = {}", param.id);
        let by_url = match (&row.types, finds_canonicals(source, param)) {
            (Types::One(own), true) => canonical::url_of(*own).map(|url| {
                let u = self.alias();
                let meets = canonical::meets(alias, &u, *own, url);
                format!(
                    " OR EXISTS (SELECT 1 FROM idx_uri {u} CROSS JOIN idx_uri {alias} \
                     WHERE {u}.id = {}.id AND {meets} AND {refers} AND {restricted})",
                    row.alias
                )
            }),
            _ => None,
        }
        .unwrap_or_default();
        if row.is_resource {
            return Ok(format!(
                "(EXISTS (SELECT 1 FROM idx_reference {alias} WHERE {alias}.target = {}.key \
                 AND {refers} AND {restricted}){by_url})",
                row.alias
            ));
        }
        let m = self.alias();
        Ok(format!(
            "(EXISTS (SELECT 1 FROM resource {m} CROSS JOIN idx_reference {alias} \
             WHERE {m}.id = {}.id AND {alias}.target = {m}.key AND {refers} AND {restricted}){by_url})",
            row.alias
        ))
    }

    pub(super) fn has_source(
        &mut self,
        source: TypeId,
        param: &SearchParam,
        condition: &Condition,
        row: &Row,
    ) -> Result<Source, Forbidden> {
        let plan = self.plan(&Types::One(source), vec![condition.clone()])?;
        let selection = self.select(&plan)?;
        let own = &selection.row.alias;
        let keys = if self.through_patient_column(source, param, row) {
            format!("SELECT {own}.patient{}", selection.from_where())
        } else {
            let s = self.alias();
            format!(
                "SELECT {s}.target FROM {} CROSS JOIN idx_reference {s} WHERE {s}.id = {own}.id \
                 AND {s}.param = {} AND {}",
                selection.from,
                param.id,
                selection.conditions.join(" AND ")
            )
        };
        Ok(Source {
            table: "resource".into(),
            conditions: vec![format!("{}.key IN ({keys})", row.alias)],
            repeats: false,
        })
    }

    fn through_patient_column(&self, source: TypeId, param: &SearchParam, row: &Row) -> bool {
        matches!(row.types, Types::One(own) if definitions().type_name(own) == "Patient")
            && patient::is_column(source, param)
    }
}
