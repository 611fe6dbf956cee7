use serde_json::json;

use super::*;

/// `severity code location` of every issue, without the words.
fn found(resource: &Value) -> Vec<String> {
    validate(resource)
        .iter()
        .map(|issue| format!("{} {} {}", issue.severity, issue.code, issue.expression))
        .collect()
}

#[track_caller]
fn expect(resource: &Value, issues: &[&str]) {
    let found = found(resource);
    let errors: Vec<String> = issues
        .iter()
        .map(|issue| format!("error {issue}"))
        .collect();
    assert_eq!(found, errors, "{:?}", validate(resource));
}

/// A Patient with these properties.
fn patient(properties: Value) -> Value {
    let mut all = json!({"resourceType": "Patient"});
    for (key, value) in properties.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

/// An Observation that is right but for what is added.
fn observation(properties: Value) -> Value {
    let mut all = json!({"resourceType": "Observation", "status": "final", "code": {"text": "x"}});
    for (key, value) in properties.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

/// The issues of one extension value: the shortest way to every primitive type.
fn extension(name: &str, value: Value) -> Vec<Issue> {
    validate(&patient(
        json!({"extension": [{"url": "http://x.test", name: value}]}),
    ))
}

#[track_caller]
fn accepts(name: &str, values: &[Value]) {
    for value in values {
        assert_eq!(extension(name, value.clone()), [], "{name} {value}");
    }
}

#[track_caller]
fn refuses(name: &str, code: &str, values: &[Value]) {
    for value in values {
        let issues = extension(name, value.clone());
        assert_eq!(issues.len(), 1, "{name} {value}: {issues:?}");
        assert_eq!(
            (issues[0].severity, issues[0].code),
            ("error", code),
            "{name} {value}"
        );
        assert_eq!(issues[0].expression, "Patient.extension[0].value");
    }
}

#[test]
fn a_full_resource_passes() {
    expect(
        &patient(json!({
            "id": "a-1.B",
            "meta": {"lastUpdated": "2024-02-29T23:59:60.123+14:00", "profile": ["http://x.test/p|1"]},
            "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">x &amp; <b>y</b><br/></div>"},
            "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
            "active": true,
            "name": [{"family": "D", "given": ["A", null], "_given": [null, {"extension": [{"url": "http://x.test", "valueCode": "masked"}]}]}],
            "gender": "female",
            "_birthDate": {"extension": [{"url": "http://x.test", "valueDateTime": "1970-03-30T05:00:00Z"}]},
            "birthDate": "1970-03-30",
            "multipleBirthInteger": 2,
            "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}]}}]
        })),
        &[],
    );
}

#[test]
fn names() {
    expect(
        &patient(json!({"nickname": "x"})),
        &["structure Patient.nickname"],
    );
    expect(
        &patient(json!({"name": [{"Given": ["x"]}]})),
        &["structure Patient.name[0].Given"],
    );
    expect(
        &patient(json!({"_contact": [{"id": "x"}]})),
        &["structure Patient"],
    );
    expect(
        &patient(json!({"value": 1, "deceased": true})),
        &["structure Patient.value", "structure Patient.deceased"],
    );
    // A datatype is no resource; a resource type has no place in `value[x]`.
    expect(
        &patient(json!({"name": [{"resourceType": "HumanName", "family": "x"}]})),
        &["structure Patient.name[0].resourceType"],
    );
    expect(&json!({"resourceType": "Patiend"}), &["structure Resource"]);
    expect(
        &json!({"resourceType": "HumanName"}),
        &["structure Resource"],
    );
    expect(
        &json!({"resourceType": "DomainResource"}),
        &["structure Resource"],
    );
    expect(&json!({"resourceType": 1}), &["structure Resource"]);
    expect(&json!({}), &["required Resource"]);
    expect(&json!([]), &["structure Resource"]);
}

#[test]
fn kinds_of_json() {
    expect(
        &patient(json!({"name": {"family": "x"}})),
        &["structure Patient.name"],
    );
    expect(
        &patient(json!({"gender": ["male"]})),
        &["structure Patient.gender"],
    );
    expect(
        &patient(json!({"name": ["x"]})),
        &["structure Patient.name[0]"],
    );
    expect(
        &patient(json!({"active": "true"})),
        &["structure Patient.active"],
    );
    expect(
        &patient(json!({"birthDate": 1970})),
        &["structure Patient.birthDate"],
    );
    expect(
        &patient(json!({"birthDate": null})),
        &["structure Patient.birthDate"],
    );
    expect(
        &patient(json!({"maritalStatus": null})),
        &["structure Patient.maritalStatus"],
    );
    expect(
        &patient(json!({"maritalStatus": "M"})),
        &["structure Patient.maritalStatus"],
    );
    expect(
        &patient(json!({"contained": ["x"]})),
        &["structure Patient.contained[0]"],
    );
    expect(
        &observation(json!({"valueQuantity": {"value": "5"}})),
        &["structure Observation.value.value"],
    );
}

#[test]
fn nothing_is_empty() {
    expect(&patient(json!({"name": []})), &["structure Patient.name"]);
    expect(
        &patient(json!({"name": [{}]})),
        &["structure Patient.name[0]"],
    );
    expect(
        &patient(json!({"name": [{"given": [""]}]})),
        &["value Patient.name[0].given[0]"],
    );
    expect(
        &patient(json!({"maritalStatus": {}})),
        &["structure Patient.maritalStatus"],
    );
    expect(
        &patient(json!({"_birthDate": {}})),
        &["structure Patient.birthDate"],
    );
    expect(
        &patient(json!({"name": [{"_given": []}]})),
        &["structure Patient.name[0].given"],
    );
}

#[test]
fn cardinality() {
    expect(
        &json!({"resourceType": "Observation"}),
        &["required Observation.status", "required Observation.code"],
    );
    // An extension in place of a mandatory value is a value.
    let absent = json!({"extension": [{"url": "http://x.test", "valueCode": "unknown"}]});
    expect(
        &json!({"resourceType": "Observation", "_status": absent, "code": {"text": "x"}}),
        &[],
    );
    expect(
        &observation(json!({"component": [{"code": {"text": "x"}}, {"valueString": "x"}]})),
        &["required Observation.component[1].code"],
    );
    expect(
        &json!({"resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "subject": {"display": "x"}}),
        &["required MedicationRequest.medication"],
    );
    expect(
        &json!({"resourceType": "Provenance", "target": [], "recorded": "2024-01-01T00:00:00Z",
        "agent": [{"who": {"display": "x"}}]}),
        &["structure Provenance.target"],
    );
}

#[test]
fn choices() {
    expect(
        &observation(json!({"valueString": "x", "valueInteger": 1})),
        &["structure Observation.value"],
    );
    expect(
        &observation(json!({"valueString": "x", "_valueInteger": {"id": "x"}})),
        &["structure Observation.value"],
    );
    expect(
        &observation(json!({"valueString": "x", "_valueString": {"id": "x"}})),
        &[],
    );
    expect(
        &observation(
            json!({"effectiveDateTime": "2024", "effectivePeriod": {"start": "2024"},
        "effectiveInstant": "2024-01-01T00:00:00Z"}),
        ),
        &[
            "structure Observation.effective",
            "structure Observation.effective",
        ],
    );
    expect(
        &observation(json!({"valueAddress": {"city": "x"}})),
        &["structure Observation.valueAddress"],
    );
    // Five choices side by side are five elements.
    let element = json!({"path": "X.y", "defaultValueString": "x", "fixedString": "x",
        "patternString": "x", "minValueInteger": 1, "maxValueInteger": 2});
    let mut profile = json!({"resourceType": "StructureDefinition", "url": "http://x.test/X",
        "name": "X", "status": "draft", "kind": "logical", "abstract": false, "type": "X",
        "differential": {"element": [element]}});
    expect(&profile, &[]);
    profile["differential"]["element"][0]["maxValueDecimal"] = json!(2.5);
    expect(
        &profile,
        &["structure StructureDefinition.differential.element[0].maxValue"],
    );
}

#[test]
fn numbers_and_booleans() {
    accepts("valueBoolean", &[json!(true), json!(false)]);
    refuses(
        "valueBoolean",
        "structure",
        &[json!("true"), json!(1), json!({})],
    );
    accepts(
        "valueInteger",
        &[
            json!(0),
            json!(-1),
            json!(2_147_483_647),
            json!(-2_147_483_648_i64),
        ],
    );
    refuses(
        "valueInteger",
        "value",
        &[json!(2_147_483_648_i64), json!(1.0), json!(1.5)],
    );
    refuses("valueInteger", "structure", &[json!("1")]);
    for text in ["1e2", "-0", "123456789012345678901234567890"] {
        refuses(
            "valueInteger",
            "value",
            &[serde_json::from_str(text).unwrap()],
        );
    }
    accepts("valueUnsignedInt", &[json!(0)]);
    refuses("valueUnsignedInt", "value", &[json!(-1)]);
    refuses("valuePositiveInt", "value", &[json!(0), json!(-5)]);
    for text in [
        "0.0",
        "1.500",
        "-1e5",
        "1E-10",
        "100000000000000000000.00000000000000001",
    ] {
        accepts("valueDecimal", &[serde_json::from_str(text).unwrap()]);
    }
    refuses("valueDecimal", "structure", &[json!("1.5"), json!(null)]);
    let long = "1".repeat(65);
    for text in ["1e309", "1e-999999999999", long.as_str()] {
        refuses(
            "valueDecimal",
            "value",
            &[serde_json::from_str(text).unwrap()],
        );
    }
}

#[test]
fn dates_and_times() {
    accepts(
        "valueDate",
        &[
            json!("2024"),
            json!("2024-02"),
            json!("2024-02-29"),
            json!("0001-01-01"),
        ],
    );
    refuses(
        "valueDate",
        "value",
        &[
            json!("2023-02-29"),
            json!("2023-02-30"),
            json!("2023-13"),
            json!("2023-00"),
            json!("2023-04-31"),
            json!("0000"),
            json!("1900-02-29"),
            json!("24"),
            json!("2023-1-1"),
            json!("2023-01-01T00:00:00Z"),
            json!("2023-01-"),
            json!(" 2023"),
            json!("20230101"),
            json!("2023/01/01"),
            json!("２０２３"),
            json!("-2023"),
        ],
    );
    accepts(
        "valueDateTime",
        &[
            json!("2024"),
            json!("2024-02-29"),
            json!("2024-02-29T00:00:00Z"),
            json!("2024-02-29T23:59:60.000000001-13:59"),
            json!("2000-02-29T12:00:00+14:00"),
        ],
    );
    refuses(
        "valueDateTime",
        "value",
        &[
            json!("2024-02-29T00:00:00"),
            json!("2024-02-29T00:00Z"),
            json!("2024-02-29T24:00:00Z"),
            json!("2024-02-29T00:60:00Z"),
            json!("2024-02-29T00:00:61Z"),
            json!("2024-02-29T00:00:00.Z"),
            json!("2024-02-29T00:00:00+14:01"),
            json!("2024-02-29T00:00:00+0100"),
            json!("2024-02-29 00:00:00Z"),
            json!("2023-02-29T00:00:00Z"),
            json!("2024-02T00:00:00Z"),
            json!("2024-02-29T00:00:00z"),
        ],
    );
    accepts("valueInstant", &[json!("2024-02-29T00:00:00.1Z")]);
    refuses(
        "valueInstant",
        "value",
        &[json!("2024-02-29"), json!("2024"), json!("2024-02-29T")],
    );
    accepts("valueTime", &[json!("00:00:00"), json!("23:59:59.999")]);
    refuses(
        "valueTime",
        "value",
        &[
            json!("24:00:00"),
            json!("12:00"),
            json!("12:00:00Z"),
            json!("1:00:00"),
        ],
    );
}

#[test]
fn strings() {
    accepts(
        "valueString",
        &[
            json!(" x\r\n\ty "),
            json!("é"),
            json!("x".repeat(1024 * 1024)),
        ],
    );
    refuses(
        "valueString",
        "value",
        &[
            json!(""),
            json!("a\u{0}b"),
            json!("\u{ffff}"),
            json!("\u{1f}"),
            json!("x".repeat(1024 * 1024 + 1)),
        ],
    );
    refuses("valueString", "structure", &[json!(5), json!(["x"])]);
    accepts("valueCode", &[json!("a"), json!("a b c"), json!("<=")]);
    refuses(
        "valueCode",
        "value",
        &[
            json!(" a"),
            json!("a "),
            json!("a  b"),
            json!(""),
            json!("\u{a0}"),
        ],
    );
    accepts("valueId", &[json!("A-z.0"), json!("x".repeat(64))]);
    refuses(
        "valueId",
        "value",
        &[
            json!("x".repeat(65)),
            json!("a_b"),
            json!("a/b"),
            json!("é"),
        ],
    );
    accepts("valueUri", &[json!("urn:x"), json!("relative/é#1")]);
    for name in ["valueUri", "valueUrl", "valueCanonical"] {
        refuses(name, "value", &[json!("a b"), json!("a\n"), json!("")]);
    }
    accepts(
        "valueOid",
        &[json!("urn:oid:2.16.840.1.113883"), json!("urn:oid:1.0")],
    );
    refuses(
        "valueOid",
        "value",
        &[
            json!("urn:oid:3.1"),
            json!("urn:oid:1"),
            json!("1.2.3"),
            json!("urn:oid:1.02"),
            json!("urn:oid:1..2"),
        ],
    );
    accepts(
        "valueUuid",
        &[json!("urn:uuid:c757873d-ec9a-4326-a141-556f43239520")],
    );
    refuses(
        "valueUuid",
        "value",
        &[
            json!("c757873d-ec9a-4326-a141-556f43239520"),
            json!("urn:uuid:c757873dec9a4326a141556f43239520"),
            json!("urn:uuid:c757873d-ec9a-4326-a141-556f4323952g"),
        ],
    );
    accepts(
        "valueBase64Binary",
        &[
            json!("QUJD"),
            json!("QUI="),
            json!("QQ=="),
            json!("QUJD\r\nQUJD"),
        ],
    );
    refuses(
        "valueBase64Binary",
        "value",
        &[
            json!("QUJ"),
            json!("QU=I"),
            json!("Q==="),
            json!("QU-_"),
            json!("===="),
            json!("  "),
        ],
    );
}

#[test]
fn codes() {
    expect(
        &patient(json!({"gender": "F"})),
        &["code-invalid Patient.gender"],
    );
    let set = |coding: Value| {
        json!({"resourceType": "Condition", "subject": {"display": "x"},
            "clinicalStatus": {"coding": coding}})
    };
    let system = "http://terminology.hl7.org/CodeSystem/condition-clinical";
    expect(&set(json!([{"system": system, "code": "active"}])), &[]);
    expect(
        &set(
            json!([{"system": "http://x.test", "code": "1"}, {"system": system, "code": "active"}]),
        ),
        &[],
    );
    for bad in [
        json!([{"system": system, "code": "Active"}]),
        json!([{"system": "http://x.test", "code": "active"}]),
        json!([{"code": "active"}]),
        json!([{"system": system}]),
    ] {
        expect(&set(bad), &["code-invalid Condition.clinicalStatus"]);
    }
    let mut text = set(json!([]));
    text["clinicalStatus"] = json!({"text": "active"});
    expect(&text, &["code-invalid Condition.clinicalStatus"]);
    text["clinicalStatus"] =
        json!({"extension": [{"url": "http://x.test", "valueCode": "unknown"}]});
    expect(&text, &[]);

    let attachment = |properties: Value| {
        json!({"resourceType": "DocumentReference", "status": "current",
            "content": [{"attachment": properties}]})
    };
    let place = "DocumentReference.content[0].attachment";
    for mime in [
        "text/plain",
        "application/fhir+json; charset=utf-8",
        "image/*",
    ] {
        expect(&attachment(json!({"contentType": mime})), &[]);
    }
    expect(
        &attachment(json!({"contentType": "PDF"})),
        &[&format!("code-invalid {place}.contentType")],
    );
    expect(&attachment(json!({"language": "en-US"})), &[]);
    expect(
        &attachment(json!({"language": "en_US"})),
        &[&format!("code-invalid {place}.language")],
    );
}

#[test]
fn primitives_with_extensions() {
    let note = json!({"extension": [{"url": "http://x.test", "valueCode": "x"}]});
    let name = |name: Value| patient(json!({"name": [name]}));
    expect(
        &name(json!({"given": ["a", null]})),
        &["structure Patient.name[0].given[1]"],
    );
    expect(
        &name(json!({"given": ["a", null], "_given": [null, null]})),
        &["structure Patient.name[0].given[1]"],
    );
    expect(
        &name(json!({"given": ["a", "b"], "_given": [null, note]})),
        &[],
    );
    expect(
        &name(json!({"given": ["a"], "_given": [null, note]})),
        &["structure Patient.name[0].given"],
    );
    expect(&name(json!({"_given": [note]})), &[]);
    expect(
        &name(json!({"_given": [null, note]})),
        &["structure Patient.name[0].given[0]"],
    );
    expect(
        &name(json!({"_family": [note]})),
        &["structure Patient.name[0].family"],
    );
    expect(
        &name(json!({"_given": note})),
        &["structure Patient.name[0].given"],
    );
    expect(
        &name(json!({"_family": "x"})),
        &["structure Patient.name[0].family"],
    );
    expect(
        &name(json!({"_family": {"value": "x"}})),
        &["structure Patient.name[0].family.value"],
    );
    expect(
        &patient(json!({"name": [null]})),
        &["structure Patient.name[0]"],
    );
}

#[test]
fn extensions() {
    let one = |extension: Value| patient(json!({"extension": [extension]}));
    expect(
        &one(json!({"valueString": "x"})),
        &["required Patient.extension[0].url"],
    );
    expect(
        &one(json!({"url": "http://x.test"})),
        &["invariant Patient.extension[0]"],
    );
    expect(
        &one(json!({"url": "http://x.test", "valueString": "x",
        "extension": [{"url": "a", "valueString": "x"}]})),
        &["invariant Patient.extension[0]"],
    );
    expect(
        &one(json!({"url": "http://x.test", "extension": [{"url": "a"}]})),
        &["invariant Patient.extension[0].extension[0]"],
    );
    expect(
        &one(json!({"url": "http://x.test", "_valueString": {"id": "x"}})),
        &[],
    );
    expect(
        &patient(json!({"name": [{"modifierExtension": [{"url": "x", "valueCode": "x"}]}]})),
        &["structure Patient.name[0].modifierExtension"],
    );
}

#[test]
fn contained_resources() {
    let one = |contained: Value| patient(json!({"contained": [contained]}));
    expect(
        &one(json!({"resourceType": "Organization"})),
        &["required Patient.contained[0].id"],
    );
    expect(
        &one(
            json!({"resourceType": "Organization", "id": "o", "contained": [{"resourceType": "Organization", "id": "p"}]}),
        ),
        &["invariant Patient.contained[0].contained"],
    );
    expect(
        &one(json!({"resourceType": "Observation", "id": "o", "status": "final"})),
        &["required Patient.contained[0].code"],
    );
    expect(&one(json!({"id": "o"})), &["required Patient.contained[0]"]);
    expect(
        &one(json!({"resourceType": "Organizatoin", "id": "o"})),
        &["structure Patient.contained[0]"],
    );
}

#[test]
fn a_bundle_names_the_entry() {
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": [
        {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
        {"resource": {"resourceType": "Patient", "name": [{"given": ["a", ""]}]},
            "request": {"method": "POST"}},
    ]});
    expect(
        &bundle,
        &[
            "value Bundle.entry[1].resource.name[0].given[1]",
            "required Bundle.entry[1].request.url",
        ],
    );
    let parameters = json!({"resourceType": "Parameters",
        "parameter": [{"name": "x", "resource": {"resourceType": "Patient", "active": 1}}]});
    expect(
        &parameters,
        &["structure Parameters.parameter[0].resource.active"],
    );
}

#[test]
fn narrative() {
    let check = |div: &str| {
        let div = div.replace("<div>", "<div xmlns=\"http://www.w3.org/1999/xhtml\">");
        found(&patient(
            json!({"text": {"status": "generated", "div": div}}),
        ))
    };
    for good in [
        "<div>x</div>",
        "<div><p class='a'>x<br/>y</p> &#160;&#xA0;&lt;</div>",
        "<div><!-- <b> --><img src=\"#a\" alt=\"x\"/></div>",
        "<div><table><tr><td>x</td></tr></table><a href=\"Patient/1\">x</a></div>",
        "<div><div>x</div></div>\n",
        "<div><![CDATA[<]]></div>",
    ] {
        assert!(check(good).is_empty(), "{good}: {:?}", check(good));
    }
    for bad in [
        "x",
        "<p>x</p>",
        "<div>x",
        "<div>x</p></div>",
        "<div><b><i>x</b></i></div>",
        "<div>x</div>y",
        "<div>a < b</div>",
        "<div>a & b</div>",
        "<div>&nbsp;x</div>",
        "<div>&#xD800;</div>",
        "<div><p a=b>x</p></div>",
        "<div><p a>x</p></div>",
        "<div><p a='1' a='2'>x</p></div>",
        "<div><script>x</script></div>",
        "<div><SCRIPT>x</SCRIPT></div>",
        "<div><iframe src='x'/></div>",
        "<div><p onclick='x'>x</p></div>",
        "<div><p OnClick='x'>x</p></div>",
        "<div><a href='javascript:x'>x</a></div>",
        "<div><a href=' java&#115;cript&#58;x'>x</a></div>",
        "<div><a href='java\nscript:x'>x</a></div>",
        "<div><?php x ?></div>",
        "<div><!DOCTYPE x></div>",
        "<!DOCTYPE x><div>x</div>",
        "<div xmlns=\"http://x.test\">x</div>",
        "<div><!-- x</div>",
        "<div>\u{8}</div>",
        "<div><",
    ] {
        assert_eq!(check(bad), ["error value Patient.text.div"], "{bad}");
    }
    assert_eq!(
        check("<div> <p/></div>"),
        ["warning invariant Patient.text.div"]
    );
    assert_eq!(
        check("<div><section>x</section></div>"),
        ["warning invariant Patient.text.div"]
    );
    assert!(is_acceptable(&validate(&patient(
        json!({"text": {"status": "empty", "div": "<div/>"}})
    ))));
}

#[test]
fn hostile_narrative_costs_little() {
    let attributes: String = (0..200_000).map(|at| format!(" a{at}=''")).collect();
    for bad in [
        format!("<div{attributes}>x</div>"),
        "<div>".repeat(500_000),
        format!("<div>{}</div>", "&".repeat(1_000_000)),
        format!("<div><a href='{}'>x</a>", "&#32;".repeat(200_000)),
        format!("<div>{}", "<!--".repeat(200_000)),
    ] {
        assert!(xhtml::check(&bad).is_err());
    }
}

#[test]
fn messages_do_not_repeat_what_was_sent() {
    let secret = "s".repeat(5000);
    let bad = patient(json!({
        &secret: 1, "gender": secret, "birthDate": secret, "id": format!("{secret}\u{1b}[31m"),
        "text": {"status": secret, "div": secret}, "name": [{"family": format!("a\u{0}{secret}")}],
    }));
    let issues = validate(&bad);
    assert_eq!(issues.len(), 7, "{issues:?}");
    for issue in issues {
        assert!(!issue.diagnostics.contains(&"s".repeat(41)), "{issue:?}");
        assert!(!issue.expression.contains("sss"), "{issue:?}");
        assert!(!issue.diagnostics.contains('\u{1b}'));
    }
}

#[test]
fn hostile_bodies_cost_little() {
    let many = patient(json!({"name": vec![json!({"x": 1}); 100_000]}));
    let issues = validate(&many);
    assert_eq!(issues.len(), MAX_ISSUES + 1);
    assert!(issues[MAX_ISSUES].diagnostics.starts_with("99900 more"));

    let mut deep = json!({"url": "http://x.test", "valueString": "x"});
    for _ in 0..120 {
        deep = json!({"url": "http://x.test", "extension": [deep]});
    }
    let issues = validate(&patient(json!({"extension": [deep]})));
    assert_eq!(issues.len(), 1);
    assert_eq!(
        (
            issues[0].code,
            issues[0].expression.starts_with("Patient.extension[0].")
        ),
        ("structure", true)
    );
}
