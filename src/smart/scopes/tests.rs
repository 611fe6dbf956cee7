use super::*;

fn list(text: &str) -> ScopeList {
    ScopeList::parse(text)
}

#[test]
fn scopes_keep_the_syntax_they_came_in() {
    for text in [
        "patient/Observation.rs",
        "patient/Observation.read",
        "user/*.*",
        "system/Patient.cruds",
        "patient/Condition.r?category=http://x|y",
        "openid fhirUser launch/patient patient/Patient.read",
    ] {
        assert_eq!(list(text).to_string(), text);
    }
    assert_eq!(
        ScopeList::unknown("openid patient/Nothing.rs patient/Patient.sr what system/*.read?x=y"),
        [
            "patient/Nothing.rs",
            "patient/Patient.sr",
            "what",
            "system/*.read?x=y"
        ]
    );
}

#[test]
fn a_wildcard_becomes_the_catalogue_read_only() {
    let granted = list("launch/patient patient/*.cruds").for_patient_side();
    assert_eq!(granted.resources.len(), catalogue().entries().count());
    assert!(granted.to_string().contains("patient/Observation.rs"));
    assert!(!granted.to_string().contains('*'));
    let v1 = list("patient/*.read").for_patient_side();
    assert!(v1.to_string().contains("patient/Observation.read"));
}

#[test]
fn a_patient_gives_no_write_and_no_system_scope() {
    let granted = list(
        "patient/Observation.cud patient/Condition.crus system/*.rs user/Task.rs patient/Goal.*",
    )
    .for_patient_side();
    assert_eq!(
        granted.to_string(),
        "patient/Condition.rs patient/Goal.read"
    );
}

#[test]
fn registration_bounds_what_is_asked() {
    let registered = list("openid patient/*.rs user/Observation.rs");
    assert_eq!(
        list("openid fhirUser patient/Goal.cruds user/Observation.r user/Goal.rs system/*.rs")
            .within(&registered)
            .to_string(),
        "openid patient/Goal.rs user/Observation.r"
    );
    let registered = list("patient/Goal.rs patient/Condition.rs?category=a|b");
    assert_eq!(
        list("patient/*.rs").within(&registered).to_string(),
        "patient/Goal.rs patient/Condition.rs?category=a|b"
    );
    assert_eq!(
        list("patient/*.read").within(&registered).to_string(),
        "patient/Goal.read patient/Condition.rs?category=a|b"
    );
}

#[test]
fn what_cannot_be_searched_for_is_no_scope() {
    for bad in [
        "patient/Observation.rs?foo=bar",
        "patient/Observation.rs?category",
        "patient/Observation.rs?patient.name=x",
        "patient/Observation.rs?date=ap2020",
        "patient/Observation.rs?category=a|b&foo=bar",
    ] {
        assert!(list(bad).is_empty(), "{bad}");
        assert_eq!(ScopeList::unknown(bad), [bad]);
    }
    assert!(!list("patient/Observation.rs?category=a|b&status=final").is_empty());
}

#[test]
fn a_refresh_may_only_shrink() {
    let granted = list("openid patient/Goal.rs patient/Condition.rs?category=a|b");
    for ok in [
        "openid",
        "patient/Goal.r",
        "patient/Goal.read",
        "patient/Condition.rs?category=a|b",
    ] {
        assert!(list(ok).is_within(&granted), "{ok}");
    }
    for more in [
        "fhirUser",
        "patient/Goal.cruds",
        "patient/Condition.rs",
        "patient/*.rs",
        "user/Goal.rs",
    ] {
        assert!(!list(more).is_within(&granted), "{more}");
    }
}
