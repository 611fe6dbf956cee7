//! XML that is broken, or a weapon.

use anyhow::{Context, ensure};
use reqwest::Method;

use super::{alive, refused};
use crate::report::Report;
use crate::world::{Who, short};
use crate::worlds::Worlds;

const XML: &str = "application/fhir+xml";
const SPACE: &str = "xmlns=\"http://hl7.org/fhir\"";

pub async fn run(worlds: &Worlds, report: &mut Report) {
    report
        .case("hostile", "XML that is none, or not FHIR", async {
            let world = worlds.get("US").await?;
            let bodies: Vec<Vec<u8>> = vec![
                b"".to_vec(),
                b"<".to_vec(),
                b"<Patient".to_vec(),
                b"<Patient/>".to_vec(),
                b"{\"resourceType\":\"Patient\"}".to_vec(),
                format!("<Patient {SPACE}>").into_bytes(),
                format!("<Patient {SPACE}></Group>").into_bytes(),
                format!("<Patient {SPACE}/><Patient {SPACE}/>").into_bytes(),
                format!("<Patient {SPACE}><active/></Patient>").into_bytes(),
                format!("<Patient {SPACE}><active value=\"true\" value=\"false\"/></Patient>")
                    .into_bytes(),
                format!("<Patient {SPACE}><active value=true/></Patient>").into_bytes(),
                format!("<Patient {SPACE}><colour value=\"red\"/></Patient>").into_bytes(),
                format!("<Patient {SPACE}>words</Patient>").into_bytes(),
                format!("<Patient {SPACE}><name><family value=\"&bogus;\"/></name></Patient>")
                    .into_bytes(),
                format!("<Patient {SPACE}><name><family value=\"&#0;\"/></name></Patient>")
                    .into_bytes(),
                format!("<Patient {SPACE}><name><family value=\"&#xFFFFFFFF;\"/></name></Patient>")
                    .into_bytes(),
                [
                    format!("<Patient {SPACE}><name><family value=\"").as_bytes(),
                    b"\xff\xfe",
                    b"\"/></name></Patient>",
                ]
                .concat(),
                b"<Patient xmlns=\"http://example.org\"><active value=\"true\"/></Patient>"
                    .to_vec(),
                b"<patient xmlns=\"http://hl7.org/fhir\"/>".to_vec(),
            ];
            for body in bodies {
                let words = short(&String::from_utf8_lossy(&body));
                refused(&world, XML, body, &[400, 415, 422])
                    .await
                    .with_context(|| words)?;
            }
            alive(&world).await
        })
        .await;
    report
        .case("hostile", "entity bombs and external entities", async {
            let world = worlds.get("US").await?;
            let mut laughs = "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol \"lol\">".to_owned();
            for number in 1..10 {
                let before = if number == 1 { "lol".to_owned() } else { format!("lol{}", number - 1) };
                let ten = format!("&{before};").repeat(10);
                laughs.push_str(&format!("<!ENTITY lol{number} \"{ten}\">"));
            }
            laughs.push_str(&format!("]><Patient {SPACE}><name><family value=\"&lol9;\"/></name></Patient>"));
            let quadratic = format!(
                "<!DOCTYPE x [<!ENTITY a \"{}\">]><Patient {SPACE}><name><family value=\"{}\"/></name></Patient>",
                "a".repeat(50_000),
                "&a;".repeat(50_000)
            );
            let file = format!(
                "<!DOCTYPE x [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><Patient {SPACE}><name><family value=\"&f;\"/></name></Patient>"
            );
            let http = format!(
                "<!DOCTYPE x SYSTEM \"{}/metadata\"><Patient {SPACE}><active value=\"true\"/></Patient>",
                world.server.fhir()
            );
            let parameter = format!(
                "<!DOCTYPE x [<!ENTITY % p SYSTEM \"file:///etc/passwd\"> %p;]><Patient {SPACE}/>"
            );
            let plain = format!("<!DOCTYPE Patient><Patient {SPACE}><active value=\"true\"/></Patient>");
            for body in [laughs, quadratic, file, http, parameter, plain] {
                let words = short(&body);
                let answer = refused(&world, XML, body.into_bytes(), &[400, 413, 422]).await;
                let answer = answer.with_context(|| words)?;
                ensure!(!answer.text.contains("root:"), "/etc/passwd came back");
            }
            alive(&world).await
        })
        .await;
    report
        .case("hostile", "XML nested a million deep, a narrative nested deep, huge attributes", async {
            let world = worlds.get("US").await?;
            let depth = 200_000;
            let deep = format!("<Patient {SPACE}>{}{}</Patient>", "<name>".repeat(depth), "</name>".repeat(depth));
            refused(&world, XML, deep.into_bytes(), &[400, 413, 422]).await?;
            let div = format!(
                "<Patient {SPACE}><text><status value=\"generated\"/><div xmlns=\"http://www.w3.org/1999/xhtml\">{}x{}</div></text></Patient>",
                "<p>".repeat(depth),
                "</p>".repeat(depth)
            );
            refused(&world, XML, div.into_bytes(), &[400, 413, 422]).await?;
            let attributes: String = (0..50_000).map(|number| format!(" a{number}=\"x\"")).collect();
            let many = format!("<Patient {SPACE}{attributes}/>");
            refused(&world, XML, many.into_bytes(), &[400, 413, 422]).await?;
            alive(&world).await
        })
        .await;
    report
        .case(
            "hostile",
            "narratives with scripts are refused in both formats",
            async {
                let world = worlds.get("US").await?;
                for words in [
                    "<script>alert(1)</script>",
                    "<p onclick=\"alert(1)\">x</p>",
                    "<a href=\"javascript:alert(1)\">x</a>",
                    "<iframe src=\"http://x\"></iframe>",
                    "<object data=\"x\"></object>",
                    "<form action=\"x\"></form>",
                    "<img src=\"x\" onerror=\"alert(1)\"/>",
                ] {
                    let div = format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{words}</div>");
                    let json = serde_json::json!({"resourceType": "Patient",
                    "text": {"status": "generated", "div": div}});
                    let headers = [("content-type", "application/fhir+json")];
                    let body = Some(json.to_string().into_bytes());
                    let answer = world
                        .raw(Some(&Who::Feed), Method::POST, "Patient", &headers, body)
                        .await?;
                    answer
                        .expect_outcome(&[400, 422])
                        .with_context(|| words.to_owned())?;
                    let xml = format!(
                        "<Patient {SPACE}><text><status value=\"generated\"/>{div}</text></Patient>"
                    );
                    refused(&world, XML, xml.into_bytes(), &[400, 422])
                        .await
                        .with_context(|| words.to_owned())?;
                }
                Ok(())
            },
        )
        .await;
}
