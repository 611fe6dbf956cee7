//! The FHIR API as the server serves it: the authorization server's tokens open it.

use serde_json::Value;

use crate::support::each_database;

each_database! {
    async fn discovery_and_the_api_share_one_base(server: TestServer) {
        let get = |path: &str| server.client().get(server.fhir(path)).send();
        let metadata = get("metadata").await.unwrap();
        assert_eq!(metadata.status(), 200);
        let statement: Value = metadata.json().await.unwrap();
        let base = server.fhir("");
        assert_eq!(statement["implementation"]["url"], base.trim_end_matches('/'));
        let security = &statement["rest"][0]["security"];
        let smart: Value = get(".well-known/smart-configuration")
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let uris = security["extension"][0]["extension"].as_array().unwrap();
        for (name, key) in [
            ("authorize", "authorization_endpoint"),
            ("token", "token_endpoint"),
            ("introspect", "introspection_endpoint"),
            ("revoke", "revocation_endpoint"),
        ] {
            let uri = uris.iter().find(|uri| uri["url"] == name).unwrap();
            assert_eq!(uri["valueUri"], smart[key], "{name}");
        }
        assert_eq!(get("$release-policy").await.unwrap().status(), 200);
        for path in ["", "Patient/p", "Nothing"] {
            let answer = get(path).await.unwrap();
            assert_eq!(answer.status(), 401, "{path}");
            let outcome: Value = answer.json().await.unwrap();
            assert_eq!(outcome["resourceType"], "OperationOutcome");
        }
        let forged = server
            .client()
            .get(server.fhir("Patient/p"))
            .bearer_auth("forged")
            .send()
            .await
            .unwrap();
        assert_eq!(forged.status(), 401);
        // The log and the metrics know the interaction, never the path.
        let metrics = server.client().get(server.url("/metrics")).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        assert!(metrics.contains("route=\"fhir read\""), "{metrics}");
        assert!(!metrics.contains("Patient/p"));
    }
}
