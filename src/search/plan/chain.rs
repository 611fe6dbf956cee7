//! A chain that ends in one `_id` (`subject:Patient._id=X`) is a reference to a resource that
//! must exist for the viewer.

use crate::search::query::{Condition, Target};

/// The condition, or the two that say the same faster.
#[must_use]
pub fn rewrite(condition: Condition) -> Vec<Condition> {
    match condition {
        Condition::Chain { param, links } => match links.as_slice() {
            [(type_id, Condition::Id(ids))] if ids.len() == 1 => {
                let id = ids.first().cloned().unwrap_or_default();
                vec![
                    Condition::Reference {
                        param,
                        values: vec![Target::Local(*type_id, id.clone())],
                    },
                    Condition::Exists(*type_id, id),
                ]
            }
            _ => vec![Condition::Chain { param, links }],
        },
        other => vec![other],
    }
}
