use std::path::{Path, PathBuf};

use super::*;

fn param(type_name: &str, code: &str) -> &'static SearchParam {
    let type_id = definitions().type_id(type_name).unwrap();
    definitions()
        .search_param(type_id, code)
        .unwrap_or_else(|| panic!("{type_name} {code}"))
}

fn names(ids: &[TypeId]) -> Vec<&'static str> {
    ids.iter().map(|id| definitions().type_name(*id)).collect()
}

/// The official packages beside the repository; nothing when `../shared` is absent.
fn packages() -> Option<Vec<PathBuf>> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let files = [
        "hl7.fhir.r4.core-4.0.1.tgz",
        "hl7.fhir.us.core-6.1.0.tgz",
        "hl7.fhir.us.core-7.0.0.tgz",
    ];
    let paths = files
        .map(|name| shared.join("packages").join(name))
        .to_vec();
    // Where the folder exists, a missing package is a failure and no reason to skip.
    assert!(
        !shared.exists() || paths.iter().all(|path| path.exists()),
        "{paths:?}"
    );
    Some(paths).filter(|_| shared.exists())
}

/// Run with `CANDOR_DERIVE=write` to write the tables instead of comparing them.
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn derivation_equals_the_committed_tables() {
    let Some(packages) = packages() else {
        eprintln!("SKIPPED: ../shared is absent, the derived tables were not compared");
        return;
    };
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("fhir-profiles/derived");
    if std::env::var("CANDOR_DERIVE").is_ok_and(|mode| mode == "write") {
        for line in derive::run(&packages, &out).unwrap() {
            eprintln!("{line}");
        }
        return;
    }
    for (name, content) in derive::derive(&packages, &out).unwrap() {
        let committed = std::fs::read_to_string(out.join(name)).unwrap();
        assert!(committed == content, "{name} differs: derive again");
    }
}

#[test]
fn counts() {
    let all = definitions();
    // R4 lists 148 resource types; Resource and DomainResource are abstract.
    assert_eq!(all.types().count(), 146);
    for name in [
        "Bundle",
        "Parameters",
        "Binary",
        "Patient",
        "VisionPrescription",
    ] {
        assert!(all.type_id(name).is_some(), "{name}");
    }
    assert_eq!(all.type_id("DomainResource"), None);
    let own: usize = all
        .types()
        .flat_map(|(id, _)| all.search_params(id))
        .filter(|param| !param.code.starts_with('_'))
        .count();
    // The 9 of Resource on 146 types, `_text` on 143; the lines in the file are shared by all.
    let shared = all
        .types()
        .map(|(id, _)| all.search_params(id).len())
        .sum::<usize>()
        - own;
    assert_eq!((own, shared), (1715, 9 * 146 + 143));
    assert_eq!(all.elements().counts(), (682, 226));
    assert_eq!(
        all.us_core_profiles()
            .iter()
            .filter(|p| p.version == "6.1.0")
            .count(),
        49
    );
}

#[test]
fn numbers_are_unique_and_stable() {
    let all = definitions();
    // Written rows carry these; they may never change.
    assert_eq!(all.type_id("Account"), Some(1));
    assert_eq!(all.type_id("Patient"), Some(103));
    assert_eq!(all.type_name(103), "Patient");
    let mut codes: HashMap<ParamId, &str> = HashMap::new();
    for param in all.types().flat_map(|(id, _)| all.search_params(id)) {
        assert_eq!(*codes.entry(param.id).or_insert(&param.code), param.code);
    }
    assert_eq!(codes.len(), 465);
}

#[test]
fn unions_are_cut_to_the_type() {
    let expression = |name, code| param(name, code).expression.as_str();
    assert_eq!(expression("Patient", "name"), "Patient.name");
    assert_eq!(
        expression("Patient", "email"),
        "Patient.telecom.where(system='email')"
    );
    assert_eq!(
        expression("AllergyIntolerance", "code"),
        "AllergyIntolerance.code | AllergyIntolerance.reaction.substance"
    );
    assert_eq!(
        expression("MedicationRequest", "code"),
        "(MedicationRequest.medication as CodeableConcept)"
    );
    assert_eq!(
        expression("Encounter", "patient"),
        "Encounter.subject.where(resolve() is Patient)"
    );
    assert_eq!(
        expression("DocumentReference", "period"),
        "DocumentReference.context.period"
    );
    assert_eq!(
        expression("ValueSet", "context-quantity"),
        "(ValueSet.useContext.value as Quantity) | (ValueSet.useContext.value as Range)"
    );
    assert_eq!(
        expression("Condition", "onset-date"),
        "Condition.onset.as(dateTime) | Condition.onset.as(Period)"
    );
    assert_eq!(
        expression("InsurancePlan", "name"),
        "InsurancePlan.name | InsurancePlan.alias"
    );
    assert_eq!(expression("Device", "_tag"), "Device.meta.tag");
    assert_eq!(expression("Device", "_id"), "");
    assert_eq!(
        expression("DiagnosticReport", "assessed-condition"),
        "DiagnosticReport.extension('http://hl7.org/fhir/StructureDefinition/DiagnosticReport-geneticsAssessedCondition').value"
    );
}

#[test]
fn us_core_adds_and_does_not_replace() {
    let asserted = param("Condition", "asserted-date");
    assert_eq!(asserted.kind, ParamKind::Date);
    assert_eq!(
        asserted.expression,
        "Condition.extension.where(url = 'http://hl7.org/fhir/StructureDefinition/condition-assertedDate').value"
    );
    assert_eq!(param("Goal", "description").expression, "Goal.description");
    assert_eq!(
        param("CareTeam", "role").expression,
        "CareTeam.participant.role"
    );
    assert!(
        param("Patient", "race")
            .expression
            .ends_with(".value.ofType(Coding)")
    );
    let r4 = "http://hl7.org/fhir/SearchParameter/";
    assert_eq!(
        param("Condition", "category").url,
        format!("{r4}Condition-category")
    );
    assert_eq!(param("Patient", "_id").url, format!("{r4}Resource-id"));
}

#[test]
fn every_expression_is_about_its_type() {
    let all = definitions();
    for (id, name) in all.types() {
        for param in all.search_params(id) {
            let answered_elsewhere =
                param.kind == ParamKind::Special || matches!(&*param.code, "_id" | "_lastUpdated");
            assert!(
                !param.expression.is_empty() || answered_elsewhere,
                "{name} {}",
                param.code
            );
            for other in param
                .expression
                .split([' ', '(', '|'])
                .filter(|word| word.contains('.'))
            {
                let root = other.split('.').next().unwrap();
                let is_type = all.type_id(root).is_some();
                assert!(!is_type || root == name, "{name} {}: {other}", param.code);
            }
            assert_eq!(
                param.kind == ParamKind::Composite,
                !param.components.is_empty()
            );
        }
    }
}

#[test]
fn composites_name_their_parts() {
    let pair = param("Observation", "code-value-quantity");
    assert_eq!(pair.expression, "Observation");
    let parts: Vec<_> = pair
        .components
        .iter()
        .map(|(part, expression)| (part.code.as_str(), part.kind, expression.as_str()))
        .collect();
    assert_eq!(
        parts,
        [
            ("code", ParamKind::Token, "code"),
            ("value-quantity", ParamKind::Quantity, "value.as(Quantity)"),
        ]
    );
    let triple = param("MolecularSequence", "chromosome-variant-coordinate");
    assert_eq!(triple.components[0].1, "%resource.referenceSeq.chromosome");
    assert_eq!(triple.components.len(), 3);
}

#[test]
fn references_know_their_targets() {
    assert_eq!(
        names(&param("Observation", "encounter").targets),
        ["Encounter"]
    );
    assert_eq!(names(&param("Encounter", "patient").targets), ["Patient"]);
    assert!(param("Provenance", "target").targets.is_empty());
}

#[test]
fn compartments_and_whose_a_type_is() {
    let all = definitions();
    let id = |name| all.type_id(name).unwrap();
    let primary = |name| {
        all.primary_patient_param(id(name))
            .map(|param| param.code.as_str())
    };
    assert_eq!(
        all.compartment("Patient", id("Observation")),
        ["subject", "performer"]
    );
    assert_eq!(all.compartment("Patient", id("Coverage")).len(), 4);
    assert_eq!(
        all.compartment("Encounter", id("Observation")),
        ["encounter"]
    );
    assert!(all.compartment("Patient", id("Location")).is_empty());
    let named = [
        "Patient",
        "Encounter",
        "Practitioner",
        "RelatedPerson",
        "Device",
    ];
    assert_eq!(all.compartments.len(), named.len());
    assert!(named.iter().all(|name| all.compartments.contains_key(name)));
    assert_eq!(primary("Observation"), Some("patient"));
    assert_eq!(primary("AdverseEvent"), Some("subject"));
    // Outside R4's compartment and yet about a patient.
    assert_eq!(primary("Task"), Some("patient"));
    assert_eq!(primary("Device"), Some("patient"));
    assert_eq!(primary("Patient"), None);
    assert_eq!(primary("Organization"), None);
    // Every type of the compartment is somebody's, Group (many patients) and Patient apart.
    for (type_id, name) in all.types() {
        if !all.compartment("Patient", type_id).is_empty() && !["Group", "Patient"].contains(&name)
        {
            let param = all.primary_patient_param(type_id);
            assert!(
                param.is_some_and(|param| param.kind == ParamKind::Reference),
                "{name}"
            );
        }
    }
}

#[test]
fn summary_and_mandatory_elements() {
    let all = definitions();
    let id = |name| all.type_id(name).unwrap();
    let summary = all.summary_elements(id("Observation"));
    for kept in [
        "id",
        "meta",
        "implicitRules",
        "status",
        "code",
        "valueQuantity",
        "effectiveDateTime",
    ] {
        assert!(summary.iter().any(|name| name == kept), "{kept}");
    }
    for cut in [
        "text",
        "note",
        "performer0",
        "referenceRange",
        "interpretation",
        "contained",
    ] {
        assert!(!summary.iter().any(|name| name == cut), "{cut}");
    }
    assert_eq!(
        all.mandatory_elements(id("Observation")),
        ["status", "code"]
    );
    assert!(all.mandatory_elements(id("Patient")).is_empty());
    assert_eq!(
        all.mandatory_elements(id("MedicationRequest")),
        [
            "status",
            "intent",
            "medicationCodeableConcept",
            "medicationReference",
            "subject"
        ]
    );
}

#[test]
fn element_tables() {
    use elements::{Kind, Primitive};
    let tables = definitions().elements();
    let (_, patient) = tables.by_name("Patient").unwrap();
    assert_eq!(patient.kind, Kind::Resource);
    let element = |name: &str| {
        let property = patient.properties[name];
        (
            &patient.elements[usize::from(property.element)],
            tables.get(property.type_index).unwrap(),
        )
    };
    let (gender, code) = element("gender");
    assert_eq!(
        (gender.min, gender.max, code.kind),
        (0, Some(1), Kind::Primitive(Primitive::Code))
    );
    let set = tables.binding(gender.binding.unwrap()).unwrap();
    assert_eq!(set.name, "administrative-gender");
    assert!(set.systems[0].1.contains("other") && set.systems[0].1.len() == 4);
    assert_eq!(element("deceasedDateTime").0.name, "deceased[x]");
    assert_eq!(element("contact").1.name, "Patient.contact");
    assert!(element("name").0.is_array() && element("active").0.is_modifier);
    assert_eq!(element("id").1.name, "id");
    // A content reference is the type it refers to; a derived datatype has its base's elements.
    let (item_index, item) = tables.by_name("Questionnaire.item").unwrap();
    assert_eq!(item.properties["item"].type_index, item_index);
    let (_, age) = tables.by_name("Age").unwrap();
    assert!(age.properties.contains_key("comparator"));
    // Sets that need a system from outside have no list.
    let (_, attachment) = tables.by_name("Attachment").unwrap();
    let place = usize::from(attachment.properties["contentType"].element);
    let mime = tables
        .binding(attachment.elements[place].binding.unwrap())
        .unwrap();
    assert_eq!((mime.name, mime.systems.len()), ("mimetypes", 0));
}
