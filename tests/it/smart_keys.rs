//! id_tokens: who signs them, for how long that can be checked, and signing out with them.

use candor::smart::clients::{self, ClientKind, ClientOptions, NewClient, RegisteredClient};
use candor::smart::signing::{self, SigningAlg};
use candor::visibility::ViewerClass;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use oauth2::TokenResponse as _;
use serde_json::Value;

use crate::smart_support::{App, Browser, End, PASSWORD, REDIRECT, Server, each_smart_database};

const SCOPE: &str = "openid fhirUser launch/patient offline_access patient/*.rs";
const GOODBYE: &str = "https://app.example/goodbye?a=b";

async fn register(server: &Server, id_token_alg: SigningAlg) -> RegisteredClient {
    let new = NewClient {
        client_id: None,
        name: "Bone Journal".to_owned(),
        kind: ClientKind::Public,
        redirect_uris: vec![REDIRECT.to_owned()],
        keys: None,
        scope: SCOPE.to_owned(),
        class: ViewerClass::System,
        person: None,
        options: ClientOptions {
            id_token_alg,
            post_logout_redirect_uris: vec![GOODBYE.to_owned()],
            ..ClientOptions::default()
        },
    };
    clients::add(&server.store, new).await.unwrap()
}

async fn published(server: &Server) -> JwkSet {
    let keys = server
        .http
        .get(server.url("/auth/jwks"))
        .send()
        .await
        .unwrap();
    serde_json::from_str(&keys.text().await.unwrap()).unwrap()
}

/// The claims, checked as an app checks them; and the kid.
async fn checked(
    server: &Server,
    client: &RegisteredClient,
    id_token: &str,
    alg: Algorithm,
) -> (Value, String) {
    let header = jsonwebtoken::decode_header(id_token).unwrap();
    assert_eq!(header.alg, alg);
    let kid = header.kid.unwrap();
    let set = published(server).await;
    let key = DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(alg);
    validation.set_audience(&[&client.client_id]);
    validation.set_issuer(&[&server.public]);
    let token = jsonwebtoken::decode::<Value>(id_token, &key, &validation).unwrap();
    (token.claims, kid)
}

each_smart_database! {
async fn a_client_chooses_how_its_id_tokens_are_signed_and_rotation_breaks_none(server: Server) {
    for (choice, alg) in [
        (SigningAlg::Rs256, Algorithm::RS256),
        (SigningAlg::Es384, Algorithm::ES384),
    ] {
        let client = register(server, choice).await;
        let app = App::new(server, &client);
        let user = server.add_patient().await;
        let tokens = app
            .connect(server, &user, SCOPE, |form| form.set("long", "yes"))
            .await;
        let first = tokens.extra_fields().id_token.clone().unwrap();
        let (claims, old) = checked(server, &client, &first, alg).await;
        assert_eq!(claims["sub"], user.id.as_str());
        let before = published(server).await.keys.len();
        // By the command line, which is another process.
        let rotated = signing::rotate(&server.store).await.unwrap();
        assert!(rotated.retired.contains(&old) && rotated.made.len() == 2);
        let next = app.refresh(tokens.refresh_token().unwrap(), "").await.unwrap();
        let second = next.extra_fields().id_token.clone().unwrap();
        let (_, new) = checked(server, &client, &second, alg).await;
        assert!(rotated.made.contains(&new));
        // What the old one signed verifies still.
        checked(server, &client, &first, alg).await;
        assert_eq!(published(server).await.keys.len(), before + 2);
    }
    // A day later only what signs is published.
    server.advance(86_400_001);
    signing::rotate(&server.store).await.unwrap();
    server.advance(86_400_001);
    signing::rotate(&server.store).await.unwrap();
    assert_eq!(published(server).await.keys.len(), 4);
}

async fn an_app_signs_somebody_out_and_gets_them_back(server: Server) {
    let client = register(server, SigningAlg::Es384).await;
    let app = App::new(server, &client);
    let user = server.add_patient().await;
    let sent = app.start(SCOPE);
    let browser = Browser::new(server);
    let answer = browser.allow(&sent, &user, |_| ()).await;
    let tokens = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    let hint = tokens.extra_fields().id_token.clone().unwrap();
    let link = |pairs: &[(&str, &str)]| {
        let mut url = url::Url::parse(&server.url("/auth/end-session")).unwrap();
        url.query_pairs_mut().extend_pairs(pairs);
        url
    };
    let back = ("post_logout_redirect_uri", GOODBYE);
    let id = ("client_id", client.client_id.as_str());
    let is_signed_in = async |browser: &Browser| {
        browser.open(&server.url("/apps")).await.page().url.path() == "/apps"
    };
    // Long after the token expired, by a link or by a form of the app's.
    server.advance(14 * 60_000);
    let away = link(&[("id_token_hint", &hint), back, ("state", "s&1")]);
    let End::Away(url) = browser.open(away.as_str()).await else {
        panic!("not sent back");
    };
    assert_eq!(url.as_str(), format!("{GOODBYE}&state=s%261"));
    assert!(!is_signed_in(&browser).await);
    // The app's access is another matter.
    assert!(candor::smart::authenticate(&server.state, tokens.access_token().secret()).await.is_ok());
    let again = browser.open(away.as_str()).await;
    assert!(matches!(again, End::Away(_)));

    let login = browser.open(&server.url("/login")).await.page();
    browser.sign_in(&login, &user.username, PASSWORD).await.page();
    // Whoever shows no token of this very person: the person is asked.
    let other = server.add_patient().await;
    let stranger = app.connect(server, &other, SCOPE, |_| ()).await;
    let stranger = stranger.extra_fields().id_token.clone().unwrap();
    let mut forged = hint.clone();
    forged.replace_range(hint.len() - 4.., "AAAA");
    let foreign = register(server, SigningAlg::Rs256).await;
    let foreign = ("client_id", foreign.client_id.as_str());
    for pairs in [
        vec![],
        vec![id, back],
        vec![("id_token_hint", stranger.as_str()), back],
        vec![("id_token_hint", forged.as_str()), id, back],
        // Another client's hint (RP-Initiated Logout 1.0, section 2).
        vec![("id_token_hint", hint.as_str()), foreign],
    ] {
        let page = browser.open(link(&pairs).as_str()).await.page();
        assert!(page.body.contains("Sign out?"), "{}", page.body);
        assert!(is_signed_in(&browser).await, "{pairs:?}");
    }
    // An app's form becomes a link; the answer is the person's, and no other site's.
    let request = browser
        .http
        .post(server.url("/auth/end-session"))
        .header("sec-fetch-site", "cross-site")
        .form(&[id, back]);
    let page = browser.follow(request).await.page();
    assert!(page.body.contains("Bone Journal"), "{}", page.body);
    let mut form = page.form("/auth/end-session");
    form.set("form", "AAAA");
    assert_eq!(browser.submit(&form).await.page().status, 403);
    let End::Away(url) = browser.submit(&page.form("/auth/end-session")).await else {
        panic!("not sent back");
    };
    assert_eq!(url.as_str(), GOODBYE);
    assert!(!is_signed_in(&browser).await);

    // Nobody is sent where no client registered.
    let elsewhere = ("post_logout_redirect_uri", "https://evil.example/");
    for pairs in [
        vec![id, elsewhere],
        vec![back],
        vec![("id_token_hint", hint.as_str()), elsewhere],
        vec![("id_token_hint", hint.as_str()), foreign, back],
    ] {
        let page = browser.open(link(&pairs).as_str()).await.page();
        assert_eq!(page.url.path(), "/signed-out", "{pairs:?}");
    }
}
}
