//! Chains: a condition on what a resource refers to. Every link must exist for the viewer.

use super::{Lower, Row, Source, canonical, either};
use crate::fhir::definitions::{SearchParam, TypeId, definitions};
use crate::search::plan::Forbidden;
use crate::search::query::{Condition, Types};

impl Lower<'_> {
    pub(super) fn chain_probe(
        &mut self,
        param: &SearchParam,
        links: &[(TypeId, Condition)],
        row: &Row,
    ) -> Result<String, Forbidden> {
        let alternatives = self.open_links(links, |lower, type_id, condition| {
            let c = lower.alias();
            let link = lower.link(type_id);
            let plan = lower.plan(&link.types, vec![condition.clone()])?;
            let restricted = lower.restrict(&plan, &link)?;
            let k = &link.alias;
            let mut reached = format!(
                "EXISTS (SELECT 1 FROM idx_reference {c} CROSS JOIN resource {k} \
                 WHERE {c}.id = {}.id AND {c}.param = {} AND {k}.key = {c}.target \
                 AND {restricted}{})",
                row.alias,
                param.id,
                row.fence()
            );
            if canonical::refers(row, param)
                && let Some(url) = canonical::url_of(type_id)
            {
                let u = lower.alias();
                let meets = canonical::meets(&c, &u, type_id, url);
                reached = format!(
                    "({reached} OR EXISTS (SELECT 1 FROM idx_uri {c} CROSS JOIN idx_uri {u} \
                     CROSS JOIN resource {k} WHERE {c}.id = {}.id AND {c}.param = {} AND {meets} \
                     AND {k}.id = {u}.id AND {restricted}{}))",
                    row.alias,
                    param.id,
                    row.fence()
                );
            }
            Ok(reached)
        })?;
        Ok(either(&alternatives))
    }

    pub(super) fn chain_source(
        &mut self,
        param: &SearchParam,
        links: &[(TypeId, Condition)],
        row: &Row,
    ) -> Result<Source, Forbidden> {
        let t = &row.alias;
        let alternatives = self.open_links(links, |lower, type_id, condition| {
            let keys = lower.keys_where(type_id, condition)?;
            Ok(format!("{t}.target IN ({keys})"))
        })?;
        Ok(Source {
            table: "idx_reference".into(),
            conditions: vec![
                either(&alternatives),
                row.any_type(t),
                format!("{t}.param = {}", param.id),
            ],
            repeats: true,
        })
    }

    /// The patient that the row is about satisfies the condition.
    pub(super) fn patient_is_probe(
        &mut self,
        condition: &Condition,
        row: &Row,
    ) -> Result<String, Forbidden> {
        let patient = definitions().type_id("Patient").unwrap_or_default();
        let link = self.link(patient);
        let plan = self.plan(&link.types, vec![condition.clone()])?;
        let restricted = self.restrict(&plan, &link)?;
        let k = &link.alias;
        Ok(format!(
            "EXISTS (SELECT 1 FROM resource {k} WHERE {k}.key = {}.patient AND {restricted}{})",
            row.alias,
            row.fence()
        ))
    }

    /// The keys of the patients that satisfy the condition, as a SELECT.
    pub(super) fn patient_keys(&mut self, condition: &Condition) -> Result<String, Forbidden> {
        let patient = definitions().type_id("Patient").unwrap_or_default();
        self.keys_where(patient, condition)
    }

    /// One resource exists for the viewer; says nothing about any other row.
    pub(super) fn exists(&mut self, type_id: TypeId, id: &str) -> Result<String, Forbidden> {
        let link = self.link(type_id);
        let plan = self.plan(&link.types, Vec::new())?;
        let restricted = self.restrict(&plan, &link)?;
        let key = self
            .sql
            .bind(self.keys.reference(definitions().type_name(type_id), id));
        let k = &link.alias;
        Ok(format!(
            "EXISTS (SELECT 1 FROM resource {k} WHERE {k}.key = {key} AND {restricted})"
        ))
    }

    /// The keys of visible resources of a type that satisfy the condition, as a SELECT.
    fn keys_where(&mut self, type_id: TypeId, condition: &Condition) -> Result<String, Forbidden> {
        let plan = self.plan(&Types::One(type_id), vec![condition.clone()])?;
        let selection = self.select(&plan)?;
        let own = &selection.row.alias;
        if selection.row.is_resource {
            return Ok(format!("SELECT {own}.key{}", selection.from_where()));
        }
        let k = self.alias();
        Ok(format!(
            "SELECT {k}.key FROM {} CROSS JOIN resource {k} WHERE {k}.id = {own}.id AND {}",
            selection.from,
            selection.conditions.join(" AND ")
        ))
    }

    fn link(&mut self, type_id: TypeId) -> Row {
        Row {
            alias: self.alias(),
            types: Types::One(type_id),
            is_resource: true,
            pin: None,
            is_link: true,
        }
    }

    /// Writes each link whose type is open to the viewer; forbidden when none is.
    fn open_links(
        &mut self,
        links: &[(TypeId, Condition)],
        mut write: impl FnMut(&mut Self, TypeId, &Condition) -> Result<String, Forbidden>,
    ) -> Result<Vec<String>, Forbidden> {
        let mut alternatives = Vec::with_capacity(links.len());
        let mut forbidden = None;
        for (type_id, condition) in links {
            let bound = self.sql.values.len();
            match write(self, *type_id, condition) {
                Ok(alternative) => alternatives.push(alternative),
                Err(closed) => {
                    self.sql.values.truncate(bound);
                    forbidden = Some(closed);
                }
            }
        }
        match forbidden {
            Some(closed) if alternatives.is_empty() => Err(closed),
            _ => Ok(alternatives),
        }
    }
}
