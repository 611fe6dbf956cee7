//! `:below` and `:above` on references: everything that is part of a resource, or that it is part
//! of, through references that stay within its type (FHIR R4 search, 3.1.1.4.17). Every step must
//! exist for the viewer.

use super::{Lower, Row, Source};
use crate::fhir::definitions::{SearchParam, definitions};
use crate::search::plan::{self, Forbidden};
use crate::search::query::{Hierarchy, Param, Types};

impl Lower<'_> {
    pub(super) fn hierarchy_probe(
        &mut self,
        param: &SearchParam,
        of: &Hierarchy,
        row: &Row,
    ) -> Result<String, Forbidden> {
        let t = self.alias();
        let keys = self.hierarchy_keys(of)?;
        Ok(format!(
            "EXISTS (SELECT 1 FROM idx_reference {t} WHERE {t}.id = {}.id AND {t}.param = {} \
             AND {t}.target IN ({keys}){})",
            row.alias,
            param.id,
            row.fence()
        ))
    }

    pub(super) fn hierarchy_source(
        &mut self,
        param: Param,
        of: &Hierarchy,
        row: &Row,
    ) -> Result<Source, Forbidden> {
        let keys = self.hierarchy_keys(of)?;
        let t = &row.alias;
        Ok(Source {
            table: "idx_reference".into(),
            conditions: vec![
                format!("{t}.target IN ({keys})"),
                row.any_type(t),
                format!("{t}.param = {}", param.id),
            ],
            repeats: true,
        })
    }

    /// The keys of the resource and of all below or above it, as a SELECT. `UNION` ends circles.
    fn hierarchy_keys(&mut self, of: &Hierarchy) -> Result<String, Forbidden> {
        let types = Types::One(of.type_id);
        let link = |lower: &mut Self| Row {
            alias: lower.alias(),
            types: types.clone(),
            is_resource: true,
            pin: None,
            is_link: false,
        };
        let (h, x) = (self.alias(), self.alias());
        let (r, first) = (link(self), link(self));
        let plan = plan::open(self.visibility, self.access, &types)?;
        let start = self.restrict(&plan, &first)?;
        let step = self.restrict(&plan, &r)?;
        let key = self.sql.bind(
            self.keys
                .reference(definitions().type_name(of.type_id), &of.id),
        );
        let (r, f) = (&r.alias, &first.alias);
        let (type_id, part_of) = (of.type_id, of.part_of.id);
        // A resource that the viewer cannot see has nothing below or above it.
        let begin = format!("SELECT {f}.key FROM resource {f} WHERE {f}.key = {key} AND {start}");
        let next = if of.is_up {
            format!(
                "SELECT {x}.target FROM {h} CROSS JOIN resource {r} CROSS JOIN idx_reference {x} \
                 WHERE {r}.key = {h}.key AND {step} AND {x}.id = {r}.id \
                 AND {x}.param = {part_of} AND {x}.type = {type_id}"
            )
        } else {
            format!(
                "SELECT {r}.key FROM {h} CROSS JOIN idx_reference {x} CROSS JOIN resource {r} \
                 WHERE {x}.target = {h}.key AND {x}.type = {type_id} AND {x}.param = {part_of} \
                 AND {r}.id = {x}.id AND {step}"
            )
        };
        Ok(format!(
            "WITH RECURSIVE {h}(key) AS ({begin} UNION {next}) SELECT {h}.key FROM {h}"
        ))
    }
}
