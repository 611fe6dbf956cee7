use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{from_xml, from_xml_within, is_decimal, to_xml};
use crate::fhir::outcome::Issue;

const FHIR: &str = "xmlns=\"http://hl7.org/fhir\"";
const XHTML: &str = "xmlns=\"http://www.w3.org/1999/xhtml\"";

fn patient(inner: &str) -> String {
    format!("<Patient {FHIR}>{inner}</Patient>")
}

fn read(xml: &str) -> Value {
    from_xml(xml.as_bytes()).unwrap_or_else(|issue| panic!("{issue:?}\n{xml}"))
}

fn refused(xml: &str) -> Issue {
    match from_xml(xml.as_bytes()) {
        Ok(value) => panic!("accepted: {xml}\nas {value}"),
        Err(issue) => issue,
    }
}

fn write(value: &Value) -> String {
    String::from_utf8(to_xml(value).unwrap_or_else(|issue| panic!("{issue:?}\n{value}"))).unwrap()
}

fn unwritable(value: &Value) -> Issue {
    match to_xml(value) {
        Ok(xml) => panic!("written: {}", String::from_utf8_lossy(&xml)),
        Err(issue) => issue,
    }
}

#[track_caller]
fn survives(value: &Value) {
    let xml = write(value);
    let back = read(&xml);
    assert_eq!(&back, value, "{xml}");
    // Texts, so that 1.50 is not taken for 1.5.
    let (mut ours, mut theirs) = (back, value.clone());
    ours.sort_all_objects();
    theirs.sort_all_objects();
    assert_eq!(ours.to_string(), theirs.to_string());
}

#[test]
fn a_resource_survives_in_the_order_of_the_specification() {
    let value = json!({
        "birthDate": "1970-01-01",
        "_birthDate": {"extension": [{"url": "http://e.org/x", "valueDateTime": "1970-01-01T01:00:00Z"}]},
        "name": [
            {"given": ["a", null, "c"], "_given": [null, {"id": "g2", "extension":
                [{"valueString": "x", "url": "http://e.org/y"}]}, null], "id": "n1"},
            {"family": "<&>\"'\u{1f600}", "_family": {"id": "f"}}
        ],
        "contained": [
            {"id": "c1", "resourceType": "Organization", "name": "n"},
            {"resourceType": "Basic"}
        ],
        "active": false,
        "multipleBirthInteger": -2_147_483_648,
        "id": "p",
        "_id": {"extension": [{"url": "u", "valueBoolean": true}]},
        "resourceType": "Patient",
        "meta": {"profile": ["http://a.org"], "versionId": "3"},
        "extension": [{"url": "e", "extension": [{"url": "i", "_valueCode": {"extension":
            [{"url": "r", "valueUri": "x"}]}}]}],
    });
    survives(&value);
    let text = write(&value);
    let at = |part: &str| {
        text.find(part)
            .unwrap_or_else(|| panic!("{part} in {text}"))
    };
    assert!(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Patient xmlns=\"http://hl7.org/fhir\"><id value=\"p\""));
    let order = [
        "<meta>",
        "<contained>",
        "<active ",
        "<name id=\"n1\"",
        "<birthDate ",
        "<multipleB",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])));
    let keys: Vec<_> = read(&text).as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys[..4], ["resourceType", "id", "_id", "meta"]);
}

#[test]
fn primitives_without_quotes_have_ids_and_extensions() {
    let extension = json!({"extension": [{"url": "http://e.org/x", "_valueBoolean": {"id": "v"}, "valueBoolean": true}]});
    let mut both = extension.clone();
    both["id"] = "i<\"&".into();
    for (name, value) in [
        ("valueBoolean", json!(true)),
        ("valueInteger", json!(-3)),
        ("valueDecimal", "1.50".parse().unwrap()),
        ("valuePositiveInt", json!(7)),
        ("valueUnsignedInt", json!(0)),
    ] {
        for extra in [json!({"id": "i"}), extension.clone(), both.clone()] {
            let mut parameter = json!({"name": "p"});
            parameter[format!("_{name}")] = extra;
            survives(&json!({"resourceType": "Parameters", "parameter": [parameter]}));
            parameter[name] = value.clone();
            survives(&json!({"resourceType": "Parameters", "parameter": [parameter]}));
        }
    }
    // In arrays, beside nothing and alone.
    for extra in [json!({"id": "i"}), extension, both] {
        survives(&json!({"resourceType": "Claim", "item": [{
            "sequence": 1, "_sequence": extra,
            "careTeamSequence": [1, null, 3], "_careTeamSequence": [null, extra, extra],
        }]}));
        survives(
            &json!({"resourceType": "MolecularSequence", "quality": [{"roc": {
                "score": [1, 2], "_score": [extra, null],
                "precision": [0.5, 1], "_precision": [extra, extra],
            }}]}),
        );
    }
    // What takes the place of an id inside is nothing that can be sent.
    let url = "<active value=\"true\"><extension url=\"&#1;x\"/></active>";
    assert_eq!(refused(&patient(url)).code, "value");
    let id = read(&patient("<active value=\"true\" id=\"i\"/>"));
    assert_eq!(
        id,
        json!({"resourceType": "Patient", "active": true, "_active": {"id": "i"}})
    );
}

#[test]
fn numbers_keep_their_digits() {
    for text in [
        "1.50",
        "0.0100",
        "-0.0",
        "0",
        "-0",
        "3000000000",
        "1e+5",
        "1.0e-12",
        "123456789012345678901234567890.123456789012345678901234567890",
        "18446744073709551616",
        "9223372036854775808",
        "100000000000000000000",
    ] {
        let number: Value = text.parse().unwrap();
        survives(&json!({"resourceType": "Observation", "valueQuantity": {"value": number}}));
    }
    let observation = |value: &str| {
        format!(
            "<Observation {FHIR}><valueQuantity><value value=\"{value}\"/></valueQuantity></Observation>"
        )
    };
    for (text, number) in [
        ("1e5", "1e+5"),
        ("1E-5", "1e-5"),
        ("007.1", ""),
        ("+1", ""),
        ("1.", ""),
        (".5", ""),
        ("NaN", ""),
        ("0x1", ""),
        ("1e", ""),
        ("- 1", ""),
        (" 1", ""),
    ] {
        match from_xml(observation(text).as_bytes()) {
            Ok(value) => assert_eq!(value["valueQuantity"]["value"].to_string(), number),
            Err(issue) => assert_eq!((number, issue.code), ("", "value"), "{text}"),
        }
    }
    assert_eq!(refused(&observation(&"1".repeat(65))).code, "value");
}

#[test]
fn integers_are_never_wrapped_round() {
    for number in [
        "3000000000",
        "2147483648",
        "-2147483649",
        "1.0",
        "1e2",
        "-0",
        "99999999999999999999",
    ] {
        let value: Value = number.parse().unwrap();
        let issue = unwritable(&json!({"resourceType": "Patient", "multipleBirthInteger": value}));
        assert_eq!(issue.expression, "Patient.multipleBirthInteger");
        let issue = refused(&patient(&format!(
            "<multipleBirthInteger value=\"{number}\"/>"
        )));
        assert_eq!(
            (issue.code, issue.expression.as_str()),
            ("value", "Patient.multipleBirthInteger")
        );
    }
    assert_eq!(
        read(&patient("<multipleBirthInteger value=\"+5\"/>"))["multipleBirthInteger"],
        json!(5)
    );
    survives(&json!({"resourceType": "Bundle", "type": "searchset", "total": 2_147_483_647}));
    survives(
        &json!({"resourceType": "Encounter", "diagnosis": [{"rank": 1, "condition": {"display": "x"}}]}),
    );
}

#[test]
fn kinds_of_values_must_fit() {
    for (value, expression) in [
        (
            json!({"resourceType": "Patient", "active": "true"}),
            "Patient.active",
        ),
        (
            json!({"resourceType": "Patient", "birthDate": 1970}),
            "Patient.birthDate",
        ),
        (
            json!({"resourceType": "Patient", "name": {"family": "x"}}),
            "Patient.name",
        ),
        (
            json!({"resourceType": "Patient", "name": [{"given": "x"}]}),
            "Patient.name[0].given",
        ),
        (
            json!({"resourceType": "Patient", "gender": ["male"]}),
            "Patient.gender",
        ),
        (
            json!({"resourceType": "Patient", "maritalStatus": [{"text": "x"}]}),
            "Patient.maritalStatus",
        ),
        (
            json!({"resourceType": "Patient", "name": []}),
            "Patient.name",
        ),
        (
            json!({"resourceType": "Patient", "name": [{}]}),
            "Patient.name[0]",
        ),
        (
            json!({"resourceType": "Patient", "name": [null]}),
            "Patient.name[0]",
        ),
        (
            json!({"resourceType": "Patient", "name": [{"given": [null]}]}),
            "Patient.name[0].given[0]",
        ),
        (
            json!({"resourceType": "Patient", "birthDate": null}),
            "Patient.birthDate",
        ),
        (
            json!({"resourceType": "Patient", "birthDate": ""}),
            "Patient.birthDate",
        ),
        (
            json!({"resourceType": "Patient", "birthDate": "a\u{1}b"}),
            "Patient.birthDate",
        ),
        (
            json!({"resourceType": "Patient", "_birthDate": {"x": 1}}),
            "Patient.birthDate",
        ),
        (
            json!({"resourceType": "Patient", "_name": [{"id": "x"}]}),
            "Patient.name",
        ),
        (
            json!({"resourceType": "Patient", "color": "red"}),
            "Patient",
        ),
        (
            json!({"resourceType": "Patient", "extension": [{"url": "x", "_url": {"id": "y"}}]}),
            "Patient.extension[0].url",
        ),
        (
            json!({"resourceType": "Patient", "contained": [{"id": "x"}]}),
            "Patient.contained[0]",
        ),
        (
            json!({"resourceType": "Patient", "contained": [{"resourceType": "Patent"}]}),
            "Patient.contained[0]",
        ),
        (json!({"resourceType": "HumanName"}), "HumanName"),
        (json!({"resourceType": "Resource"}), "Resource"),
        (
            json!({"resourceType": "Patient", "text": {"status": "generated", "_div": {"id": "x"}}}),
            "Patient.text.div",
        ),
    ] {
        assert_eq!(unwritable(&value).expression, expression, "{value}");
    }
    assert_eq!(unwritable(&json!([])).code, "structure");
    assert_eq!(unwritable(&json!({"name": "x"})).code, "structure");
}

#[test]
fn text_in_attributes_survives_every_reader() {
    let value =
        json!({"resourceType": "Patient", "name": [{"text": " a\nb\tc\r\nd  ]]> \" ' é "}]});
    survives(&value);
    let xml = write(&value);
    assert!(xml.contains("a&#10;b&#9;c&#13;&#10;d"), "{xml}");
    // As any XML reader does with the characters themselves.
    let plain = patient("<name><text value=\"a\r\nb\tc &#x20AC;&lt;&apos;\"/></name>");
    assert_eq!(read(&plain)["name"][0]["text"], "a b c €<'");
}

fn narrative(div: &str) -> Value {
    json!({"resourceType": "Patient", "text": {"status": "generated", "div": div}})
}

#[test]
fn narrative_crosses_byte_for_byte() {
    for inner in [
        "a &amp; <b>bold</b> tail",
        "\n  <p>  spaced\t\r\n</p> <br/><br /> &lt;tag&gt; &#160;&#xA0; <!-- kept -- -->"
            .replace("-- --", "--")
            .as_str(),
        "<div><div>nested</div></div>",
        "<p title='single \" quoted' class=\"x > y\">é\u{1f600}</p >",
        "<![CDATA[ <raw> & ]]>",
        "<div xmlns=\"http://www.w3.org/1999/xhtml\">0</div>",
        "",
        "<a name=\"x\" xml:lang=\"en\"  href = \"#y\" >z</a>",
        "value=\"&quot;\"",
    ] {
        survives(&narrative(&format!("<div {XHTML}>{inner}</div>")));
    }
    survives(&narrative(&format!("<div {XHTML}/>")));
    survives(&narrative(&format!(
        "<div class=\"x\" {XHTML} lang='de'><p>x</p></div>"
    )));
}

#[test]
fn narratives_of_nested_resources_keep_their_places() {
    let text = |inner: &str| json!({"status": "generated", "div": format!("<div {XHTML}>{inner} &amp; <b>x</b> y</div>")});
    survives(&json!({
        "resourceType": "Bundle", "type": "collection",
        "entry": [
            {"resource": {"resourceType": "Patient", "text": text("one"),
                "contained": [{"resourceType": "Basic", "id": "b", "text": text("two")}]}},
            {"fullUrl": "urn:x", "resource": {"resourceType": "Composition", "section": [
                {"text": text("three"), "section": [{"text": text("four")}]}], "text": text("five")}},
            {"resource": {"resourceType": "Parameters", "parameter": [{"name": "p", "part": [
                {"name": "q", "part": [{"name": "r", "resource":
                    {"resourceType": "Patient", "text": text("six")}}]}]}]}},
            {"response": {"status": "200", "outcome": {"resourceType": "OperationOutcome", "text": text("seven"),
                "issue": [{"severity": "error", "code": "invalid"}]}}}
        ]
    }));
}

#[test]
fn narrative_is_mended_where_xml_needs_it() {
    let xml = write(&narrative("\n<div>a&nbsp;b &copy; &amp; &#233;</div> "));
    assert!(
        xml.contains(&format!("<div {XHTML}>a&#160;b &#169; &amp; &#233;</div>")),
        "{xml}"
    );
    // Prefixes around the narrative are the document's affair.
    let prefixed = format!(
        "<f:Patient xmlns:f=\"http://hl7.org/fhir\" {XHTML}><f:text><f:status value=\"empty\"/><div> x <i>y</i></div></f:text></f:Patient>"
    );
    assert_eq!(
        read(&prefixed)["text"]["div"],
        format!("<div {XHTML}> x <i>y</i></div>")
    );
}

#[test]
fn broken_narrative_is_refused_both_ways() {
    for div in [
        "text".to_owned(),
        format!("<p {XHTML}>x</p>"),
        format!("<div {XHTML}>x"),
        format!("<div {XHTML}>x</div><div {XHTML}>y</div>"),
        format!("<div {XHTML}>x</div></text><active value='true'/><text>"),
        format!("<div {XHTML}><p>x</div></p>"),
        format!("<div {XHTML}>&undefined;</div>"),
        format!("<div {XHTML}>& x</div>"),
        format!("<div {XHTML}>&#1;</div>"),
        format!("<div {XHTML}>&#xFFFE;</div>"),
        format!("<div {XHTML}>]]></div>"),
        format!("<div {XHTML}><p title=\"&undefined;\"/></div>"),
        format!("<div {XHTML}><p title=\"<\"/></div>"),
        format!("<div {XHTML}><p a=\"1\"b=\"2\"/></div>"),
        format!("<div {XHTML}><p a=\"1\" a=\"2\"/></div>"),
        format!("<div {XHTML}><p a=1/></div>"),
        format!("<div {XHTML}><p a/></div>"),
        format!(
            "<div {XHTML}><p {}/></div>",
            (0..65).map(|n| format!("a{n}=\"\" ")).collect::<String>()
        ),
        format!("<div {XHTML}><o:p>x</o:p></div>"),
        format!("<div {XHTML}><p o:x=\"y\"/></div>"),
        format!("<div {XHTML}><p {FHIR}>x</p></div>"),
        format!("<div {XHTML}><p xmlns=\"\">x</p></div>"),
        format!("<div {FHIR}>x</div>"),
        format!("<div {XHTML}><?php ?></div>"),
        format!("<!DOCTYPE div><div {XHTML}/>"),
        format!(
            "<div {XHTML}>{}{}</div>",
            "<b>".repeat(64),
            "</b>".repeat(64)
        ),
        "<h:div xmlns:h=\"http://www.w3.org/1999/xhtml\"><h:p>x</h:p></h:div>".to_owned(),
        format!("<div {XHTML}>\u{1}</div>"),
    ] {
        assert_eq!(
            unwritable(&narrative(&div)).expression,
            "Patient.text.div",
            "{div}"
        );
        refused(&patient(&format!(
            "<text><status value=\"generated\"/>{div}</text>"
        )));
    }
    refused(&patient(&format!("<div {XHTML}>x</div>")));
    refused(&patient(&format!(
        "<text><div {XHTML}/><div {XHTML}/></text>"
    )));
    refused(&patient("<text><div value=\"x\"/></text>"));
}

#[test]
fn structure_that_r4_does_not_have_is_refused() {
    for (inner, expression) in [
        (
            "<name><family value=\"a\"/><family value=\"b\"/></name>",
            "Patient.name[0]",
        ),
        ("<name/>", "Patient.name[0]"),
        ("<birthDate/>", "Patient.birthDate"),
        ("<birthDate value=\"\"/>", "Patient.birthDate"),
        ("<birthDate value=\"&unknown;\"/>", "Patient.birthDate"),
        ("<birthDate value=\"&#1;\"/>", "Patient.birthDate"),
        ("<birthDate value=\"1\" value=\"2\"/>", "Patient.birthDate"),
        ("<birthDate value=1/>", "Patient.birthDate"),
        ("<birthDate VALUE=\"1\"/>", "Patient.birthDate"),
        ("<birthDate url=\"1\"/>", "Patient.birthDate"),
        (
            "<birthDate value=\"1\"><id value=\"2\"/></birthDate>",
            "Patient.birthDate",
        ),
        (
            "<birthDate value=\"1\">text</birthDate>",
            "Patient.birthDate",
        ),
        ("<active value=\"1\"/>", "Patient.active"),
        ("<color value=\"red\"/>", "Patient"),
        ("<name value=\"x\"/>", "Patient.name[0]"),
        ("<name><id value=\"x\"/></name>", "Patient.name[0]"),
        (
            "<extension><url value=\"x\"/></extension>",
            "Patient.extension[0]",
        ),
        ("<contained/>", "Patient.contained[0]"),
        (
            "<contained id=\"x\"><Basic/></contained>",
            "Patient.contained[0]",
        ),
        (
            "<contained><Basic/><Basic/></contained>",
            "Patient.contained[0]",
        ),
        (
            "<contained><Basic id=\"x\"/></contained>",
            "Patient.contained[0]",
        ),
        ("<contained><basic/></contained>", "Patient.contained[0]"),
        ("<Basic/>", "Patient"),
        ("text", "Patient"),
        ("&#32;", "Patient"),
        ("<![CDATA[ ]]>", "Patient"),
        ("<?pi?>", "Patient"),
        (
            "<name xmlns=\"http://example.org\"><family value=\"x\"/></name>",
            "Patient",
        ),
        ("<x:name><family value=\"x\"/></x:name>", "Patient"),
        (
            "<name xmlns:x=\"http://example.org\" x:id=\"x\"/>",
            "Patient.name[0]",
        ),
    ] {
        let issue = refused(&patient(inner));
        assert_eq!(issue.expression, expression, "{inner} {issue:?}");
        assert!(
            issue.diagnostics.starts_with("XML line 1 column "),
            "{issue:?}"
        );
    }
    for xml in [
        "",
        " ",
        "x",
        "<",
        "<Patient",
        "<Patient/>",
        "<!-- x -->",
        "<Patient xmlns=\"urn:hl7-org:v3\"/>",
        "<patient xmlns=\"http://hl7.org/fhir\"/>",
        "<HumanName xmlns=\"http://hl7.org/fhir\"><family value=\"x\"/></HumanName>",
        "<Patient xmlns=\"http://hl7.org/fhir\">",
        "<Patient xmlns=\"http://hl7.org/fhir\"></patient>",
        "<Patient xmlns=\"http://hl7.org/fhir\"/><Patient xmlns=\"http://hl7.org/fhir\"/>",
        "<Patient xmlns=\"http://hl7.org/fhir\"/>x",
        "</Patient>",
        "<?xml version=\"1.1\"?><Patient xmlns=\"http://hl7.org/fhir\"/>",
        "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><Patient xmlns=\"http://hl7.org/fhir\"/>",
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?><Patient xmlns=\"http://hl7.org/fhir\"/>",
        "<Patient xmlns=\"http://hl7.org/fhir\"/><?xml version=\"1.0\"?>",
        "<?xml-stylesheet href=\"x\"?><Patient xmlns=\"http://hl7.org/fhir\"/>",
        "<!DOCTYPE Patient><Patient xmlns=\"http://hl7.org/fhir\"/>",
        "<!DOCTYPE Patient SYSTEM \"file:///etc/passwd\"><Patient xmlns=\"http://hl7.org/fhir\"/>",
        "<!ENTITY x \"y\"><Patient xmlns=\"http://hl7.org/fhir\"/>",
    ] {
        refused(xml);
    }
    let utf16: Vec<u8> = "<Patient/>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(from_xml(&[&b"\xff\xfe"[..], &utf16].concat()).is_err());
}

#[test]
fn harmless_variety_is_read() {
    let xml = format!(
        "\u{feff}<?xml version='1.0' encoding='utf-8' standalone='yes'?>\n<!-- c -->\n<Patient {FHIR} \
         xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xsi:schemaLocation='http://hl7.org/fhir x.xsd'>\
         <!-- c --><id value='p'></id><birthDate\n value = '1970'\t/><name><!-- c --><family value='x'/></name>\
         <gender value='male'/></Patient>\n<!-- c -->\n"
    );
    assert_eq!(
        read(&xml).to_string(),
        r#"{"resourceType":"Patient","id":"p","name":[{"family":"x"}],"gender":"male","birthDate":"1970"}"#
    );
    assert_eq!(
        read(&format!("<Basic {FHIR}/>")),
        json!({"resourceType": "Basic"})
    );
    assert_eq!(
        read(&patient(
            "<contained><Basic/></contained><active value=\"true\"/>"
        )),
        json!({"resourceType": "Patient", "contained": [{"resourceType": "Basic"}], "active": true})
    );
}

#[test]
fn messages_never_echo() {
    for inner in [
        "<SECRET/>",
        "<birthDate SECRET=\"1\"/>",
        "<active value=\"SECRET\"/>",
        "SECRET",
        "&SECRET;",
        "<x:SECRET/>",
        "<name></SECRET>",
        "<birthDate value=\"&SECRET;\"/>",
        "<?SECRET?>",
        "<name xmlns=\"SECRET\"/>",
        "<name SECRET/>",
        "<name xmlns:xml=\"SECRET\"/>",
        "<!SECRET>",
    ] {
        let issue = refused(&patient(inner));
        assert!(!format!("{issue:?}").contains("SECRET"), "{issue:?}");
    }
}

/// Runs on a thread with the stack that tokio gives its own.
#[track_caller]
fn quickly(work: impl FnOnce() + Send + 'static) {
    let begin = Instant::now();
    let thread = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(work)
        .unwrap();
    assert!(thread.join().is_ok());
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn bombs_are_refused_quickly() {
    quickly(|| {
        let laughs = format!(
            "<!DOCTYPE lolz [<!ENTITY lol \"lol\">{}]><Patient {FHIR}><name><family value=\"&lol9;\"/></name></Patient>",
            (1..10)
                .map(|n| format!("<!ENTITY lol{n} \"&lol;&lol;&lol;&lol;&lol;\">"))
                .collect::<String>()
        );
        assert_eq!(refused(&laughs).code, "not-supported");
    });
    quickly(|| {
        let deep = patient(&"<extension>".repeat(10_000));
        assert_eq!(refused(&deep).code, "too-costly");
        let deep = patient(&format!("<text><div {XHTML}>{}", "<b>".repeat(100_000)));
        assert_eq!(refused(&deep).code, "too-costly");
    });
    quickly(|| {
        let attributes: String = (0..200_000).map(|n| format!(" a{n}=\"\"")).collect();
        assert_eq!(
            refused(&patient(&format!("<name{attributes}/>"))).code,
            "too-costly"
        );
        let spaces: String = (0..50_000)
            .map(|n| format!(" xmlns:a{n}=\"u{n}\""))
            .collect();
        refused(&patient(&format!("<name{spaces}/>")));
        refused(&patient(&"<".repeat(1_000_000)));
        refused(&patient(&"&".repeat(1_000_000)));
        refused(&patient(&format!(
            "<name><family value=\"{}\"/></name>",
            "&#".repeat(500_000)
        )));
    });
    assert_eq!(
        from_xml_within(b"<Patient/>", 9).unwrap_err().code,
        "too-long"
    );
}

#[test]
fn the_deepest_that_is_accepted_fits_the_stack() {
    quickly(|| {
        // 62 nested extensions, and as many items, are as deep as both formats allow.
        let mut value = json!({"url": "x", "valueString": "y"});
        for _ in 0..29 {
            value = json!({"url": "x", "extension": [value]});
        }
        survives(&json!({"resourceType": "Patient", "extension": [value.clone()]}));
        value = json!({"url": "x", "extension": [value]});
        value = json!({"url": "x", "extension": [value]});
        value = json!({"url": "x", "extension": [value]});
        let xml = write(&json!({"resourceType": "Patient", "extension": [value.clone()]}));
        assert_eq!(refused(&xml).code, "too-costly");
        for _ in 0..64 {
            value = json!({"url": "x", "extension": [value]});
        }
        assert_eq!(
            unwritable(&json!({"resourceType": "Patient", "extension": [value]})).code,
            "too-costly"
        );
        let deepest = patient(&format!(
            "{}<valueString value=\"x\"/>{}",
            "<extension url=\"x\">".repeat(62),
            "</extension>".repeat(62)
        ));
        assert_eq!(refused(&deepest).code, "too-costly");
    });
}

#[test]
fn decimals_are_json_numbers() {
    for text in ["0", "-1", "10", "1.0", "1e5", "1E+5", "-0.5e-7"] {
        assert!(is_decimal(text), "{text}");
    }
    for text in [
        "", "-", "01", "00", "1.", ".1", "1e", "1e+", "1 ", "+1", "1e5.5", "1,5", "٣",
    ] {
        assert!(!is_decimal(text), "{text}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    "[\\PC\n\t\r<>&\"']{1,20}".prop_filter("XML", |text| text.chars().all(super::is_xml_char))
}

proptest! {
    #[test]
    fn any_string_survives(text in any_text(), div in any_text()) {
        let div = format!("<div {XHTML}>{}</div>", quick_xml::escape::escape(&div));
        survives(&json!({
            "resourceType": "Observation",
            "text": {"status": "additional", "div": div},
            "extension": [{"url": text, "valueString": text}],
            "note": [{"text": text}],
            "valueString": text,
        }));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = from_xml(&bytes);
    }

    #[test]
    fn arbitrary_markup_never_panics(
        inner in "(<|</|>|/>|=|\"|'|&|;|#|!|\\?|-|\\[|\\]| |id|value|url|name|extension|contained|Basic|text|div|xmlns|x|:|\n){0,40}",
    ) {
        let _ = from_xml(inner.as_bytes());
        let _ = from_xml(patient(&inner).as_bytes());
        let _ = from_xml(patient(&format!("<text><div {XHTML}>{inner}</div></text>")).as_bytes());
        let _ = to_xml(&narrative(&inner));
        let _ = to_xml(&narrative(&format!("<div>{inner}</div>")));
    }

    // Whatever narrative is accepted on one way must come through the other unharmed.
    #[test]
    fn accepted_narrative_is_safe_narrative(inner in "(<b>|</b>|<br/>|<p a=\"1\">|</p>|&amp;|&#9;| |\n|x|<!--|-->|<!\\[CDATA\\[|\\]\\]>|'|\"|/>|<){0,20}") {
        let value = narrative(&format!("<div {XHTML}>{inner}</div>"));
        if to_xml(&value).is_ok() {
            survives(&value);
        }
    }
}
