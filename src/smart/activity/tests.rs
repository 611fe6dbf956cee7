use super::*;

fn refusal<'a>(words: &'a str, id: Option<&'a HeaderValue>) -> Refusal<'a> {
    Refusal {
        endpoint: Endpoint::Token,
        status: 400,
        code: "invalid_grant",
        words,
        reference: Reference::OfRequest(id),
    }
}

#[test]
fn what_waits_to_be_written_is_bounded_and_the_newest_errors_of_each_stay() {
    let activity = Activity::default();
    let one = || Whose::Client("one".to_owned());
    for number in 0..100 {
        let words = number.to_string();
        activity.refused(number, one(), refusal(&words, None));
    }
    for number in 0..MOST_ERRORS_OF_ALL {
        let other = Whose::Client(format!("other-{number}"));
        activity.refused(0, other, refusal("", None));
    }
    // Who has errors already still gets the newest.
    activity.refused(200, one(), refusal("last", None));
    let noted = activity.take();
    let all: usize = noted.values().map(|noted| noted.errors.len()).sum();
    assert_eq!(all, MOST_ERRORS_OF_ALL);
    let errors = &noted[&one()].errors;
    assert_eq!(errors.len(), MOST_ERRORS);
    assert_eq!(errors.back().unwrap().words, "last");
    assert!(activity.take().is_empty());
}

#[test]
fn a_request_id_that_the_app_chose_is_not_kept() {
    let own = HeaderValue::from_static("0b5f9d2c-98a6-4d0f-9a3e-6d2f1c7f1a55");
    assert!(Reference::OfRequest(Some(&own)).kept().is_some());
    for theirs in ["ana-ruiz", "MRN.12345", "", "0b5f9d2c-98a6-4d0f-9a3e"] {
        let theirs = HeaderValue::from_static(theirs);
        assert!(
            Reference::OfRequest(Some(&theirs)).kept().is_none(),
            "{theirs:?}"
        );
    }
    assert!(Reference::OfRequest(None).kept().is_none());
}
