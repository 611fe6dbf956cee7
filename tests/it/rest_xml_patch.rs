//! PATCH: XML Patch (RFC 5261), alone, conditional and in bundles.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::rest_support::{
    Answer, Api, CLINICIAN, SYSTEM, a_patient, a_psychologist, a_psychotherapy_note, each_api,
    patient,
};

const XML_PATCH: &str = "application/xml-patch+xml";

/// A `<diff>` with FHIR's prefix `f` and XHTML's `h`.
fn diff(operations: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<diff xmlns:f=\"http://hl7.org/fhir\" \
         xmlns:h=\"http://www.w3.org/1999/xhtml\">\n  {operations}\n</diff>"
    )
}

async fn xml_patch(api: &Api, token: &str, path: &str, operations: &str) -> Answer {
    api.call(token, "PATCH", path)
        .body(XML_PATCH, diff(operations))
        .send()
        .await
}

/// With a narrative, a primitive's extension, decimals and repeats.
fn a_full_patient() -> Value {
    json!({
        "resourceType": "Patient", "id": "p",
        "text": {"status": "generated", "div":
            "<div xmlns=\"http://www.w3.org/1999/xhtml\"><!-- kept --><p>Ana &amp; co</p></div>"},
        "extension": [{"url": "http://example.org/weight", "valueDecimal": serde_json::from_str::<Value>("1.50").unwrap()}],
        "active": true,
        "name": [
            {"use": "official", "family": "Ruiz", "given": ["Ana", "Maria"]},
            {"use": "nickname", "given": ["Anita"]},
        ],
        "gender": "female",
        "_birthDate": {"extension": [{"url": "http://example.org/when", "valueString": "dawn"}]},
        "birthDate": "1984-02-29",
    })
}

each_api! {
    async fn xml_patch_changes_what_it_selects(api: &Api) {
        api.put(SYSTEM, &a_full_patient()).await.is(201);
        let answer = xml_patch(api, SYSTEM, "Patient/p", "
            <!-- values -->
            <replace sel='f:Patient/f:gender/@value'>other</replace>
            <replace sel='/f:Patient/f:name[2]/f:given/@value'>A &amp; B</replace>
            <add sel='f:Patient/f:name[f:use/@value=\"official\"]'><f:given value='Luz'/></add>
            <add sel='f:Patient/f:name[1]/f:given[1]' pos='before'><f:prefix value='Dr'/></add>
            <add sel='*/f:name[last()]' pos='after'><f:name><f:text value='New'/></f:name></add>
            <remove sel='f:Patient/f:name[1]/f:given[@value=\"Maria\"]' ws='both'/>
            <replace sel='f:Patient/f:active'><f:active value='false'/></replace>
            <add sel='f:Patient/f:gender' type='@id'>g</add>
            <remove sel='f:Patient/f:birthDate/f:extension'/>
            <add sel='f:Patient'><multipleBirthInteger value='2'/>
                <!-- apart from its like --><f:name><f:text value='Late'/></f:name></add>
        ").await.is(200);
        assert_eq!(answer.header("etag"), Some("W/\"2\""));
        let read = answer.json();
        let mut expected = a_full_patient();
        expected["gender"] = json!("other");
        expected["_gender"] = json!({"id": "g"});
        expected["name"] = json!([
            {"use": "official", "family": "Ruiz", "given": ["Ana", "Luz"], "prefix": ["Dr"]},
            {"use": "nickname", "given": ["A & B"]},
            {"text": "New"},
            {"text": "Late"},
        ]);
        expected["active"] = json!(false);
        expected["multipleBirthInteger"] = json!(2);
        expected.as_object_mut().unwrap().shift_remove("_birthDate");
        expected["meta"] = read["meta"].clone();
        assert_eq!(read, expected, "{read}");
        // To the letter.
        assert!(answer.text().contains("1.50"));
        assert_eq!(api.get(SYSTEM, "Patient/p").await.json(), read);
        let found = api.get(SYSTEM, "Patient?gender=other").await.json();
        assert_eq!(found["total"], 1);
        let history = api.get(SYSTEM, "Patient/p/_history").await.json();
        assert_eq!(history["entry"][0]["request"]["method"], "PATCH");
        // What a patch empties is gone, up to where something is left.
        let read = xml_patch(api, SYSTEM, "Patient/p", "
            <remove sel='f:Patient/f:name[4]'/>
            <remove sel='f:Patient/f:name[3]/f:text/@value'/>
            <remove sel='f:Patient/f:name[2]/f:given'/><remove sel='f:Patient/f:name[2]/f:use'/>
            <remove sel='f:Patient/f:name[1]'/>
        ").await.is(200).json();
        assert!(read.get("name").is_none(), "{read}");
    }

    async fn xml_patch_goes_into_narratives_and_by_default_namespaces(api: &Api) {
        api.put(SYSTEM, &a_full_patient()).await.is(201);
        let read = xml_patch(api, SYSTEM, "Patient/p", "
            <replace sel='f:Patient/f:text/h:div/h:p/text()'>Ana &lt;Ruiz&gt;</replace>
            <add sel='f:Patient/f:text/h:div'><h:hr/></add>
        ").await.is(200).json();
        assert_eq!(read["text"]["div"], "<div xmlns=\"http://www.w3.org/1999/xhtml\">\
            <!-- kept --><p>Ana &lt;Ruiz&gt;</p><hr/></div>");
        // FHIR's namespace as the default, and none at all.
        for (start, gender) in [
            ("<d:diff xmlns='http://hl7.org/fhir' xmlns:d='urn:ietf:params:xml:ns:x'>", "male"),
            ("<diff>", "unknown"),
        ] {
            let end = if start.starts_with("<d:") { "</d:diff>" } else { "</diff>" };
            let tag = if start.starts_with("<d:") { "d:replace" } else { "replace" };
            let body = format!(
                "{start}<{tag} sel=\"Patient/gender\"><gender value=\"{gender}\"/></{tag}>{end}");
            let read = api.call(SYSTEM, "PATCH", "Patient/p").body(XML_PATCH, body).send().await
                .is(200).json();
            assert_eq!(read["gender"], gender);
        }
        // A script is refused like in an update.
        let script = "<add sel='f:Patient/f:text/h:div'><h:script>x</h:script></add>";
        xml_patch(api, SYSTEM, "Patient/p", script).await.issue(400);
    }

    async fn xml_patches_that_do_not_fit_are_refused_and_change_nothing(api: &Api) {
        api.put(SYSTEM, &a_full_patient()).await.is(201);
        for (operations, status, words) in [
            ("<remove sel='f:Patient/f:telecom'/>", 422, "finds none or several"),
            ("<remove sel='f:Patient/f:name'/>", 422, "finds none or several"),
            ("<remove sel='f:Patient/f:gender/@id'/>", 422, "finds none or several"),
            ("<remove sel='f:Person/f:gender'/>", 422, "finds none"),
            ("<remove sel='f:Patient'/>", 422, "itself stays"),
            ("<add sel='f:Patient' pos='after'><f:active value='true'/></add>", 422, "beside"),
            ("<add sel='f:Patient/f:gender' type='@value'>male</add>", 422, "already"),
            ("<add sel='f:Patient/f:gender/@value'><f:x/></add>", 422, "must find an element"),
            ("<replace sel='f:Patient/f:gender'>male</replace>", 422, "/@value"),
            ("<replace sel='f:Patient/f:gender/@value'><f:x/></replace>", 422, "without elements"),
            ("<add sel='f:Patient'><f:nonsense value='x'/></add>", 422, "R4 does not have here"),
            ("<add sel='f:Patient'><f:gender value='male'/></add>", 422, "may occur once"),
            ("<add sel='f:Patient'><f:deceasedBoolean/></add>", 422, "neither value nor children"),
            ("<replace sel='f:Patient/f:active/@value'>maybe</replace>", 422, "`true` or `false`"),
            ("<replace sel='f:Patient/f:gender/@value'>purple</replace>", 400, ""),
            ("<replace sel='f:Patient/f:id/@value'>q</replace>", 400, ""),
            ("<replace sel='*'><f:Person/></replace>", 400, ""),
            ("<brew sel='f:Patient'/>", 400, "add, replace and remove"),
            ("text", 400, "only add, replace and remove"),
            ("<remove/>", 400, "`sel`"),
            ("<remove sel='f:Patient/f:name[1]'>x</remove>", 400, "no content"),
            ("<add sel='f:Patient'/>", 400, "nothing to add"),
            ("<add sel='f:Patient' pos='under'><f:active value='true'/></add>", 400, "pos"),
            ("<add sel='f:Patient' type='namespace::x'>urn:x</add>", 400, "type"),
            ("<remove sel='f:Patient/f:gender' colour='red'/>", 400, "RFC 5261"),
            ("<remove sel='//f:gender'/>", 400, "selector"),
            ("<remove sel='f:Patient/descendant::f:gender'/>", 400, "selector"),
            ("<remove sel='f:Patient/f:name[count(f:given)>1]'/>", 400, "selector"),
            ("<remove sel='id(\"x\")'/>", 400, "id()"),
            ("<remove sel='x:Patient/x:gender'/>", 400, "not declared"),
            ("<remove sel=''/>", 400, "selector"),
            ("<remove sel='f:Patient'", 400, "malformed"),
            ("<add sel='f:Patient'><f:name></add>", 400, "well-formed"),
            ("<add sel='f:Patient'>&xxe;</add>", 400, "entity"),
        ] {
            let (_, text, _) = xml_patch(api, SYSTEM, "Patient/p", operations).await.issue(status);
            assert!(text.contains(words), "{operations}: {text}");
            assert!(!text.contains("XML line"), "{text}");
        }
        let many = "<remove sel='f:Patient/f:gender'/>".repeat(1001);
        xml_patch(api, SYSTEM, "Patient/p", &many).await.issue(400);
        for body in [
            "<!DOCTYPE diff [<!ENTITY a 'b'>]><diff/>",
            "<patch/>",
            "<diff/><diff/>",
            "",
            "{}",
        ] {
            api.call(SYSTEM, "PATCH", "Patient/p").body(XML_PATCH, body).send().await.issue(400);
        }
        let stands = api.get(SYSTEM, "Patient/p").await.json();
        assert_eq!(stands["meta"]["versionId"], "1");
        // No operation at all changes nothing but the version, as an empty JSON Patch does.
        api.call(SYSTEM, "PATCH", "Patient/p").body(XML_PATCH, "<diff/>").send().await.is(200);
    }

    async fn xml_patches_that_grow_are_stopped(api: &Api) {
        api.put(SYSTEM, &a_full_patient()).await.is(201);
        // Deeper with every step.
        let mut operations = String::new();
        let mut at = "f:Patient".to_owned();
        for step in 0..80 {
            operations.push_str(&format!(
                "<add sel='{at}'><f:extension url='x'/></add>"));
            at.push_str(if step == 0 { "/f:extension[last()]" } else { "/f:extension" });
        }
        xml_patch(api, SYSTEM, "Patient/p", &operations).await.issue(422);
        let deep = format!("<add sel='f:Patient'>{}{}</add>",
            "<f:extension>".repeat(5_000), "</f:extension>".repeat(5_000));
        let (_, text, _) = xml_patch(api, SYSTEM, "Patient/p", &deep).await.issue(400);
        assert!(text.contains("deep"), "{text}");
        // Selectors that look at everything again and again.
        let names = "<f:name><f:text value='x'/></f:name>".repeat(9_000);
        let costly = format!("<add sel='f:Patient'>{names}</add>{}",
            "<replace sel='f:Patient/f:name[f:text/@value=\"y\"]/@id'>z</replace>");
        let (_, text, _) = xml_patch(api, SYSTEM, "Patient/p", &costly).await.issue(422);
        assert!(text.contains("Operation 1 "), "{text}");
        let costly = format!("<add sel='f:Patient'>{names}</add>{}",
            "<replace sel='f:Patient/f:gender/@value'>male</replace>".repeat(900));
        let (_, text, _) = xml_patch(api, SYSTEM, "Patient/p", &costly).await.issue(422);
        assert!(text.contains("more work"), "{text}");
    }

    async fn conditions_hold_for_xml_patches_and_they_stand_in_bundles(api: &Api) {
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        let body = diff("<replace sel='f:Patient/f:gender/@value'>other</replace>");
        let call = |path: &'static str, tag: &'static str| {
            api.call(SYSTEM, "PATCH", path)
                .header("if-match", tag)
                .body(XML_PATCH, body.clone())
                .send()
        };
        call("Patient/p", "W/\"7\"").await.issue(412);
        call("Patient/p", "W/\"1\"").await.is(200);
        call("Patient?family=Ruiz", "*").await.is(200);
        call("Patient?family=Nobody", "*").await.issue(404);
        let binary = |operations: &str| {
            json!({"request": {"method": "PATCH", "url": "Patient/p"}, "resource": {
                "resourceType": "Binary", "contentType": XML_PATCH,
                "data": BASE64.encode(diff(operations))}})
        };
        let bundle = |entry: Value| {
            json!({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        };
        let good = binary("<replace sel='f:Patient/f:gender/@value'>male</replace>");
        api.post(SYSTEM, "", &bundle(good)).await.is(200);
        assert_eq!(api.get(SYSTEM, "Patient/p").await.json()["gender"], "male");
        let bad = binary("<remove sel='f:Patient/f:telecom'/>");
        let (_, _, at) = api.post(SYSTEM, "", &bundle(bad)).await.issue(422);
        assert_eq!(at, "Bundle.entry[0]");
        // XML out, too.
        let answer = api.call(SYSTEM, "PATCH", "Patient/p")
            .header("accept", "application/fhir+xml").body(XML_PATCH, body.clone()).send().await
            .is(200);
        assert!(answer.text().contains("<gender value=\"other\"/>"), "{}", answer.text());
    }

    async fn an_xml_patch_tells_nothing_of_what_is_withheld(api: &Api) {
        api.put(SYSTEM, &a_psychologist()).await.is(201);
        api.put(SYSTEM, &a_patient("p")).await.is(201);
        api.put(SYSTEM, &a_psychotherapy_note("psy-note", "p")).await.is(201);
        for operations in [
            "<replace sel='f:DocumentReference/f:status/@value'>superseded</replace>",
            "<remove sel='f:DocumentReference/f:nothing'/>",
        ] {
            let held = xml_patch(api, CLINICIAN, "DocumentReference/psy-note", operations).await;
            let unknown = xml_patch(api, CLINICIAN, "DocumentReference/unknown", operations).await;
            assert_eq!((held.status, &held.headers, &held.body),
                (unknown.status, &unknown.headers, &unknown.body));
            held.issue(404);
            let app = xml_patch(api, &patient("p"), "DocumentReference/psy-note", operations).await;
            app.issue(403);
        }
    }
}
