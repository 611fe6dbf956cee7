//! JSON Patch, RFC 6902.

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchErrorKind, PatchOperation, RemoveOperation,
    ReplaceOperation, TestOperation, patch_unsafe,
};
use serde_json::Value;

use super::{MOST_OPERATIONS, MOST_VALUES, malformed, misfit, place, too_many};
use crate::fhir::json::{self, MAX_DEPTH};
use crate::rest::RestError;

/// Reads a patch document.
pub(super) fn parse(body: &[u8]) -> Result<Vec<PatchOperation>, RestError> {
    let value = json::parse(body).map_err(|issue| RestError::BadRequest(vec![issue]))?;
    let Value::Array(list) = value else {
        return Err(RestError::bad_request(
            "structure",
            "A JSON Patch is a list of operations (RFC 6902).",
        ));
    };
    if list.len() > MOST_OPERATIONS {
        return Err(too_many());
    }
    list.into_iter()
        .enumerate()
        .map(|(at, one)| operation(at, one))
        .collect()
}

fn operation(at: usize, mut one: Value) -> Result<PatchOperation, RestError> {
    let pointer = |name: &str| {
        let text = one[name].as_str().ok_or_else(|| {
            malformed(
                at,
                &format!("`{name}` must be there, a JSON Pointer (RFC 6901)."),
            )
        })?;
        PointerBuf::parse(text)
            .map_err(|_| malformed(at, &format!("`{name}` is no JSON Pointer (RFC 6901).")))
    };
    let path = pointer("path")?;
    let name = one["op"].as_str().unwrap_or_default().to_owned();
    let from = match &*name {
        "move" | "copy" => Some(pointer("from")?),
        _ => None,
    };
    let value = one.get_mut("value").map(Value::take);
    let value = || value.ok_or_else(|| malformed(at, "`value` must be there."));
    Ok(match (&*name, from) {
        ("add", _) => PatchOperation::Add(AddOperation {
            path,
            value: value()?,
        }),
        ("replace", _) => PatchOperation::Replace(ReplaceOperation {
            path,
            value: value()?,
        }),
        ("test", _) => PatchOperation::Test(TestOperation {
            path,
            value: value()?,
        }),
        ("remove", _) => PatchOperation::Remove(RemoveOperation { path }),
        ("move", Some(from)) => PatchOperation::Move(MoveOperation { from, path }),
        ("copy", Some(from)) => PatchOperation::Copy(CopyOperation { from, path }),
        _ => {
            return Err(malformed(
                at,
                "`op` is one of add, remove, replace, move, copy and test.",
            ));
        }
    })
}

/// Applies it, operation by operation, so that none makes the resource grow beyond bounds.
pub(super) fn apply(operations: &[PatchOperation], resource: &mut Value) -> Result<(), RestError> {
    let mut budget = MOST_VALUES;
    for (at, one) in operations.iter().enumerate() {
        let (to, value) = match one {
            PatchOperation::Add(one) => (Some(&one.path), Some(&one.value)),
            PatchOperation::Replace(one) => (Some(&one.path), Some(&one.value)),
            PatchOperation::Copy(one) => (Some(&one.path), resource.pointer(one.from.as_str())),
            PatchOperation::Move(one) => (Some(&one.path), resource.pointer(one.from.as_str())),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => (None, None),
        };
        if let (Some(to), Some(value)) = (to, value) {
            let (size, depth) = place::extent(value);
            let left = budget.checked_sub(size);
            budget = left.ok_or_else(|| misfit(at, "the patch puts in too much."))?;
            if to.tokens().count() + depth > MAX_DEPTH {
                return Err(misfit(at, "the resource becomes too deep."));
            }
        }
        patch_unsafe(resource, std::slice::from_ref(one)).map_err(|error| {
            let text = match error.kind {
                PatchErrorKind::TestFailed => "the test failed.",
                PatchErrorKind::InvalidFromPointer => "`from` names nothing in the resource.",
                PatchErrorKind::CannotMoveInsideItself => "nothing moves into itself.",
                _ => "`path` names nothing in the resource.",
            };
            misfit(at, text)
        })?;
    }
    Ok(())
}
