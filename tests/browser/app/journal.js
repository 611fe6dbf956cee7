"use strict";

const TYPES = ["DiagnosticReport", "DocumentReference", "Observation", "Encounter"];

let client;

function say(state, text) {
  const line = document.getElementById("state");
  line.dataset.state = state;
  line.textContent = text;
}

function title(resource) {
  const code = resource.code ?? resource.type ?? resource.class;
  const concept = Array.isArray(code) ? code[0] : code;
  return concept?.text ?? concept?.coding?.[0]?.display ?? concept?.code ?? "";
}

// One at a time: pages of two, so that following the next link is part of it.
async function show() {
  const record = document.getElementById("record");
  record.replaceChildren();
  const patient = await client.patient.read();
  const heading = document.createElement("h2");
  heading.textContent = patient.name[0].given.join(" ") + " " + patient.name[0].family;
  record.append(heading);
  for (const type of TYPES) {
    const found = await client.request(`${type}?patient=${client.patient.id}&_count=2`, {
      pageLimit: 0,
      flat: true,
    });
    const list = document.createElement("ul");
    list.id = type;
    for (const resource of found.filter((resource) => resource.resourceType === type)) {
      const item = document.createElement("li");
      item.dataset.reference = `${type}/${resource.id}`;
      item.textContent = `${type}: ${title(resource)}`;
      list.append(item);
    }
    record.append(list);
  }
  say("ready", "This is your record.");
}

// What the test asks the app to do with its token, besides showing the record.
window.journal = {
  identity: () => ({
    patient: client.patient.id,
    user: client.user.fhirUser,
    scope: client.getState("tokenResponse.scope"),
  }),
  // The status and body of any request under the FHIR base, errors included.
  get: async (path) => {
    const token = client.getState("tokenResponse.access_token");
    const answer = await fetch(`${client.state.serverUrl}/${path}`, {
      headers: { authorization: `Bearer ${token}`, accept: "application/fhir+json" },
    });
    return { status: answer.status, body: await answer.text() };
  },
  again: async () => {
    say("connecting", "Reading your record again …");
    await client.refresh();
    await show();
  },
};

document.getElementById("again").addEventListener("click", () => {
  window.journal.again().catch((error) => say("failed", String(error)));
});

FHIR.oauth2
  .ready()
  .then((ready) => {
    client = ready;
    return show();
  })
  .catch((error) => say("failed", String(error)));
