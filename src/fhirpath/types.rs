//! What is known about FHIR's types by name: which are resources, which specialise which, and which
//! can end the name of a choice element (`value[x]`).

use crate::fhir::definitions::definitions;
use crate::fhir::definitions::elements::Kind;

/// The data types that a choice element may have, as the ending of its name and as the type's name
/// (<https://hl7.org/fhir/R4/datatypes.html#open>, and the rest that R4 uses).
const CHOICE_TYPES: &[(&str, &str)] = &[
    ("Address", "Address"),
    ("Age", "Age"),
    ("Annotation", "Annotation"),
    ("Attachment", "Attachment"),
    ("Base64Binary", "base64Binary"),
    ("Boolean", "boolean"),
    ("Canonical", "canonical"),
    ("Code", "code"),
    ("CodeableConcept", "CodeableConcept"),
    ("Coding", "Coding"),
    ("ContactDetail", "ContactDetail"),
    ("ContactPoint", "ContactPoint"),
    ("Contributor", "Contributor"),
    ("Count", "Count"),
    ("DataRequirement", "DataRequirement"),
    ("Date", "date"),
    ("DateTime", "dateTime"),
    ("Decimal", "decimal"),
    ("Distance", "Distance"),
    ("Dosage", "Dosage"),
    ("Duration", "Duration"),
    ("Expression", "Expression"),
    ("HumanName", "HumanName"),
    ("Id", "id"),
    ("Identifier", "Identifier"),
    ("Instant", "instant"),
    ("Integer", "integer"),
    ("Markdown", "markdown"),
    ("Meta", "Meta"),
    ("Money", "Money"),
    ("Oid", "oid"),
    ("ParameterDefinition", "ParameterDefinition"),
    ("Period", "Period"),
    ("PositiveInt", "positiveInt"),
    ("Quantity", "Quantity"),
    ("Range", "Range"),
    ("Ratio", "Ratio"),
    ("Reference", "Reference"),
    ("RelatedArtifact", "RelatedArtifact"),
    ("SampledData", "SampledData"),
    ("Signature", "Signature"),
    ("String", "string"),
    ("Time", "time"),
    ("Timing", "Timing"),
    ("TriggerDefinition", "TriggerDefinition"),
    ("UnsignedInt", "unsignedInt"),
    ("Uri", "uri"),
    ("Url", "url"),
    ("UsageContext", "UsageContext"),
    ("Uuid", "uuid"),
];

/// Every element `name[x]` of R4, sorted.
const CHOICE_ELEMENTS: &[&str] = &[
    "abatement",
    "additive",
    "age",
    "allowed",
    "amount",
    "answer",
    "asNeeded",
    "author",
    "born",
    "bounds",
    "characteristic",
    "chargeItem",
    "code",
    "collected",
    "content",
    "created",
    "date",
    "deceased",
    "defaultValue",
    "definingSubstance",
    "definition",
    "detail",
    "diagnosis",
    "dose",
    "doseNumber",
    "due",
    "effective",
    "entity",
    "event",
    "example",
    "fastingStatus",
    "fixed",
    "identified",
    "indication",
    "item",
    "legallyBinding",
    "location",
    "manufacturer",
    "maxValue",
    "medication",
    "minValue",
    "minimumVolume",
    "module",
    "multipleBirth",
    "name",
    "occurred",
    "occurrence",
    "offset",
    "onset",
    "participantEffective",
    "pattern",
    "performed",
    "probability",
    "procedure",
    "product",
    "quantity",
    "rate",
    "reported",
    "scheduled",
    "seriesDoses",
    "serviced",
    "source",
    "start",
    "statusReason",
    "studyEffective",
    "subject",
    "substance",
    "target",
    "time",
    "timing",
    "topic",
    "used",
    "value",
    "when",
];

/// Whether some element of R4 is `name[x]`.
pub(crate) fn is_choice(name: &str) -> bool {
    CHOICE_ELEMENTS.binary_search(&name).is_ok()
}

/// The type that `key` spells out beyond the choice element's `name`: `valueQuantity` of `value`.
pub(crate) fn choice_type(name: &str, key: &str) -> Option<&'static str> {
    let ending = key.strip_prefix(name)?;
    let at = CHOICE_TYPES
        .binary_search_by_key(&ending, |(ending, _)| ending)
        .ok()?;
    CHOICE_TYPES.get(at).map(|(_, name)| *name)
}

/// The type that a key spells out, if it is of a choice element.
pub(crate) fn type_of_key(key: &str) -> Option<&'static str> {
    let (at, _) = key.char_indices().find(|(_, c)| c.is_ascii_uppercase())?;
    // `doseNumberPositiveInt`: the element's own name may have capitals.
    (at..key.len())
        .filter(|at| key.as_bytes().get(*at).is_some_and(u8::is_ascii_uppercase))
        .find_map(|at| {
            let name = key.get(..at)?;
            if is_choice(name) {
                choice_type(name, key)
            } else {
                None
            }
        })
}

/// Whether R4 has a resource type of this name.
#[must_use]
pub fn is_resource(name: &str) -> bool {
    definitions().type_id(name).is_some()
}

/// Whether a thing of FHIR type `actual` is a `wanted` too: itself or what it specialises.
pub(crate) fn specialises(actual: &str, wanted: &str) -> bool {
    if actual == wanted {
        return true;
    }
    match wanted {
        "Resource" => is_resource(actual),
        "DomainResource" => {
            is_resource(actual) && !matches!(actual, "Bundle" | "Parameters" | "Binary")
        }
        "Element" => !is_resource(actual),
        "BackboneElement" => actual.contains('.') || actual == "Timing" || actual == "Dosage",
        "string" => matches!(actual, "code" | "id" | "markdown"),
        "uri" => matches!(actual, "url" | "canonical" | "oid" | "uuid"),
        "integer" => matches!(actual, "positiveInt" | "unsignedInt"),
        "Quantity" => {
            matches!(
                actual,
                "Age" | "Count" | "Distance" | "Duration" | "SimpleQuantity"
            )
        }
        _ => false,
    }
}

/// The type of the property `key` of a `parent` type, as the element tables have it; of a parent
/// that is not known, only what the name itself spells out.
pub(crate) fn of_child(parent: Option<&str>, key: &str) -> Option<&'static str> {
    let elements = definitions().elements();
    let defined = parent
        .and_then(|parent| elements.by_name(parent))
        .map(|(_, parent)| {
            let property = parent.properties.get(key)?;
            elements.get(property.type_index)
        });
    match defined {
        Some(Some(one)) if one.kind == Kind::AnyResource => None,
        Some(Some(one)) => Some(one.name),
        _ if key == "extension" || key == "modifierExtension" => Some("Extension"),
        _ => type_of_key(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        assert!(CHOICE_TYPES.is_sorted());
        assert!(CHOICE_ELEMENTS.is_sorted());
    }

    #[test]
    fn keys_of_choices_tell_types() {
        assert_eq!(type_of_key("valueQuantity"), Some("Quantity"));
        assert_eq!(type_of_key("doseNumberPositiveInt"), Some("positiveInt"));
        assert_eq!(type_of_key("deceasedDateTime"), Some("dateTime"));
        assert_eq!(type_of_key("valueSet"), None);
        assert_eq!(type_of_key("referenceRange"), None);
    }
}
