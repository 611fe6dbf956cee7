"use strict";

// Standalone launch: the app knows the FHIR base and discovers the rest.
const query = new URLSearchParams(location.search);

FHIR.oauth2
  .authorize({
    iss: query.get("iss"),
    clientId: query.get("client_id"),
    scope: query.get("scope"),
    redirectUri: "/journal.html",
    pkceMode: "required",
  })
  .catch((error) => {
    const state = document.getElementById("state");
    state.dataset.state = "failed";
    state.textContent = String(error);
  });
