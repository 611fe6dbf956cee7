//! What hangs on something withheld goes with it, in whichever order it came.

use serde_json::{Value, json};

use super::super::PolicySettings;
use super::{CB, Fixture, fixtures, flagged_report, observation, viewer};
use crate::visibility::ViewerClass;

impl Fixture {
    pub(super) async fn govern(&self, jurisdiction: &str) {
        let settings = PolicySettings {
            jurisdiction: Some(jurisdiction.to_owned()),
            timezone: "America/New_York".to_owned(),
            switches: Vec::new(),
        };
        self.store.adopt_policy(&settings, &|_| {}).await.unwrap();
    }

    /// Whether the patient `p` sees each of these.
    async fn shown(&self, references: &[&str]) -> Vec<bool> {
        let me = viewer(ViewerClass::Patient, Some("p"));
        let mut shown = Vec::new();
        for one in references {
            shown.push(self.is_there(&me, one).await);
        }
        shown
    }
}

fn subject() -> Value {
    json!({"reference": "Patient/p"})
}

fn binary(id: &str) -> Value {
    json!({"resourceType": "Binary", "id": id, "contentType": "text/plain", "data": "Tm90ZQ=="})
}

fn provenance(id: &str, target: &str) -> Value {
    json!({"resourceType": "Provenance", "id": id, "target": [{"reference": target}],
        "recorded": "2026-11-10T15:00:00Z", "agent": [{"who": {"display": "Feed"}}]})
}

#[tokio::test]
async fn who_wrote_a_withheld_text_is_withheld_with_it() {
    for fixture in fixtures().await {
        let psychologist = json!({"resourceType": "Practitioner", "id": "psy",
            "qualification": [{"code": {"text": "Clinical Psychologist"}}]});
        let mut note = json!({
            "resourceType": "DocumentReference", "id": "n", "status": "current",
            "subject": subject(), "date": "2026-11-10T15:00:00Z",
            "content": [{"attachment": {"url": "Binary/k"}}],
        });
        let free = {
            let mut free = note.clone();
            free["id"] = json!("f");
            free["content"][0]["attachment"]["url"] = json!("Binary/free");
            free
        };
        note["meta"] = json!({"security": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSYTHPN"}]});
        note["extension"] = json!([{
            "url": format!("{CB}/StructureDefinition/psychotherapy-attestation"), "extension": [
                {"url": "author", "valueReference": {"reference": "Practitioner/psy"}},
                {"url": "sessionAnalysis", "valueBoolean": true},
                {"url": "separatelyStored", "valueBoolean": true},
                {"url": "attestedAt", "valueDateTime": "2026-11-10T15:00:00Z"}]}]);
        for one in [
            json!({"resourceType": "Patient", "id": "p"}),
            psychologist,
            binary("k"),
            provenance("k1", "Binary/k"),
            binary("free"),
            provenance("f1", "Binary/free"),
            note,
            free,
            provenance("k2", "Binary/k"),
            provenance("f2", "Binary/free"),
        ] {
            fixture.put(one).await;
        }
        let shown = fixture
            .shown(&[
                "DocumentReference/n",
                "Binary/k",
                "Provenance/k1",
                "Provenance/k2",
            ])
            .await;
        assert_eq!(shown, [false; 4]);
        // As it is with what is not withheld: that a Provenance is there tells nothing.
        let shown = fixture
            .shown(&[
                "DocumentReference/f",
                "Binary/free",
                "Provenance/f1",
                "Provenance/f2",
            ])
            .await;
        assert_eq!(shown, [true; 4]);
    }
}

#[tokio::test]
async fn a_text_belongs_to_whatever_it_is_attached_to() {
    for fixture in fixtures().await {
        let attachment = |id: &str| json!({"url": format!("Binary/{id}")});
        for id in ["answer", "image", "claim", "form", "relative", "photo"] {
            fixture.put(binary(id)).await;
        }
        let code = || json!({"coding": [{"code": "x"}]});
        for one in [
            json!({"resourceType": "Patient", "id": "p", "photo": [attachment("photo")]}),
            json!({"resourceType": "QuestionnaireResponse", "id": "q", "status": "completed",
                "subject": subject(), "item": [{"linkId": "1", "item": [{"linkId": "2",
                    "answer": [{"valueAttachment": attachment("answer")}]}]}]}),
            json!({"resourceType": "BodyStructure", "id": "b", "patient": subject(),
                "image": [attachment("image")]}),
            json!({"resourceType": "Claim", "id": "c", "status": "active", "type": code(),
                "use": "claim", "patient": subject(), "created": "2026-11-10",
                "provider": {"display": "x"}, "priority": code(),
                "insurance": [{"sequence": 1, "focal": true, "coverage": {"display": "x"}}],
                "supportingInfo": [{"sequence": 1, "category": code(),
                    "valueAttachment": attachment("claim")}]}),
            json!({"resourceType": "ExplanationOfBenefit", "id": "e", "status": "active",
                "type": code(), "use": "claim", "patient": subject(), "created": "2026-11-10",
                "insurer": {"display": "x"}, "provider": {"display": "x"}, "outcome": "complete",
                "insurance": [{"focal": true, "coverage": {"display": "x"}}],
                "form": attachment("form")}),
            json!({"resourceType": "RelatedPerson", "id": "r", "patient": subject(),
                "photo": [attachment("relative")]}),
        ] {
            fixture.put(one).await;
        }
        for id in ["answer", "image", "claim", "form", "relative", "photo"] {
            let shown = fixture.shown(&[&format!("Binary/{id}")]).await;
            assert_eq!(shown, [true], "{id}");
        }
        let other = viewer(ViewerClass::Patient, Some("o"));
        assert!(!fixture.is_there(&other, "Binary/answer").await);
    }
}
