use super::*;

fn ticks(values: &[&str]) -> HashSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn what_is_ticked_is_granted_and_nothing_else() {
    let offer = Offer::new(
        "launch/patient openid offline_access patient/*.rs",
        Giver::PatientSide,
        Level::Full,
    );
    let granted = offer.granted(&ticks(&["Condition"]), false, false);
    // The front page of the record is needed with launch/patient.
    assert_eq!(
        granted.to_string(),
        "launch/patient patient/Patient.rs patient/Condition.rs"
    );
    let all = offer.granted(&offer.ticked_at_first(None), true, true);
    assert_eq!(all.resources.len(), catalogue().entries().count());
    assert!(all.has("openid") && all.has("offline_access"));
}

#[test]
fn a_part_stands_in_for_the_whole() {
    let offer = Offer::new(
        "patient/Observation.read patient/Goal.read",
        Giver::PatientSide,
        Level::Full,
    );
    let laboratory = "Observation?category=http://terminology.hl7.org/CodeSystem/\
        observation-category|laboratory";
    assert_eq!(
        offer.granted(&ticks(&[laboratory]), true, true).to_string(),
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/\
         observation-category|laboratory"
    );
    let whole = offer.granted(&ticks(&["Observation", laboratory]), true, true);
    assert_eq!(whole.to_string(), "patient/Observation.read");
}

#[test]
fn a_box_that_was_not_offered_grants_nothing() {
    let offer = Offer::new("patient/Goal.rs", Giver::PatientSide, Level::Full);
    let granted = offer.granted(
        &ticks(&["Condition", "*", "Goal!write", "Goal"]),
        true,
        true,
    );
    assert_eq!(granted.to_string(), "patient/Goal.rs");
}

#[test]
fn writing_is_a_box_of_its_own() {
    let offer = Offer::new("user/Observation.cruds", Giver::Staff, Level::Full);
    assert_eq!(offer.ticked_at_first(None), ticks(&["Observation"]));
    let reading = offer.granted(&ticks(&["Observation"]), true, true);
    assert_eq!(reading.to_string(), "user/Observation.rs");
    let both = offer.granted(&ticks(&["Observation", "Observation!write"]), true, true);
    assert_eq!(both.to_string(), "user/Observation.cruds");
}

#[test]
fn what_was_asked_before_is_answered_as_before_and_what_is_new_stands_apart() {
    let first = Offer::new(
        "patient/Goal.rs patient/Condition.rs",
        Giver::PatientSide,
        Level::Full,
    );
    let concern = "Condition?category=http://hl7.org/fhir/us/core/CodeSystem/\
        condition-category|health-concern";
    let before = Before {
        asked: ScopeList::parse(&first.text()),
        granted: first.granted(&ticks(&[concern]), true, true),
    };
    assert!(!first.has_news(&before));
    let more = Offer::new(
        "openid patient/Goal.rs patient/Condition.rs patient/Device.rs",
        Giver::PatientSide,
        Level::Full,
    );
    assert!(more.has_news(&before) && more.identity_is_new(&before));
    let ticked = more.ticked_at_first(Some(&before));
    assert_eq!(ticked, ticks(&["Device", concern]));
    let values = |wanted| {
        let groups = more.view(&ticked, Some(&before), wanted);
        let lines = groups.into_iter().flat_map(|group| group.lines);
        lines.map(|line| line.value).collect::<Vec<_>>()
    };
    assert_eq!(values(true), ["Device"]);
    assert_eq!(values(false), ["Condition", "Goal"]);
}

#[test]
fn what_a_limited_proxy_cannot_see_is_not_listed() {
    let offer = Offer::new(
        "launch/patient patient/*.rs",
        Giver::PatientSide,
        Level::Limited,
    );
    let text = offer.text();
    assert!(text.contains("patient/Immunization.rs"), "{text}");
    assert!(
        !text.contains("Observation") && !text.contains("Condition"),
        "{text}"
    );
}
