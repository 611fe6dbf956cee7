//! Lowering of holds into SQL.

use super::{Branch, Visibility};
use crate::sql::Sql;

/// Low bits of a surrogate id that number the rendition.
pub const RENDITION_MASK: i64 = 15;
/// More than any rendition's number.
const NOTHING: i64 = RENDITION_MASK + 1;

impl Visibility {
    /// The predicate under which the row with surrogate id `id` (an SQL expression) exists for
    /// this viewer. Always non-empty: who is not subject to holds sees what was written, never a
    /// redacted rendition.
    ///
    /// `pin`: SQL to follow the row's patient column, where one patient is known (`= $1`). Then it is
    /// asked once whether anything of that patient is held back at all; mostly nothing is.
    pub fn holds_predicate(&self, sql: &mut Sql, id: &str, pin: Option<&str>) -> String {
        let Some(audiences) = &self.audiences else {
            return format!("({id} & {RENDITION_MASK}) = 0");
        };
        let audiences = sql.bind_list(audiences.iter().copied());
        let person = sql.bind(self.person);
        let now = sql.bind(self.now);
        let instant = sql.bind(self.instant);
        // A document has few rows: the `+` has both databases seek it once, not once for each audience.
        let active = [
            "+h.audience IN ",
            &audiences,
            " AND h.exempt <> ",
            &person,
            " AND h.starts <= ",
            &now,
            " AND h.ends > ",
            &instant,
        ]
        .concat();
        // What the viewer sees of a document: the base (0) where no row is active; the rendition that the
        // active rows show; nothing where one of them shows none. Renditions of one resource are numbered
        // so that where one viewer may meet two, the later one leaves out all that the earlier does.
        let shown = format!(
            "({id} & {RENDITION_MASK}) = COALESCE((SELECT MAX(CASE h.shown WHEN 0 THEN {NOTHING} \
             ELSE h.shown END) FROM hold h WHERE h.doc = ({id} & ~{RENDITION_MASK}) AND {active}), 0)"
        );
        match pin {
            Some(pin) => format!(
                "CASE WHEN ({id} & {RENDITION_MASK}) = 0 AND NOT EXISTS \
                 (SELECT 1 FROM hold h WHERE h.patient {pin}) THEN TRUE ELSE {shown} END"
            ),
            None => shown,
        }
    }

    /// The patient part of a branch over the row alias `row`; None when the branch has no limit.
    pub fn patient_predicate(branch: &Branch, sql: &mut Sql, row: &str) -> Option<String> {
        let patient = branch.patient?;
        let patient = sql.bind(patient);
        Some(format!("{row}.patient = {patient}"))
    }
}

impl Visibility {
    /// The predicate under which an older version (`version` is an alias of `history`, `row` of the
    /// base in `resource`) exists for this viewer, on top of the resource itself existing. For
    /// whom holds apply, an older version stays hidden while anything of the resource is held back
    /// now, and while the version as it was would be, were it the current one. Who looks at one
    /// patient's record does not see the versions that were about somebody else.
    pub fn old_version_predicate(&self, sql: &mut Sql, version: &str, row: &str) -> String {
        let Some(audiences) = &self.audiences else {
            return "1 = 1".to_owned();
        };
        let audiences = sql.bind_list(audiences.iter().copied());
        let person = sql.bind(self.person);
        let now = sql.bind(self.now);
        let instant = sql.bind(self.instant);
        let same_patient = match self.patient {
            Some(_) => format!("{version}.patient = {row}.patient AND "),
            None => String::new(),
        };
        let active = format!(
            "h.audience IN {audiences} AND h.exempt <> {person} AND h.starts <= {now} AND h.ends > {instant}"
        );
        format!(
            "{same_patient}NOT EXISTS (SELECT 1 FROM hold h WHERE h.doc = {row}.id AND {active}) \
             AND NOT EXISTS (SELECT 1 FROM history_hold h WHERE h.doc = {version}.doc \
             AND h.version = {version}.version AND {active})"
        )
    }
}

impl Visibility {
    /// The predicate over `hold h` for "something of my patient is held back from me, and I may
    /// know that"; None for viewers who are not subject to holds or have no patient.
    pub fn notice_predicate(&self, sql: &mut Sql) -> Option<String> {
        let audiences = self.audiences.as_ref()?;
        let patient = self.patient?;
        let patient = sql.bind(patient);
        let audiences = sql.bind_list(audiences.iter().copied());
        let now = sql.bind(self.now);
        Some(format!(
            "h.patient = {patient} AND h.audience IN {audiences} AND h.mode IN (1, 2) \
             AND h.starts <= {now} AND h.ends > {now}"
        ))
    }
}
