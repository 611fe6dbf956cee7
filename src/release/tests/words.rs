//! What a hold's facts say, and who is licensed or a mental-health professional, in words as people write
//! them.

use serde_json::{Value, json};

use super::kit::{
    T0, World, has_note, hold, hold_input, practitioner, psychotherapy_note, report, with_input,
};
use crate::release::{Audience, NoteKind, check_hold};

fn visit() -> Value {
    json!({
        "resourceType": "Encounter", "id": "visit", "status": "finished",
        "subject": {"reference": "Patient/p"},
        "participant": [{"individual": {"reference": "Practitioner/dr"}}],
    })
}

/// What is said of a hold by somebody with this qualification.
fn refusal(task: &Value, doctor: Value) -> String {
    let world = World::federal(report("r", &[])).link(doctor).link(visit());
    let said = match check_hold(task, &world.linked, &world.policy, T0) {
        Ok(()) => String::new(),
        Err(gaps) => gaps.into_iter().map(|gap| gap.diagnostics).collect(),
    };
    let world = world.input(task.clone());
    assert_eq!(world.hidden(&audience(task), T0), said.is_empty(), "{said}");
    let gap = has_note(&world.decide(T0), NoteKind::EvidenceGap);
    assert_eq!(gap, !said.is_empty(), "{said}");
    said
}

fn audience(task: &Value) -> Audience {
    if task["reasonCode"]["coding"][0]["code"] == "harm-representative" {
        Audience::Representatives
    } else {
        Audience::Patient
    }
}

fn on_facts(basis: &str, facts: &str) -> String {
    let facts = hold_input("facts", "valueString", json!(facts));
    refusal(&with_input(hold(basis), facts), practitioner("dr", "MD"))
}

#[test]
fn what_the_law_names_as_no_ground_holds_nothing() {
    for facts in [
        "I would like to discuss this result with the patient before it is seen on the portal.",
        "The care team wants to review the result first and call the patient tomorrow morning.",
        "The patient will be devastated when reading this diagnosis alone at home.",
        "He is going to be heartbroken and shocked by the unexpected finding of cancer.",
        "This will cause the patient considerable grief and mental anguish; please wait.",
        "She may misunderstand the result and will call the office many times about it.",
        "Patient would freak out; it is hospital policy to hold malignant results three days.",
        "Reading this may be psychologically harmful to the patient and traumatic for her.",
        "The patient asked lots of questions and may be disappointed with the quality of care.",
        "Bad news. Bad news. Bad news. Bad news. Bad news.",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "The patient may sue the hospital when reading the surgical note about the error.",
        "Result could be life-changing and the patient will be very unhappy about it.",
        "Patient will be upset. There is no risk of suicide or self-harm and no danger.",
        "Patient could be upset; the family dies to know the result, deathly afraid.",
        "Patient is a physical therapist and would be upset to see the result alone.",
        "The patient might become anxious; her physical exam was normal and she is safe.",
        "The patient is stable and I want to tell the family about the injury in person.",
        "Denies suicidal ideation, plan or intent; I want to talk to her before she sees it.",
        "Suicide risk: none. Self-harm was ruled out. I prefer to call before release of this.",
        "Suicidal ideation denied, risk of violence is low; we always discuss biopsies first.",
        "History of panic attacks and alcohol abuse, would be scared to death reading it alone.",
        "It would hurt her feelings and harm her emotionally to read this note by herself.",
        "He threatened to sue us over the last report, so the lawyer asked us to wait a while.",
        "Patient hasn't any suicidal thoughts and isn't violent; but a call first is kinder.",
        "A non-suicidal patient who prefers that results are explained in the office first.",
    ] {
        assert_ne!(on_facts("harm-self", facts), "", "{facts}");
        let distress = ["upset", "anxious", "devastated", "heartbroken", "anguish"];
        if distress.iter().any(|word| facts.contains(word)) {
            assert!(
                on_facts("harm-self", facts).contains("emotional distress"),
                "{facts}"
            );
        }
    }
    // No more than a name for it makes them a ground against others.
    for basis in ["harm-third-party", "harm-representative"] {
        for facts in [
            "I would like to discuss this result with the patient before it is seen on the portal.",
            "It is hospital policy to hold all malignant results for three whole days.",
            "The family will be devastated and heartbroken when they read this diagnosis.",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_ne!(on_facts(basis, facts), "", "{basis} {facts}");
        }
    }
}

#[test]
fn an_honest_determination_of_danger_stands() {
    for facts in [
        "Patient told me on 11-09 that he will shoot himself if the biopsy is positive; owns a pistol.",
        "Active psychosis with command hallucinations to jump off the bridge when results are bad.",
        "Overdosed in September after a bad scan; says she will do it again with her pills.",
        "Risk that she ends her life tonight: she wrote a farewell letter about this result.",
        "Documented suicide plan tied to this result; attempt on 2026-10-02.",
        "She is upset and anxious, and has said that she wants to die if this is malignant.",
        "Her husband reads her portal; he has beaten her twice and will kill her over this test.",
        "No relief from medication, suicidal since March, and a second attempt in October.",
        "Suicide cannot be ruled out: two attempts, and lethal means are within reach at home.",
        "Not only upset but suicidal; without supervision she will take her own life tonight.",
        "She is not safe at home; the partner has access to the portal and owns a firearm.",
        "Denies intent today, but in 2025 overdosed on the evening that a scan was released.",
        "He doesn't want to live and said so on the phone this morning, twice, in plain words.",
        "Will stop taking his insulin when he reads this, as in May, when he nearly died of it.",
        "Father has threatened violence against the patient if the pregnancy test is positive.",
        "No prior attempts and no self-harm known. Today: loaded gun in the car, says goodbye.",
        "Paranoid; believes the surgeon poisons him and has assaulted staff over a past report.",
    ] {
        assert_eq!(on_facts("harm-self", facts), "", "{facts}");
    }
    for facts in [
        "The daughter disclosed abuse in confidence; her father threatens retaliation.",
        "The note names the neighbour who reported the family, and they do not know of it.",
        "The sister would be upset and stressed, and thrown out by her husband's family.",
    ] {
        assert_eq!(on_facts("harm-third-party", facts), "", "{facts}");
    }
}

#[test]
fn licensed_are_those_who_say_of_what() {
    let by = |words: &str| refusal(&hold("harm-self"), practitioner("dr", words));
    for words in [
        "RN",
        "PA-C",
        "DO",
        "M.D.",
        "MD, hematology",
        "Doctor",
        "Physician",
        "Cardiologist",
        "Psychiatrist",
        "Pediatrician",
        "Internal medicine",
        "Orthopedic surgeon",
        "FNP-BC",
        "Nurse practitioner",
        "Physician assistant",
        "Registered Nurse",
        "PharmD",
        "Midwife",
        "Licensed clinical social worker",
        "Licensed Professional Counselor",
        "Ph.D. Clinical Psychology",
        "Doctor of Philosophy in Clinical Psychology",
        "Neuropsychologist",
        "Physical therapist",
        "Dentist",
    ] {
        assert_eq!(by(words), "", "{words}");
    }
    for words in [
        "Medical Assistant",
        "Unit clerk",
        "IT support",
        "Volunteer",
        "Interpreter",
        "Medical records coder",
        "Chaplain",
        "Front desk",
        "Patient advocate",
        "Custodian",
        "Medical student",
        "Office manager",
        "Risk manager",
        "Attorney at law",
        "Phlebotomist",
        "Reception",
        "Student nurse",
        "Doctor of Philosophy",
        "Juris Doctor (attorney)",
        "Bachelor of Science",
        "Physician billing specialist",
        "Nurse aide",
        "Cosmetologist",
        "Radiologic technologist",
        "Doctor of Veterinary Medicine",
        "Certified nursing assistant",
        "Friend of the family",
        "x",
    ] {
        assert!(by(words).contains("licensed"), "{words}: {}", by(words));
    }
    let coded = |system: &str, code: &str| {
        let mut one = practitioner("dr", "");
        one["qualification"] = json!([{"code": {"coding": [{"system": system, "code": code}]}}]);
        refusal(&hold("harm-self"), one)
    };
    let nucc = "http://nucc.org/provider-taxonomy";
    for (system, code, counts) in [
        (nucc, "207R00000X", true),
        (nucc, "208D00000X", true),
        (nucc, "2084P0800X", true),
        (nucc, "163W00000X", true),
        (nucc, "363LF0000X", true),
        (nucc, "103TC0700X", true),
        (nucc, "390200000X", false),
        (nucc, "171M00000X", false),
        (nucc, "374U00000X", false),
        ("http://snomed.info/sct", "309343006", true),
        ("http://snomed.info/sct", "159561009", false),
        ("http://terminology.hl7.org/CodeSystem/v2-0360", "MD", true),
        ("http://terminology.hl7.org/CodeSystem/v2-0360", "RN", true),
        (
            "http://terminology.hl7.org/CodeSystem/v2-0360",
            "SEC",
            false,
        ),
        ("http://terminology.hl7.org/CodeSystem/v2-0360", "JD", false),
        ("urn:somewhere", "207R00000X", false),
    ] {
        assert_eq!(coded(system, code).is_empty(), counts, "{system} {code}");
    }
}

#[test]
fn who_is_a_mental_health_professional() {
    for (words, held) in [
        ("Licensed Professional Counselor", true),
        ("Genetic Counselor", false),
        ("Certified Genetic Counselor, MS CGC", false),
        ("Lactation counselor", false),
        ("Financial counseling", false),
        ("Nutrition Counselor RD", false),
        ("Camp counselor", false),
        ("Neuropsychologist", true),
        ("Mental Health Counselor", true),
        ("Substance abuse counselor", true),
        ("Licensed clinical professional counselor", true),
        ("Psychiatrist, MD", true),
        ("Psychiatric Nurse Practitioner", true),
        ("LCSW-C", true),
        ("Medical social worker", false),
        ("Behavioral Health billing clerk", false),
        ("Psychiatry scheduling clerk", false),
        ("Psychology student", false),
        (
            "Board certified in Psychiatry and Neurology (Neurology)",
            false,
        ),
        ("Psychiatry & Neurology, Psychiatry", true),
        ("Cardiologist (not a psychologist)", false),
        ("PSYCHOTHERAPIST", true),
        ("Family therapist", true),
        ("Speech therapist", false),
    ] {
        let world = World::federal(psychotherapy_note()).link(practitioner("psych", words));
        assert_eq!(world.hidden(&Audience::Patient, T0), held, "{words}");
        let unsupported = has_note(&world.decide(T0), NoteKind::PsyClaimUnsupported);
        assert_eq!(unsupported, !held, "{words}");
    }
    // Who makes appointments in the department is not of its profession.
    let mut note = psychotherapy_note();
    note["extension"][0]["extension"][0]["valueReference"]["reference"] =
        json!("PractitionerRole/r");
    let mut role = json!({"resourceType": "PractitionerRole", "id": "r",
        "specialty": [{"text": "Psychiatry"}], "code": [{"text": "Scheduling clerk"}]});
    let world = World::federal(note).link(role.clone());
    assert!(world.sees(&Audience::Patient, T0));
    role["code"] = json!([{"text": "Doctor"}]);
    assert!(world.link(role).hidden(&Audience::Patient, T0));
}
