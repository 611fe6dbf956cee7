//! `_list`: resources that stand in a List which exists for the viewer (FHIR R4 search, 3.1.1.4.14).

use super::split::unescape;
use super::{Problem, Reader, reference};
use crate::fhir::definitions::definitions;
use crate::search::query::{Condition, Param};

impl Reader<'_> {
    /// `_list=42`, `_list=List/42`: the same as `_has:List:item:_id=42`.
    pub(super) fn list(&mut self, raw: &str) -> Result<Condition, Problem> {
        let pieces = self.pieces("_list", raw)?;
        let mut ids = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let id = unescape(piece);
            if id.starts_with('$') {
                return Err(Problem::unsupported(
                    "'_list' takes the id of a List; lists that a server computes \
                     ('$current-problems') are not supported",
                ));
            }
            let id = id.strip_prefix("List/").unwrap_or(&id).to_owned();
            if !reference::is_id(&id) {
                return Err(Problem::value("_list", &id, "the id of a List"));
            }
            ids.push(id);
        }
        let source = definitions().type_id("List");
        let item = source.and_then(|source| definitions().search_param(source, "item"));
        match (source, item) {
            (Some(source), Some(item)) => Ok(Condition::Has {
                source,
                param: Param(item),
                condition: Box::new(Condition::Id(ids)),
            }),
            _ => Err(Problem::Unknown("_list".to_owned())),
        }
    }
}
