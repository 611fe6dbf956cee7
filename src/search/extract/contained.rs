//! What a resource contains, as far as its container's rows tell: the types.

use serde_json::Value;

use super::{IndexRows, TokenRow};
use crate::fhir::definitions::ParamId;
use crate::keys::Keys;

/// The number under which `idx_token` keeps the types that a resource contains: no search parameter
/// has it.
pub const MARK: ParamId = -3;

/// Marks a resource with the types that it contains.
pub fn mark(resource: &Value, keys: &Keys, rows: &mut IndexRows) {
    let mut codes: Vec<i64> = inside(resource)
        .filter_map(|one| one["resourceType"].as_str())
        .map(|name| keys.code(name))
        .collect();
    codes.sort_unstable();
    codes.dedup();
    rows.tokens.extend(codes.into_iter().map(|code| TokenRow {
        param: MARK,
        code,
        system: 0,
        text: String::new(),
    }));
}

/// The resources that a resource contains.
pub fn inside(resource: &Value) -> impl Iterator<Item = &Value> {
    resource["contained"].as_array().into_iter().flatten()
}
