//! `:missing`: whether a resource has any value of a parameter; and whether it has one to sort by.

use super::{Lower, Row};
use crate::fhir::definitions::{ParamKind, SearchParam};

impl Lower<'_> {
    pub(super) fn missing_probe(
        &mut self,
        param: &SearchParam,
        missing: bool,
        row: &Row,
    ) -> String {
        // A logical reference is a token row of its identifier (`:identifier`), a canonical a URI; of
        // a value that cannot be searched otherwise there is a token row that says so.
        let tables: &[&str] = match param.kind {
            ParamKind::Token => &["idx_token"],
            ParamKind::String => &["idx_string"],
            ParamKind::Date => &["idx_date", "idx_token"],
            // Of the special ones only `near` has rows.
            ParamKind::Number | ParamKind::Special => &["idx_number", "idx_token"],
            ParamKind::Quantity => &["idx_quantity", "idx_token"],
            ParamKind::Uri => &["idx_uri"],
            ParamKind::Reference => &["idx_reference", "idx_uri", "idx_token"],
            ParamKind::Composite => &["idx_composite"],
        };
        self.rows_probe(tables, param, missing, row)
    }

    /// Whether there is nothing to sort by. A value may be there all the same, such as a Timing that names
    /// no time.
    pub(super) fn unsorted_probe(&mut self, param: &SearchParam, row: &Row) -> String {
        let table = match param.kind {
            ParamKind::String => "idx_string",
            ParamKind::Date => "idx_date",
            ParamKind::Quantity => "idx_quantity",
            ParamKind::Number | ParamKind::Special => "idx_number",
            ParamKind::Uri => "idx_uri",
            ParamKind::Reference => "idx_reference",
            ParamKind::Token => "idx_token",
            ParamKind::Composite => "idx_composite",
        };
        self.rows_probe(&[table], param, true, row)
    }

    /// Whether one of the tables, or none, has a row of the parameter.
    fn rows_probe(
        &mut self,
        tables: &[&str],
        param: &SearchParam,
        missing: bool,
        row: &Row,
    ) -> String {
        let (negation, joint) = if missing {
            ("NOT ", " AND ")
        } else {
            ("", " OR ")
        };
        let tests: Vec<String> = tables
            .iter()
            .map(|table| {
                let t = self.alias();
                let has_index = match *table {
                    "idx_string" | "idx_uri" | "idx_reference" | "idx_composite" => true,
                    "idx_date" => row.is_log(),
                    _ => false,
                };
                if has_index {
                    let log = match *table {
                        "idx_date" => format!(" AND {}", row.same_type(&t)),
                        _ => String::new(),
                    };
                    return format!(
                        "{negation}EXISTS (SELECT 1 FROM {table} {t} WHERE {t}.id = {}.id \
                         AND {t}.param = {}{log})",
                        row.alias, param.id
                    );
                }
                // A row at a time by its own patient, where there is an index for that.
                if row.pin.is_none() && row.has_few_of_its_patient() && *table != "idx_number" {
                    return format!(
                        "{negation}EXISTS (SELECT 1 FROM {table} {t} WHERE {t}.patient = {}.patient \
                         AND {} AND {t}.param = {} AND {t}.id = {}.id{})",
                        row.alias,
                        row.same_type(&t),
                        param.id,
                        row.alias,
                        row.fence()
                    );
                }
                format!(
                    "{}.id {negation}IN (SELECT {t}.id FROM {table} {t} WHERE {} \
                     AND {t}.param = {}{})",
                    row.alias,
                    row.any_type(&t),
                    param.id,
                    row.and_pin(&t)
                )
            })
            .collect();
        format!("({})", tests.join(joint))
    }
}
