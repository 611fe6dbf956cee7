//! What apps read first: SMART and OpenID configuration, public keys, style.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::json::Json;
use super::scopes::{IDENTITY, catalogue};
use super::token::unavailable;
use super::{SmartState, assurance, brands};
use crate::config::Registration;

/// `GET {fhir}/.well-known/smart-configuration` (SMART App Launch 2.2, "Conformance").
pub(super) async fn smart_configuration(State(state): State<SmartState>) -> Json {
    let mut configuration = common(&state);
    // Only what is there. Pickers of patients and encounters for staff come with later work.
    configuration["capabilities"] = json!([
        "launch-ehr",
        "launch-standalone",
        "authorize-post",
        "client-public",
        "client-confidential-symmetric",
        "client-confidential-asymmetric",
        "sso-openid-connect",
        "context-banner",
        "context-style",
        "context-ehr-patient",
        "context-ehr-encounter",
        "context-standalone-patient",
        "permission-offline",
        "permission-patient",
        "permission-user",
        "permission-v1",
        "permission-v2",
    ]);
    configuration["management_endpoint"] = json!(state.url("/apps"));
    configuration["user_access_brand_bundle"] = json!(state.url(brands::PATH));
    configuration["user_access_brand_identifier"] = brands::identifier(&state);
    Json(configuration)
}

/// `GET {issuer}/.well-known/openid-configuration` (OpenID Connect Discovery 1.0; RFC 8414).
pub(super) async fn openid_configuration(State(state): State<SmartState>) -> Json {
    let mut configuration = common(&state);
    configuration["userinfo_endpoint"] = json!(state.url("/auth/userinfo"));
    configuration["end_session_endpoint"] = json!(state.url("/auth/end-session"));
    configuration["subject_types_supported"] = json!(["public"]);
    configuration["id_token_signing_alg_values_supported"] = json!(["RS256", "ES384"]);
    configuration["claims_supported"] = json!([
        "iss",
        "sub",
        "aud",
        "exp",
        "iat",
        "auth_time",
        "acr",
        "amr",
        "nonce",
        "fhirUser"
    ]);
    configuration["acr_values_supported"] = json!(assurance::classes());
    configuration["claims_parameter_supported"] = json!(false);
    configuration["request_parameter_supported"] = json!(false);
    configuration["request_uri_parameter_supported"] = json!(false);
    Json(configuration)
}

fn common(state: &SmartState) -> Value {
    let methods = json!([
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "none"
    ]);
    let algorithms = json!(["RS384", "ES384"]);
    let mut configuration = json!({
        "issuer": state.issuer(),
        "jwks_uri": state.url("/auth/jwks"),
        "authorization_endpoint": state.url("/auth/authorize"),
        "token_endpoint": state.token_url(),
        "introspection_endpoint": state.url("/auth/introspect"),
        "revocation_endpoint": state.url("/auth/revoke"),
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": scopes(),
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported":
            ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "authorization_response_iss_parameter_supported": true,
    });
    if state.config().registration != Registration::Closed {
        configuration["registration_endpoint"] = json!(state.url("/auth/register"));
    }
    configuration
}

fn scopes() -> Vec<String> {
    let wildcards = [
        "patient/*.rs",
        "user/*.rs",
        "user/*.cruds",
        "system/*.rs",
        "system/*.cruds",
    ];
    IDENTITY
        .iter()
        .chain(&wildcards)
        .map(|scope| (*scope).to_owned())
        .chain(catalogue().entries().flat_map(|entry| {
            let parts = entry.categories.iter();
            let parts = parts.map(|part| format!("patient/{}.rs?{}", entry.resource, part.query));
            std::iter::once(format!("patient/{}.rs", entry.resource)).chain(parts)
        }))
        .collect()
}

/// `GET /auth/jwks`: the keys that sign id_tokens, and those that did until a day ago.
pub(super) async fn jwks(State(state): State<SmartState>) -> Response {
    match state.signing().await {
        Ok(keys) => Json(keys.public().clone()).into_response(),
        Err(error) => unavailable(&error),
    }
}

/// `GET /assets/smart-style.json`: the look that apps may borrow (SMART, "Styling").
pub(super) async fn smart_style() -> Json {
    Json(json!({
        "color_background": "#ffffff",
        "color_error": "#a4161a",
        "color_highlight": "#0b5c8a",
        "color_modal_backdrop": "#1f2933",
        "color_success": "#1d6b3c",
        "color_text": "#1f2933",
        "dim_border_radius": "6px",
        "dim_font_size": "18px",
        "dim_spacing_size": "20px",
        "font_family_body": "system-ui, sans-serif",
        "font_family_heading": "system-ui, sans-serif",
    }))
}
