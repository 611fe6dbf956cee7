//! Resources in the shapes of the release contract.

use serde_json::{Value, json};

/// The contract's canonical base.
pub const CB: &str = "https://candor.example/fhir";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

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

    fn subject(&self) -> Value {
        json!({"reference": format!("Patient/{}", self.id("p"))})
    }

    /// The patient, a treating doctor, a clerk, a therapist, and the visit that shows who treats.
    pub fn people(&self) -> Vec<Value> {
        vec![
            json!({"resourceType": "Patient", "id": self.id("p"), "name": [{"family": "Ruiz", "given": ["Ana"]}], "gender": "female", "birthDate": "1984-02-29"}),
            json!({"resourceType": "Practitioner", "id": self.id("md"), "name": [{"family": "Lee"}],
                "qualification": [{"code": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0360", "code": "MD", "display": "Doctor of Medicine"}], "text": "Doctor of Medicine"}}]}),
            json!({"resourceType": "Practitioner", "id": self.id("clerk"), "name": [{"family": "Bill"}]}),
            json!({"resourceType": "Practitioner", "id": self.id("psy"), "name": [{"family": "Freund"}],
                "qualification": [{"code": {"coding": [{"system": "http://nucc.org/provider-taxonomy", "code": "103TC0700X", "display": "Clinical Psychologist"}], "text": "Clinical Psychologist"}}]}),
            json!({"resourceType": "Encounter", "id": self.id("visit"), "status": "finished",
                "class": {"system": ACT_CODE, "code": "AMB"}, "subject": self.subject(),
                "participant": [{"individual": {"reference": format!("Practitioner/{}", self.id("md"))}}],
                "period": {"start": "2026-11-01T15:00:00Z", "end": "2026-11-01T15:30:00Z"}}),
        ]
    }

    pub fn note(&self, name: &str, loinc: &str) -> Value {
        json!({
            "resourceType": "DocumentReference", "id": self.id(name), "status": "current",
            "docStatus": "final",
            "type": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
            "category": [{"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "code": "clinical-note"}]}],
            "subject": self.subject(), "date": "2026-11-10T15:00:00Z",
            "author": [{"reference": format!("Practitioner/{}", self.id("md"))}],
            "content": [{"attachment": {"contentType": "text/plain", "data": "Tm90ZQ=="}}],
        })
    }

    /// A psychotherapy note with a complete attestation.
    pub fn psychotherapy_note(&self, name: &str) -> Value {
        let mut note = self.note(name, "11506-3");
        note["meta"] = json!({"security": [{"system": ACT_CODE, "code": "PSYTHPN"}]});
        note["author"] = json!([{"reference": format!("Practitioner/{}", self.id("psy"))}]);
        note["extension"] = json!([{"url": format!("{CB}/StructureDefinition/psychotherapy-attestation"), "extension": [
            {"url": "author", "valueReference": {"reference": format!("Practitioner/{}", self.id("psy"))}},
            {"url": "sessionAnalysis", "valueBoolean": true},
            {"url": "separatelyStored", "valueBoolean": true},
            {"url": "attestedAt", "valueDateTime": "2026-11-10T15:00:00Z"},
        ]}]);
        note
    }

    pub fn observation(&self, name: &str, loinc: &str, value: f64) -> Value {
        json!({
            "resourceType": "Observation", "id": self.id(name), "status": "final",
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
            "subject": self.subject(), "effectiveDateTime": "2026-11-10T14:00:00Z", "issued": "2026-11-10T15:00:00Z",
            "valueQuantity": {"value": value, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
        })
    }

    pub fn report(&self, name: &str, category: (&str, &str), loinc: &str, issued: &str) -> Value {
        json!({
            "resourceType": "DiagnosticReport", "id": self.id(name), "status": "final",
            "category": [{"coding": [{"system": category.0, "code": category.1}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
            "subject": self.subject(), "effectiveDateTime": "2026-11-10T12:00:00Z", "issued": issued,
            "conclusion": "See text.",
        })
    }

    pub fn pathology(&self, name: &str, issued: &str) -> Value {
        self.report(name, ("http://loinc.org", "LP7839-6"), "11526-1", issued)
    }

    pub fn radiology(&self, name: &str, issued: &str) -> Value {
        self.report(name, ("http://loinc.org", "LP29684-5"), "18748-4", issued)
    }

    pub fn lab(&self, name: &str, loinc: &str, issued: &str) -> Value {
        self.report(
            name,
            ("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB"),
            loinc,
            issued,
        )
    }

    /// A hold with everything that makes one valid.
    pub fn hold(&self, name: &str, focus: &Value) -> Value {
        let input = |code: &str, value: (&str, Value)| {
            let mut one = json!({"type": {"coding": [{"system": format!("{CB}/CodeSystem/hold-input"), "code": code}]}});
            one[value.0] = value.1;
            one
        };
        json!({
            "resourceType": "Task", "id": self.id(name), "status": "in-progress", "intent": "order",
            "code": {"coding": [{"system": format!("{CB}/CodeSystem/release-task"), "code": "release-hold"}]},
            "focus": {"reference": crate::world::reference(focus)}, "for": self.subject(),
            "requester": {"reference": format!("Practitioner/{}", self.id("md"))},
            "authoredOn": "2026-11-10T15:00:00Z",
            "reasonCode": {"coding": [{"system": format!("{CB}/CodeSystem/release-basis"), "code": "harm-self"}]},
            "restriction": {"period": {"end": "2026-12-01T15:00:00Z"}},
            "input": [
                input("harm-standard", ("valueCode", json!("life-or-physical-safety"))),
                input("facts", ("valueString", json!("Patient has a documented suicide plan tied to this result; attempt on 2026-10-02."))),
                input("less-restrictive-considered", ("valueString", json!("Same-day visit offered; safety plan in place; release after the visit considered."))),
                input("relationship", ("valueReference", json!({"reference": format!("Encounter/{}", self.id("visit"))}))),
                input("case-by-case", ("valueBoolean", json!(true))),
                input("reassess-at", ("valueDateTime", json!("2026-11-20T15:00:00Z"))),
            ],
        })
    }

    /// Puts an input's value in place of what `hold` gave it.
    pub fn with_input(mut task: Value, code: &str, value: Option<(&str, Value)>) -> Value {
        let matches = |input: &Value| input.pointer("/type/coding/0/code") == Some(&json!(code));
        if let Some(inputs) = task["input"].as_array_mut() {
            inputs.retain(|input| !matches(input));
            if let Some((name, value)) = value {
                let mut one = json!({"type": {"coding": [{"system": format!("{CB}/CodeSystem/hold-input"), "code": code}]}});
                one[name] = value;
                inputs.push(one);
            }
        }
        task
    }

    pub fn release_now(&self, name: &str, focus: &Value, authored: &str) -> Value {
        json!({
            "resourceType": "Task", "id": self.id(name), "status": "completed", "intent": "order",
            "code": {"coding": [{"system": format!("{CB}/CodeSystem/release-task"), "code": "release-now"}]},
            "focus": {"reference": crate::world::reference(focus)}, "for": self.subject(),
            "requester": {"reference": format!("Practitioner/{}", self.id("md"))},
            "authoredOn": authored,
        })
    }

    /// A flag for state packs.
    pub fn flagged(mut resource: Value, code: &str) -> Value {
        resource["extension"] = json!([{"url": format!("{CB}/StructureDefinition/release-flag"),
            "valueCoding": {"system": format!("{CB}/CodeSystem/release-flag"), "code": code}}]);
        resource
    }

    /// A directive of the patient.
    pub fn directive(&self, name: &str, provision: Value) -> Value {
        json!({
            "resourceType": "Consent", "id": self.id(name), "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": self.subject(), "performer": [self.subject()], "dateTime": "2026-11-10T14:00:00Z",
            "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
            "extension": [{"url": format!("{CB}/StructureDefinition/no-inducement"), "valueBoolean": true}],
            "provision": provision,
        })
    }

    /// Study, subject and consent: the whole research tuple.
    pub fn research(&self) -> (Value, Value, Value) {
        let study = json!({
            "resourceType": "ResearchStudy", "id": self.id("study"), "status": "active",
            "extension": [{"url": format!("{CB}/StructureDefinition/includes-treatment"), "valueBoolean": true}],
        });
        let consent = json!({
            "resourceType": "Consent", "id": self.id("rc"), "status": "active",
            "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
            "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
            "patient": self.subject(), "performer": [self.subject()], "dateTime": "2026-10-01T14:00:00Z",
            "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
            "extension": [{"url": format!("{CB}/StructureDefinition/access-suspension"), "extension": [
                {"url": "agreed", "valueBoolean": true}, {"url": "informedOfReinstatement", "valueBoolean": true},
            ]}],
        });
        let subject = json!({
            "resourceType": "ResearchSubject", "id": self.id("subject"), "status": "on-study",
            "study": {"reference": format!("ResearchStudy/{}", self.id("study"))},
            "individual": self.subject(), "consent": {"reference": format!("Consent/{}", self.id("rc"))},
        });
        (study, consent, subject)
    }

    /// The same resource, made for the study.
    pub fn of_study(&self, mut resource: Value) -> Value {
        resource["extension"] = json!([{"url": "http://hl7.org/fhir/StructureDefinition/workflow-researchStudy",
            "valueReference": {"reference": format!("ResearchStudy/{}", self.id("study"))}}]);
        resource
    }

    pub fn related_person(&self, name: &str) -> Value {
        json!({"resourceType": "RelatedPerson", "id": self.id(name), "active": true, "patient": self.subject(),
            "relationship": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "SPS"}]}],
            "period": {"start": "2020-01-01"}})
    }

    /// The permit that makes a RelatedPerson a proxy.
    pub fn proxy_permit(&self, name: &str, related: &str) -> Value {
        let mut consent = self.directive(name, json!({
            "type": "permit",
            "actor": [{"role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "DELEGATEE"}]},
                "reference": {"reference": format!("RelatedPerson/{}", self.id(related))}}],
            "securityLabel": [{"system": format!("{CB}/CodeSystem/proxy-level"), "code": "full"}],
        }));
        consent
            .as_object_mut()
            .map(|object| object.remove("extension"));
        consent
    }
}
