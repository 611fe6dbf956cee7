//! Passkeys in chromium, with an authenticator that is none: registered, used, removed.

use candor::config::Config;
use candor::smart::users::{self, NewRecord, NewUser, Role};
use serde_json::{Value, json};

use super::chromium::{Chromium, Scripts, browse};
use super::pages::{judge, sign_in};
use super::tools::Tools;
use crate::support::{Database, TestServer};

const PASSWORD: &str = "a long walk by the sea";

/// A server that has a name, which passkeys need.
async fn server(database: Database) -> (TestServer, String) {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let origin = format!("http://localhost:{port}");
    let change = |config: &mut Config| {
        config.bind = format!("127.0.0.1:{port}").parse().unwrap();
        config.public_url = Some(origin.clone());
    };
    (TestServer::start_with(database, change).await, origin)
}

async fn account(server: &TestServer, username: &str, role: Role) {
    let is_patient = role == Role::Patient;
    let new = NewUser {
        username: username.to_owned(),
        name: "Ana Ruiz".to_owned(),
        role,
        password: PASSWORD.to_owned(),
        practitioner: (!is_patient).then(|| "clerk".to_owned()),
        records: if is_patient {
            vec![NewRecord {
                patient: "ana".to_owned(),
                related_person: None,
                name: "Ana Ruiz".to_owned(),
            }]
        } else {
            Vec::new()
        },
    };
    users::add(&server.app().store, new).await.unwrap();
}

/// A platform authenticator whose user says yes, or does not.
async fn authenticator(chromium: &Chromium, verifies: bool) -> Value {
    chromium.devtools("WebAuthn.enable", json!({})).await;
    let options = json!({"options": {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
        "hasUserVerification": true, "isUserVerified": verifies,
        "automaticPresenceSimulation": true,
    }});
    chromium
        .devtools("WebAuthn.addVirtualAuthenticator", options)
        .await
}

const USE: &str = "form[data-passkey=get] button";
const ADD: &str = "form[data-passkey=add]";

async fn a_passkey_signs_in(database: Database) {
    let Some(tools) = Tools::find() else { return };
    let (server, origin) = server(database).await;
    account(&server, "ana", Role::Patient).await;
    account(&server, "clerk", Role::Staff).await;
    browse(&tools, Scripts::On, async |chromium| {
        let phone = authenticator(chromium, true).await;
        let goto = async |path: &str| {
            chromium
                .client
                .goto(&format!("{origin}{path}"))
                .await
                .unwrap();
        };
        let sign_out = async || {
            goto("/apps").await;
            chromium.press("header button").await;
        };
        goto("/login").await;
        judge(chromium, &tools, "login-with-passkeys").await;
        // The password's button comes first, the passkey's form shows itself.
        sign_in(chromium, "ana", PASSWORD).await;
        goto("/security").await;
        judge(chromium, &tools, "security").await;
        // Not without the password.
        chromium
            .type_into(&format!("{ADD} [name=name]"), "My phone")
            .await;
        chromium
            .type_into(&format!("{ADD} [name=password]"), "not this one, surely")
            .await;
        chromium
            .click(&format!("{ADD} button:not([type=button])"))
            .await;
        let words = chromium
            .text(&format!("{ADD} [data-problem]:not([hidden])"))
            .await;
        assert!(words.contains("password is not right"), "{words}");
        chromium
            .type_into(&format!("{ADD} [name=password]"), PASSWORD)
            .await;
        chromium
            .press(&format!("{ADD} button:not([type=button])"))
            .await;
        // Recovery codes come with the first one.
        chromium.wait_for(".codes").await;
        judge(chromium, &tools, "recovery-codes").await;
        goto("/security").await;
        judge(chromium, &tools, "security-with-a-passkey").await;
        let page = chromium.client.source().await.unwrap();
        assert!(page.contains("My phone"), "{page}");

        sign_out().await;
        goto("/login").await;
        chromium.press(USE).await;
        chromium.wait_for_address(&format!("{origin}/apps")).await;
        // Removed, it opens nothing.
        goto("/security").await;
        chromium.type_into("#passkey-1-password", PASSWORD).await;
        chromium.press("button[value=passkey-remove]").await;
        chromium.wait_for("[role=status]").await;
        sign_out().await;
        goto("/login").await;
        chromium.press(USE).await;
        let page = chromium.client.source().await.unwrap();
        assert!(page.contains("could not sign you in"), "{page}");

        // As whoever removed it here deletes it there.
        let phone = json!({"authenticatorId": phone["authenticatorId"]});
        chromium.devtools("WebAuthn.clearCredentials", phone).await;

        // Who must have a second factor may choose a passkey before they are in.
        goto("/login").await;
        sign_in(chromium, "clerk", PASSWORD).await;
        chromium
            .wait_for_address(&format!("{origin}/auth/factor/enrol"))
            .await;
        judge(chromium, &tools, "enrol").await;
        chromium
            .type_into(&format!("{ADD} [name=name]"), "Ward computer")
            .await;
        chromium
            .press(&format!("{ADD} button:not([type=button])"))
            .await;
        chromium.wait_for(".codes").await;
        sign_out().await;
        // The password alone leads to the second step, where the passkey is one.
        goto("/login").await;
        sign_in(chromium, "clerk", PASSWORD).await;
        chromium
            .wait_for_address(&format!("{origin}/auth/factor"))
            .await;
        judge(chromium, &tools, "factor").await;
        chromium.press(USE).await;
        chromium.wait_for_address(&format!("{origin}/apps")).await;
        let refused = chromium.refused_by_policy().await;
        assert!(refused.is_empty(), "{refused:?}");
    })
    .await;
    // An authenticator that asks nobody is not enough.
    browse(&tools, Scripts::On, async |chromium| {
        authenticator(chromium, false).await;
        chromium
            .client
            .goto(&format!("{origin}/login"))
            .await
            .unwrap();
        sign_in(chromium, "ana", PASSWORD).await;
        chromium
            .client
            .goto(&format!("{origin}/security"))
            .await
            .unwrap();
        chromium
            .type_into(&format!("{ADD} [name=name]"), "Anybody's")
            .await;
        chromium
            .type_into(&format!("{ADD} [name=password]"), PASSWORD)
            .await;
        chromium
            .click(&format!("{ADD} button:not([type=button])"))
            .await;
        chromium
            .wait_for(&format!("{ADD} [data-problem]:not([hidden])"))
            .await;
    })
    .await;
    // Without scripts there is the password, and nothing that does not work.
    browse(&tools, Scripts::Off, async |chromium| {
        chromium
            .client
            .goto(&format!("{origin}/login"))
            .await
            .unwrap();
        let hidden = chromium
            .wait_for("#password")
            .await
            .is_displayed()
            .await
            .unwrap();
        assert!(hidden);
        let forms = fantoccini::Locator::Css("form[data-passkey]");
        for form in chromium.client.find_all(forms).await.unwrap() {
            assert!(!form.is_displayed().await.unwrap());
        }
        sign_in(chromium, "ana", PASSWORD).await;
        chromium.wait_for_address(&format!("{origin}/apps")).await;
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_signs_in_on_sqlite() {
    a_passkey_signs_in(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_signs_in_on_postgres() {
    if Database::Postgres.is_there() {
        a_passkey_signs_in(Database::Postgres).await;
    }
}
