//! Resources in the shapes of the release contract.

mod directives;
mod holds;
mod research;
pub use research::Tuple;

use serde_json::{Value, json};

use crate::world::{Who, reference};

/// The contract's canonical base.
pub const CB: &str = "https://candor.example/fhir";
pub const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
pub const LOINC: &str = "http://loinc.org";

/// A coded value.
pub fn concept(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": system, "code": code}]})
}

/// A Reference to a resource.
pub fn link(resource: &Value) -> Value {
    json!({"reference": reference(resource)})
}

/// One patient's record in a case: ids carry the case's name, so that cases do not meet.
#[derive(Debug, Clone)]
pub struct Chart {
    pub case: String,
}

impl Chart {
    pub fn new(case: &str) -> Self {
        Self {
            case: case.to_owned(),
        }
    }

    pub fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.case)
    }

    /// A Reference to a resource of this chart.
    pub fn to(&self, type_name: &str, name: &str) -> Value {
        json!({"reference": format!("{type_name}/{}", self.id(name))})
    }

    pub fn subject(&self) -> Value {
        self.to("Patient", "p")
    }

    /// The patient, signed in to an app.
    pub fn patient(&self) -> Who {
        Who::Patient(self.id("p"))
    }

    /// Who acts for the patient.
    pub fn representative(&self, name: &str) -> Who {
        Who::Representative(self.id("p"), self.id(name))
    }

    /// The patient, a treating doctor, another one, a clerk, a therapist, a social worker, and the
    /// visit that shows who treats.
    pub fn people(&self) -> Vec<Value> {
        let degree = |code: &str, text: &str| {
            json!([{"code": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0360",
                "code": code, "display": text}], "text": text}}])
        };
        vec![
            json!({"resourceType": "Patient", "id": self.id("p"),
                "name": [{"family": "Ruiz", "given": ["Ana"]}], "gender": "female",
                "birthDate": "1984-02-29"}),
            json!({"resourceType": "Practitioner", "id": self.id("md"), "name": [{"family": "Lee"}],
                "qualification": degree("MD", "Doctor of Medicine")}),
            json!({"resourceType": "Practitioner", "id": self.id("other"),
                "name": [{"family": "Stranger"}],
                "qualification": degree("MD", "Doctor of Medicine")}),
            json!({"resourceType": "Practitioner", "id": self.id("clerk"),
                "name": [{"family": "Bill"}]}),
            json!({"resourceType": "Practitioner", "id": self.id("psy"),
                "name": [{"family": "Freund"}],
                "qualification": [{"code": {"coding": [{
                    "system": "http://nucc.org/provider-taxonomy", "code": "103TC0700X",
                    "display": "Clinical Psychologist"}], "text": "Clinical Psychologist"}}]}),
            json!({"resourceType": "Practitioner", "id": self.id("sw"),
                "name": [{"family": "Helper"}],
                "qualification": degree("BS", "Bachelor of Science")}),
            self.visit("visit", "md"),
        ]
    }

    pub fn visit(&self, name: &str, practitioner: &str) -> Value {
        json!({"resourceType": "Encounter", "id": self.id(name), "status": "finished",
            "class": {"system": ACT_CODE, "code": "AMB"}, "subject": self.subject(),
            "participant": [{"individual": self.to("Practitioner", practitioner)}],
            "period": {"start": "2026-11-01T15:00:00Z", "end": "2026-11-01T15:30:00Z"}})
    }

    pub fn note(&self, name: &str, loinc: &str) -> Value {
        json!({
            "resourceType": "DocumentReference", "id": self.id(name), "status": "current",
            "docStatus": "final", "type": concept(LOINC, loinc),
            "category": [concept(
                "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                "clinical-note")],
            "subject": self.subject(), "date": "2026-11-10T15:00:00Z",
            "author": [self.to("Practitioner", "md")],
            "content": [{"attachment": {"contentType": "text/plain", "data": "Tm90ZQ=="}}],
        })
    }

    /// The attestation of release-contract.md, complete.
    pub fn attestation(&self) -> Value {
        json!({"url": format!("{CB}/StructureDefinition/psychotherapy-attestation"), "extension": [
            {"url": "author", "valueReference": self.to("Practitioner", "psy")},
            {"url": "sessionAnalysis", "valueBoolean": true},
            {"url": "separatelyStored", "valueBoolean": true},
            {"url": "attestedAt", "valueDateTime": "2026-11-10T15:00:00Z"},
        ]})
    }

    /// Any resource as an attested psychotherapy note.
    pub fn attested(&self, mut resource: Value) -> Value {
        resource["meta"] = json!({"security": [{"system": ACT_CODE, "code": "PSYTHPN"}]});
        resource["extension"] = json!([self.attestation()]);
        resource
    }

    /// A psychotherapy note with a complete attestation.
    pub fn psychotherapy_note(&self, name: &str) -> Value {
        let mut note = self.attested(self.note(name, "11506-3"));
        note["author"] = json!([self.to("Practitioner", "psy")]);
        note
    }

    pub fn observation(&self, name: &str, loinc: &str, value: f64) -> Value {
        json!({
            "resourceType": "Observation", "id": self.id(name), "status": "final",
            "category": [concept(
                "http://terminology.hl7.org/CodeSystem/observation-category", "laboratory")],
            "code": concept(LOINC, loinc), "subject": self.subject(),
            "effectiveDateTime": "2026-11-10T14:00:00Z", "issued": "2026-11-10T15:00:00Z",
            "valueQuantity": {"value": value, "unit": "g/dL",
                "system": "http://unitsofmeasure.org", "code": "g/dL"},
        })
    }

    pub fn report(&self, name: &str, category: (&str, &str), loinc: &str, issued: &str) -> Value {
        json!({
            "resourceType": "DiagnosticReport", "id": self.id(name), "status": "final",
            "category": [concept(category.0, category.1)], "code": concept(LOINC, loinc),
            "subject": self.subject(), "effectiveDateTime": "2026-11-10T12:00:00Z",
            "issued": issued, "conclusion": "See text.",
        })
    }

    pub fn pathology(&self, name: &str, issued: &str) -> Value {
        self.report(name, (LOINC, "LP7839-6"), "11526-1", issued)
    }

    pub fn radiology(&self, name: &str, issued: &str) -> Value {
        self.report(name, (LOINC, "LP29684-5"), "18748-4", issued)
    }

    pub fn lab(&self, name: &str, loinc: &str, issued: &str) -> Value {
        let category = ("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB");
        self.report(name, category, loinc, issued)
    }

    pub fn condition(&self, name: &str) -> Value {
        json!({
            "resourceType": "Condition", "id": self.id(name),
            "clinicalStatus": concept(
                "http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
            "category": [concept(
                "http://terminology.hl7.org/CodeSystem/condition-category", "problem-list-item")],
            "code": concept("http://snomed.info/sct", "35489007"), "subject": self.subject(),
            "recordedDate": "2026-11-10",
        })
    }

    pub fn medication_request(&self, name: &str) -> Value {
        json!({
            "resourceType": "MedicationRequest", "id": self.id(name), "status": "active",
            "intent": "order", "subject": self.subject(), "authoredOn": "2026-11-10",
            "medicationCodeableConcept": concept(
                "http://www.nlm.nih.gov/research/umls/rxnorm", "312938"),
        })
    }

    pub fn order(&self, name: &str, requester: &str) -> Value {
        json!({
            "resourceType": "ServiceRequest", "id": self.id(name), "status": "completed",
            "intent": "order", "code": concept(LOINC, "18748-4"), "subject": self.subject(),
            "authoredOn": "2026-11-09", "requester": self.to("Practitioner", requester),
        })
    }

    /// A Composition with one titled section for each text.
    pub fn composition(&self, name: &str, sections: &[(&str, &str)]) -> Value {
        let sections: Vec<Value> = sections
            .iter()
            .map(|(title, text)| {
                json!({"title": title, "text": {"status": "generated",
                    "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{text}</div>")}})
            })
            .collect();
        json!({
            "resourceType": "Composition", "id": self.id(name), "status": "final",
            "type": concept(LOINC, "11506-3"), "subject": self.subject(),
            "date": "2026-11-10T15:00:00Z", "author": [self.to("Practitioner", "md")],
            "title": "Progress note", "section": sections,
        })
    }

    pub fn binary(&self, name: &str) -> Value {
        json!({"resourceType": "Binary", "id": self.id(name), "contentType": "text/plain",
            "data": "U2VjcmV0IHdvcmRz"})
    }

    /// A flag for state packs.
    pub fn flagged(mut resource: Value, code: &str) -> Value {
        resource["extension"] = json!([{"url": format!("{CB}/StructureDefinition/release-flag"),
            "valueCoding": {"system": format!("{CB}/CodeSystem/release-flag"), "code": code}}]);
        resource
    }

    /// A security label, and the same on a document where it has a place of its own.
    pub fn labelled(mut resource: Value, system: &str, code: &str) -> Value {
        let label = json!({"system": system, "code": code});
        resource["meta"] = json!({"security": [label]});
        if resource["resourceType"] == "DocumentReference" {
            resource["securityLabel"] = json!([{"coding": [label]}]);
        }
        resource
    }
}
