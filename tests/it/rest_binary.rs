//! Binary as content.

use crate::rest_support::{SYSTEM, a_patient, each_api, patient};

each_api! {
    async fn content_goes_in_and_out_in_its_own_type(api: &Api) {
        let pdf = b"%PDF-1.7 \x00\xff";
        let created = api
            .call(SYSTEM, "POST", "Binary")
            .body("application/pdf", pdf.to_vec())
            .send()
            .await
            .is(201);
        let resource = created.json();
        assert_eq!(resource["resourceType"], "Binary");
        assert_eq!(resource["contentType"], "application/pdf");
        let path = format!("Binary/{}", created.id());
        let raw = api
            .call(SYSTEM, "GET", &path)
            .header("accept", "application/pdf")
            .send()
            .await
            .is(200);
        assert_eq!(&raw.body[..], pdf);
        assert_eq!(raw.header("content-type"), Some("application/pdf"));
        assert_eq!(raw.header("content-disposition"), Some("attachment"));
        assert_eq!(raw.header("x-content-type-options"), Some("nosniff"));
        assert!(raw.header("content-security-policy").unwrap().contains("sandbox"));
        assert_eq!(raw.header("etag"), Some("W/\"1\""));
        for accept in ["*/*", "application/fhir+xml;q=0.5, */*", "application/*", ""] {
            let mut asked = api.call(SYSTEM, "GET", &path);
            if !accept.is_empty() {
                asked = asked.header("accept", accept);
            }
            let raw = asked.send().await.is(200);
            assert_eq!(&raw.body[..], pdf, "{accept}");
            assert_eq!(raw.header("content-type"), Some("application/pdf"));
            assert_eq!(raw.header("content-disposition"), Some("attachment"));
            assert!(raw.header("content-security-policy").unwrap().contains("sandbox"));
        }
        // A version as the resource.
        let version = format!("{path}/_history/1");
        for accept in ["application/pdf", "*/*"] {
            let old = api.call(SYSTEM, "GET", &version).header("accept", accept).send().await.is(200);
            assert_eq!(&old.body[..], pdf, "{accept}");
            assert_eq!(old.header("content-type"), Some("application/pdf"));
            assert_eq!(old.header("content-disposition"), Some("attachment"));
        }
        let old = api.call(SYSTEM, "GET", &version).header("accept", "application/fhir+json").send().await;
        assert_eq!(old.is(200).json()["resourceType"], "Binary");
        api.call(SYSTEM, "GET", &format!("{path}/_history/2"))
            .header("accept", "application/pdf").send().await.issue(404);
        let summary = api.get(SYSTEM, &format!("{path}?_summary=true")).await.is(200).json();
        assert_eq!(summary["resourceType"], "Binary");
        for accept in ["application/fhir+json", "application/json"] {
            let answer = api
                .call(SYSTEM, "GET", &path)
                .header("accept", accept)
                .send()
                .await
                .is(200);
            assert_eq!(answer.json()["resourceType"], "Binary", "{accept}");
        }
        api.call(SYSTEM, "GET", &path)
            .header("accept", "application/pdf")
            .header("if-none-match", "W/\"1\"")
            .send()
            .await
            .is(304);
        let put = api
            .call(SYSTEM, "PUT", "Binary/chosen")
            .body("text/html; charset=utf-8", "<script>")
            .send()
            .await
            .is(201);
        assert_eq!(put.json()["contentType"], "text/html;charset=utf-8");
    }

    async fn a_binary_follows_its_security_context(api: &Api) {
        api.put(SYSTEM, &a_patient("a")).await.is(201);
        let created = api
            .call(SYSTEM, "POST", "Binary")
            .header("x-security-context", "Patient/a")
            .body("image/png", b"png".to_vec())
            .send()
            .await
            .is(201);
        assert_eq!(created.json()["securityContext"]["reference"], "Patient/a");
        let path = format!("Binary/{}", created.id());
        let as_image = |token: String| {
            api.call(&token, "GET", &path).header("accept", "image/*").send()
        };
        as_image(patient("a")).await.is(200);
        let version = format!("{path}/_history/1");
        let old = |token: String| api.call(&token, "GET", &version).header("accept", "image/*").send();
        old(patient("a")).await.is(200);
        old(patient("b")).await.issue(404);
        let foreign = as_image(patient("b")).await;
        foreign.issue(404);
        let unknown = api
            .call(&patient("b"), "GET", "Binary/unknown")
            .header("accept", "image/*")
            .send()
            .await;
        assert_eq!(foreign.headers, unknown.headers);
        let foreign_at_all = api.call(&patient("b"), "GET", &path).header("accept", "*/*");
        let unknown_at_all = api.call(&patient("b"), "GET", "Binary/unknown").header("accept", "*/*");
        let (foreign_at_all, unknown_at_all) =
            (foreign_at_all.send().await, unknown_at_all.send().await);
        foreign_at_all.issue(404);
        assert_eq!(foreign_at_all.headers, unknown_at_all.headers);
        assert_eq!(foreign_at_all.body, unknown_at_all.body);
        assert_eq!(foreign.body, unknown.body);
    }
}
