//! The CapabilityStatement is what is there.

use serde_json::Value;

use crate::rest_support::each_api;

each_api! {
    async fn the_statement_is_public_and_says_what_the_server_does(api: &Api) {
        let answer = api.bare("GET", "metadata").send().await.is(200);
        let statement = answer.json();
        let problems = candor::fhir::validate::validate(&statement);
        assert!(problems.is_empty(), "{problems:#?}");
        let mut rest = statement["rest"][0].clone();
        let resources = rest["resource"].take();
        let resources = resources.as_array().unwrap();
        assert_eq!(resources.len(), 146);
        let mut patient = resources
            .iter()
            .find(|one| one["type"] == "Patient")
            .unwrap()
            .clone();
        // The lists are long and not the point; a few of each.
        for name in ["searchRevInclude", "searchParam"] {
            let list = patient[name].as_array_mut().unwrap();
            assert!(list.len() > 10);
            list.retain(|one| {
                one == "Provenance:target" || matches!(one["name"].as_str(), Some("birthdate" | "name"))
            });
        }
        let mut shown = statement.clone();
        shown["rest"] = Value::from(vec![rest]);
        shown["rest"][0]["resource"] = Value::from(vec![patient]);
        insta::assert_json_snapshot!("capability_statement", shown);
    }

    async fn modes_are_tolerated_or_explained(api: &Api) {
        for mode in ["full", "normative"] {
            api.bare("GET", &format!("metadata?mode={mode}"))
                .send()
                .await
                .is(200);
        }
        api.bare("GET", "metadata?mode=terminology")
            .send()
            .await
            .issue(501);
        api.bare("GET", "metadata?mode=partial")
            .send()
            .await
            .issue(400);
    }
}
