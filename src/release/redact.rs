//! Making a rendition: the resource without some of its parts, as if it had never had them.
//!
//! Nothing marks the place: no tag, no data-absent-reason, because withheld means absent.

mod contained;

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::decision::Redaction;
use super::resource::{type_of, whole};
use super::vocabulary::{ACT_CODE, OBSERVATION_VALUE};
use crate::fhir::definitions::definitions;
use crate::fhir::definitions::elements::{Kind, Primitive, Type};

/// The resource without what `redaction` names, and without what would give it away: references to
/// withheld resources wherever they stand (with the smallest element that cannot do without one),
/// contained resources reached only through them, the narrative, a report's conclusion and
/// attachments where a result went, sensitivity labels.
///
/// None if a required element would be left empty: then the whole resource is withheld.
#[must_use]
pub fn redact(resource: &Value, redaction: &Redaction) -> Option<Value> {
    let mut gone: HashSet<String> = HashSet::new();
    loop {
        let mut cut = Cut {
            redaction,
            gone: &gone,
            lost: HashSet::new(),
        };
        let (mut result, changed) = cut.resource(resource, "")?;
        let lost = cut.lost;
        if lost.iter().any(|id| !gone.contains(id)) {
            // Contained resources that cannot stand take the references to them along.
            gone.extend(lost);
            continue;
        }
        if changed {
            contained::drop_unreached(resource, &mut result);
            strip_labels(&mut result);
        }
        return Some(result);
    }
}

struct Cut<'a> {
    redaction: &'a Redaction,
    /// `#id` of contained resources that are to go.
    gone: &'a HashSet<String>,
    /// `#id` of contained resources found unable to stand.
    lost: HashSet<String>,
}

/// An element after cutting: what is left, and whether anything went.
type Left = Option<(Value, bool)>;

impl Cut<'_> {
    fn resource(&mut self, resource: &Value, pointer: &str) -> Left {
        let type_name = type_of(resource);
        let map = resource.as_object()?;
        let kind = definitions()
            .elements()
            .by_name(type_name)
            .map(|(_, kind)| kind);
        let (mut left, changed) = self.object(map, pointer, kind)?;
        if changed {
            drop_sequences(map, &mut left);
        }
        if type_name == "DiagnosticReport" && changed {
            let lost_result = ["result", "media", "imagingStudy"]
                .iter()
                .any(|key| left.get(*key) != map.get(*key));
            if lost_result {
                // Written about all results together: the withheld one cannot be told apart.
                for key in [
                    "conclusion",
                    "_conclusion",
                    "conclusionCode",
                    "presentedForm",
                ] {
                    left.shift_remove(key);
                }
            }
        }
        Some((Value::Object(left), changed))
    }

    /// Cuts an object whose type is known by the definitions, or not (an unknown element).
    fn object(
        &mut self,
        map: &Map<String, Value>,
        pointer: &str,
        kind: Option<&'static Type>,
    ) -> Option<(Map<String, Value>, bool)> {
        let mut left = Map::with_capacity(map.len());
        let mut changed = false;
        let mut shadows = Vec::new();
        for (key, value) in map {
            let at = format!("{pointer}/{key}");
            let whole = self.redaction.pointers.contains(&at);
            let kept = if whole {
                None
            } else if key == "contained" {
                self.contained(value, &at)
            } else {
                self.value(value, &at, child(kind, key))
            };
            match kept {
                Some((after, within)) => {
                    changed |= within;
                    let lengths = (value.as_array(), after.as_array());
                    if let (Some(before), Some(after)) = lengths
                        && after.len() < before.len()
                        && before.iter().all(|one| !one.is_object())
                    {
                        shadows.push((format!("_{key}"), Some(at)));
                    }
                    left.insert(key.clone(), after);
                }
                None => {
                    changed = true;
                    shadows.push((format!("_{key}"), None));
                }
            }
        }
        if !changed {
            return Some((left, false));
        }
        for (shadow, at) in shadows {
            self.cut_shadow(&mut left, &shadow, at.as_deref());
        }
        // A narrative was written about all of its element.
        if left
            .get("text")
            .is_some_and(|text| text.get("div").is_some())
        {
            left.shift_remove("text");
        }
        let hollow = kind.is_some_and(|kind| kind.name == "Extension")
            && left.keys().all(|key| key == "url" || key == "id");
        let empty = left.keys().all(|key| key == "id");
        (stands(kind, map, &left) && !empty && !hollow).then_some((left, true))
    }

    fn value(&mut self, value: &Value, pointer: &str, kind: Option<&'static Type>) -> Left {
        match value {
            Value::Object(map) => {
                let names = |key: &str| map.get(key).and_then(Value::as_str);
                let extension = kind.is_some_and(|kind| kind.name == "Extension");
                if names("reference").is_some_and(|reference| self.is_withheld(reference))
                    || (!extension && names("url").is_some_and(|url| self.is_withheld(url)))
                {
                    return None;
                }
                if kind.is_some_and(|kind| kind.kind == Kind::AnyResource) {
                    return self.resource(value, pointer);
                }
                self.object(map, pointer, kind)
                    .map(|(map, changed)| (Value::Object(map), changed))
            }
            Value::Array(items) => {
                let mut left = Vec::with_capacity(items.len());
                let mut changed = false;
                for (place, item) in items.iter().enumerate() {
                    let at = format!("{pointer}/{place}");
                    let whole = self.redaction.pointers.contains(&at);
                    match if whole {
                        None
                    } else {
                        self.value(item, &at, kind)
                    } {
                        Some((item, within)) => {
                            changed |= within;
                            left.push(item);
                        }
                        None => changed = true,
                    }
                }
                (!left.is_empty() || items.is_empty()).then_some((Value::Array(left), changed))
            }
            Value::String(text) => {
                let uri = kind.is_some_and(|kind| {
                    matches!(
                        kind.kind,
                        Kind::Primitive(Primitive::Uri | Primitive::Url | Primitive::Canonical)
                    )
                });
                (!(uri && self.is_withheld(text))).then(|| (value.clone(), false))
            }
            _ => Some((value.clone(), false)),
        }
    }

    fn contained(&mut self, value: &Value, pointer: &str) -> Left {
        let items = value.as_array()?;
        let mut left = Vec::with_capacity(items.len());
        let mut changed = false;
        for (place, item) in items.iter().enumerate() {
            let at = format!("{pointer}/{place}");
            let id = item
                .get("id")
                .and_then(Value::as_str)
                .map(|id| format!("#{id}"));
            let whole = self.redaction.pointers.contains(&at)
                || id.as_ref().is_some_and(|id| self.gone.contains(id));
            match if whole {
                None
            } else {
                self.resource(item, &at)
            } {
                Some((item, within)) => {
                    changed |= within;
                    left.push(item);
                }
                None => {
                    changed = true;
                    self.lost.extend(id);
                }
            }
        }
        (!left.is_empty()).then_some((Value::Array(left), changed))
    }

    /// `_given` follows `given`: gone with it, or without the same places.
    fn cut_shadow(&self, left: &mut Map<String, Value>, shadow: &str, at: Option<&str>) {
        let Some(at) = at else {
            left.shift_remove(shadow);
            return;
        };
        if let Some(Value::Array(items)) = left.get_mut(shadow) {
            let mut place = 0;
            items.retain(|_| {
                let cut = self.redaction.pointers.contains(&format!("{at}/{place}"));
                place += 1;
                !cut
            });
        }
    }

    /// Whether a reference or URL names a withheld resource. Absolute ones are matched by their
    /// end: dropping one too many is safe, leaving one is not.
    fn is_withheld(&self, reference: &str) -> bool {
        if reference.starts_with('#') {
            return self.gone.contains(reference);
        }
        let bare = whole(reference);
        let mut slashes = bare.rmatch_indices('/').map(|(at, _)| at);
        let tail = match (slashes.next(), slashes.next()) {
            (Some(_), Some(before)) => &bare[before + 1..],
            _ => bare,
        };
        self.redaction.references.contains(tail)
    }
}

/// Numbers of a Claim or an ExplanationOfBenefit that point at elements which are gone.
fn drop_sequences(before: &Map<String, Value>, left: &mut Map<String, Value>) {
    const NUMBERED: [(&str, &str); 5] = [
        ("careTeam", "careTeamSequence"),
        ("diagnosis", "diagnosisSequence"),
        ("item", "itemSequence"),
        ("procedure", "procedureSequence"),
        ("supportingInfo", "informationSequence"),
    ];
    let numbers = |map: &Map<String, Value>, key: &str| -> HashSet<u64> {
        let items = map.get(key).and_then(Value::as_array);
        let items = items.into_iter().flatten();
        items
            .filter_map(|one| one.get("sequence").and_then(Value::as_u64))
            .collect()
    };
    for (key, pointer) in NUMBERED {
        let gone = &numbers(before, key) - &numbers(left, key);
        if gone.is_empty() {
            continue;
        }
        for value in left.values_mut() {
            drop_numbers(value, pointer, &gone);
        }
    }
}

fn drop_numbers(value: &mut Value, pointer: &str, gone: &HashSet<u64>) {
    let is_gone = |number: &Value| number.as_u64().is_some_and(|number| gone.contains(&number));
    match value {
        Value::Object(map) => {
            let empty = match map.get_mut(pointer) {
                Some(Value::Array(numbers)) => {
                    numbers.retain(|number| !is_gone(number));
                    numbers.is_empty()
                }
                Some(number) => is_gone(number),
                None => false,
            };
            if empty {
                map.shift_remove(pointer);
            }
            for one in map.values_mut() {
                drop_numbers(one, pointer, gone);
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|one| drop_numbers(one, pointer, gone)),
        _ => {}
    }
}

/// The type of a property.
fn child(kind: Option<&'static Type>, key: &str) -> Option<&'static Type> {
    let property = kind?.properties.get(key)?;
    definitions().elements().get(property.type_index)
}

/// Whether an element still has what its type requires, as far as it had it before.
fn stands(kind: Option<&Type>, before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    let Some(kind) = kind else { return true };
    let has = |map: &Map<String, Value>, name: &str| match name.strip_suffix("[x]") {
        Some(stem) => map.keys().any(|key| key.starts_with(stem)),
        None => map.contains_key(name),
    };
    let mut required = kind
        .mandatory
        .iter()
        .filter_map(|at| kind.elements.get(usize::from(*at)));
    required.all(|element| !has(before, element.name) || has(after, element.name))
}

/// Labels of topic and policy, and the marks of redaction itself, would say what is missing.
fn strip_labels(resource: &mut Value) {
    let Some(meta) = resource.get_mut("meta").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(Value::Array(labels)) = meta.get_mut("security") else {
        return;
    };
    labels.retain(|label| {
        let system = label
            .get("system")
            .and_then(Value::as_str)
            .unwrap_or_default();
        system != ACT_CODE && system != OBSERVATION_VALUE
    });
    if labels.is_empty() {
        meta.shift_remove("security");
    }
}
