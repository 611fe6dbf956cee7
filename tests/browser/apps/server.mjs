// A confidential SMART app with a server of its own, by the npm library fhirclient: nothing of it runs in
// the browser. Prints its origin when it listens on PORT.
import http from "node:http";
import smart from "fhirclient";

const { CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, SCOPE: scope, PORT } = process.env;
// What is known of each browser, by its cookie.
const known = new Map();

function storage(request, response) {
  const cookie = /app=(\w+)/.exec(request.headers.cookie ?? "")?.[1];
  const id = cookie ?? Math.random().toString(36).slice(2);
  if (!cookie) response.setHeader("set-cookie", `app=${id}; HttpOnly; SameSite=Lax`);
  const own = known.get(id) ?? known.set(id, new Map()).get(id);
  return {
    get: async (key) => own.get(key),
    set: async (key, value) => own.set(key, value) && value,
    unset: async (key) => own.delete(key),
  };
}

async function answer(request, response) {
  const url = new URL(request.url, origin);
  const app = smart(request, response, storage(request, response));
  if (url.pathname === "/launch") {
    // With `launch` in the address it is an EHR launch, else a standalone one.
    await app.authorize({
      iss: url.searchParams.get("iss"),
      clientId,
      clientSecret,
      scope,
      redirectUri: "/app",
      pkceMode: "required",
    });
    return;
  }
  const client = await app.ready();
  const patient = await client.patient.read();
  const reports = await client.request(`DiagnosticReport?patient=${patient.id}`, { flat: true });
  const lines = [
    `patient ${patient.id}`,
    `user ${client.user.fhirUser}`,
    `encounter ${client.encounter.id}`,
    ...reports.map((report) => `DiagnosticReport/${report.id}`).sort(),
  ];
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.end(`<!doctype html><title>App</title><pre id="shown">${lines.join("\n")}</pre>`);
}

const server = http.createServer((request, response) => {
  answer(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(`<!doctype html><title>Failed</title><pre id="failed">${error}</pre>`);
  });
});
let origin;
server.listen(Number(PORT), "127.0.0.1", () => {
  origin = `http://localhost:${server.address().port}`;
  console.log(origin);
});
