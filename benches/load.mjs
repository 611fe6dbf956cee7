// What benches/load needs beyond bash: keys, tokens, transactions over HTTP. Node's own modules only.
import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

const base64url = (bytes) => Buffer.from(bytes).toString("base64url");
const form = (fields) => new URLSearchParams(fields);

async function token(server, fields) {
  const response = await fetch(`${server}/auth/token`, { method: "POST", body: form(fields) });
  const answer = await response.json();
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer.access_token;
}

// A browser of sorts: cookies, no redirects followed but to the server itself.
function browser(server) {
  const jar = new Map();
  return async function open(address, init = {}) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(address, {
      ...init,
      redirect: "manual",
      headers: { cookie, "sec-fetch-site": "same-origin", origin: server },
    });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(";")[0].split(/=(.*)/s);
      jar.set(name, value);
    }
    const next = response.headers.get("location");
    if (!next) return { body: await response.text(), status: response.status };
    const to = new URL(next, address);
    return to.origin === new URL(server).origin ? open(to.href) : { away: to };
  };
}

// The fields of the form with this action, as a browser would send them.
function fields(page, action) {
  const from = page.indexOf(`action="${action}"`);
  if (from < 0) throw new Error(`no form ${action} in ${page.slice(0, 2000)}`);
  const text = page.slice(from, page.indexOf("</form>", from));
  const found = [];
  for (const [tag] of text.matchAll(/<input [^>]*>/g)) {
    const attribute = (name) => tag.match(new RegExp(` ${name}="([^"]*)"`))?.[1].replaceAll("&#38;", "&") ?? "";
    if (["checkbox", "radio"].includes(attribute("type")) && !/ checked/.test(tag)) continue;
    if (attribute("name")) found.push([attribute("name"), attribute("value")]);
  }
  return found;
}

// What a backend posts for a token, signed once.
function assertion(server, client, key, scope) {
  const part = (value) => base64url(JSON.stringify(value));
  const claims = {
    iss: client, sub: client, aud: `${server}/auth/token`,
    exp: Math.floor(Date.now() / 1000) + 240, jti: base64url(randomBytes(16)),
  };
  const text = `${part({ alg: "ES384", typ: "JWT", kid: "load" })}.${part(claims)}`;
  const signature = sign("sha384", Buffer.from(text), { key: createPrivateKey(readFileSync(key)), dsaEncoding: "ieee-p1363" });
  return {
    grant_type: "client_credentials", scope,
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: `${text}.${base64url(signature)}`,
  };
}

// Median and 99th percentile of times in ms, in words.
function spread(took) {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.floor(sorted.length * share)].toFixed(1);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}

const commands = {
  // The file that cargo built for a target, from its messages on standard input.
  executable(name) {
    const found = readFileSync(0, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line))
      .findLast((message) => message.executable && message.target.name === name);
    return found.executable;
  },

  // A key pair: the private key as PEM, the public one as a JWK Set.
  keys(folder) {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    writeFileSync(join(folder, "key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
    const jwk = { ...publicKey.export({ format: "jwk" }), kid: "load", alg: "ES384", use: "sig", key_ops: ["verify"] };
    writeFileSync(join(folder, "jwks.json"), JSON.stringify({ keys: [jwk] }));
    return "";
  },

  // An access token for a backend (SMART Backend Services).
  backend(server, client, key, scope) {
    return token(server, assertion(server, client, key, scope));
  },

  // An access token that a patient grants to a public app.
  async patient(server, client, username, password, scope) {
    const verifier = base64url(randomBytes(48));
    const query = form({
      response_type: "code", client_id: client, redirect_uri: "http://127.0.0.1/done", scope, state: "load",
      aud: `${server}/fhir/r4`, code_challenge_method: "S256",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    });
    const open = browser(server);
    const login = await open(`${server}/auth/authorize?${query}`);
    const signIn = form(fields(login.body, "/login"));
    signIn.set("username", username);
    signIn.set("password", password);
    const consent = await open(`${server}/login`, { method: "POST", body: signIn });
    const allow = form(fields(consent.body, "/auth/consent"));
    allow.set("action", "allow");
    const end = await open(`${server}/auth/consent`, { method: "POST", body: allow });
    // A page that sends the browser on: a form must not be answered with a redirect to another origin.
    const refresh = end.body?.match(/http-equiv="refresh" content="0;url=([^"]*)"/)?.[1].replaceAll("&#38;", "&");
    const away = end.away ?? (refresh && new URL(refresh));
    if (!away) throw new Error(`still on a page: ${end.status} ${end.body.slice(0, 2000)}`);
    return token(server, {
      grant_type: "authorization_code", code: away.searchParams.get("code"), client_id: client,
      redirect_uri: "http://127.0.0.1/done", code_verifier: verifier,
    });
  },

  // From GET authorize to the access token, every page in between opened and answered at once, so many
  // times one after the other.
  async signing(server, client, username, password, scope, times) {
    const took = [];
    for (let number = 0; number < Number(times); number += 1) {
      const began = performance.now();
      await commands.patient(server, client, username, password, scope);
      took.push(performance.now() - began);
    }
    return spread(took);
  },

  // Tokens of client_credentials, so many, eight at a time; the assertions are signed beforehand.
  async tokens(server, client, key, scope, times) {
    const waiting = Array.from({ length: Number(times) }, () => form(assertion(server, client, key, scope)).toString());
    const took = [];
    const began = performance.now();
    const work = async () => {
      for (let body = waiting.pop(); body; body = waiting.pop()) {
        const at = performance.now();
        const headers = { "content-type": "application/x-www-form-urlencoded" };
        const answer = await fetch(`${server}/auth/token`, { method: "POST", headers, body });
        const text = await answer.text();
        if (!answer.ok) throw new Error(text);
        took.push(performance.now() - at);
      }
    };
    await Promise.all(Array.from({ length: 8 }, work));
    return `${Math.round(took.length / ((performance.now() - began) / 1000))}/s, ${spread(took)}`;
  },

  // Ids of the patients who have more than so many laboratory results, file by file.
  patients(folder, more) {
    const found = [];
    for (const name of readdirSync(folder).sort()) {
      const resources = JSON.parse(gunzipSync(readFileSync(join(folder, name)))).entry.map((entry) => entry.resource);
      const labs = resources.filter((one) => one.resourceType === "Observation" && one.category?.[0].coding[0].code === "laboratory");
      if (labs.length > Number(more)) found.push(resources.find((one) => one.resourceType === "Patient").id);
      if (found.length === 20) break;
    }
    return found.join("\n");
  },

  // Stores final results one after the other, and asks for each as the patient's app at once. It must be
  // there. Prints the median and the 99th percentile of the time from sending it to having it.
  async visible(server, system, app, patient, times) {
    const took = [];
    for (let number = 0; number < Number(times); number += 1) {
      const began = performance.now();
      const coding = (of, code) => ({ coding: [{ system: of, code }] });
      const stored = await fetch(`${server}/fhir/r4/Observation`, {
        method: "POST",
        headers: { authorization: `Bearer ${system}`, "content-type": "application/fhir+json", prefer: "return=minimal" },
        body: JSON.stringify({
          resourceType: "Observation", status: "final", subject: { reference: `Patient/${patient}` },
          category: [coding("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory")],
          code: coding("http://loinc.org", "718-7"), issued: new Date().toISOString(),
          effectiveDateTime: new Date().toISOString(), valueQuantity: { value: number, unit: "g/dL" },
        }),
      });
      await stored.text();
      if (stored.status !== 201) throw new Error(`stored: ${stored.status}`);
      const id = stored.headers.get("location").match(/Observation\/([^/]+)/)[1];
      const asked = await fetch(`${server}/fhir/r4/Observation?_id=${id}&code=718-7`, { headers: { authorization: `Bearer ${app}` } });
      if (!(await asked.text()).includes(`"id":"${id}"`)) throw new Error(`result ${number} is not there`);
      took.push(performance.now() - began);
    }
    return `${spread(took)}, ${took.length} of ${took.length} there at once`;
  },

  // Bundles of valid holds (release-contract.md) on laboratory results and vital signs of everybody but one
  // patient: so many in all, by a doctor who saw each of them. Writes files into a folder.
  holds(folder, but, number, to) {
    const base = "https://candor.example/fhir/CodeSystem";
    const coding = (system, code) => ({ coding: [{ system, code }] });
    const now = Date.now();
    const then = (days) => new Date(now + days * 86_400_000).toISOString();
    const doctor = {
      resourceType: "Practitioner", id: "holds-md", name: [{ family: "Lee" }],
      qualification: [{ code: coding("http://terminology.hl7.org/CodeSystem/v2-0360", "MD") }],
    };
    let left = Number(number);
    let bundles = 0;
    for (const name of readdirSync(folder).sort()) {
      if (left === 0) break;
      const resources = JSON.parse(gunzipSync(readFileSync(join(folder, name)))).entry.map((entry) => entry.resource);
      const patient = resources.find((one) => one.resourceType === "Patient").id;
      if (patient === but) continue;
      const subject = { reference: `Patient/${patient}` };
      const by = { reference: "Practitioner/holds-md" };
      // The doctor once: whoever writes an author again has all that rests on them decided again.
      const made = [...(bundles === 0 ? [doctor] : []), {
        resourceType: "Encounter", id: `holds-${patient}`, status: "finished", subject,
        class: { system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "AMB" },
        participant: [{ individual: by }], period: { start: then(-3), end: then(-3) },
      }];
      for (const held of resources.filter((one) => one.resourceType === "Observation").slice(0, left)) {
        const input = (code, value) => ({ type: coding(`${base}/hold-input`, code), ...value });
        left -= 1;
        made.push({
          resourceType: "Task", id: `hold-${held.id}`.slice(0, 64), status: "in-progress", intent: "order",
          code: coding(`${base}/release-task`, "release-hold"), focus: { reference: `Observation/${held.id}` },
          for: subject, requester: by, authoredOn: then(-1), reasonCode: coding(`${base}/release-basis`, "harm-self"),
          restriction: { period: { end: then(20) } },
          input: [
            input("harm-standard", { valueCode: "life-or-physical-safety" }),
            input("facts", { valueString: "Documented suicide plan tied to this result; attempt two months ago." }),
            input("less-restrictive-considered", { valueString: "Same-day visit offered and a safety plan made." }),
            input("relationship", { valueReference: { reference: `Encounter/holds-${patient}` } }),
            input("case-by-case", { valueBoolean: true }),
            input("reassess-at", { valueDateTime: then(10) }),
          ],
        });
      }
      const entry = made.map((resource) => ({ resource, request: { method: "PUT", url: `${resource.resourceType}/${resource.id}` } }));
      bundles += 1;
      writeFileSync(join(to, `holds-${number}-${name.replace(/\.gz$/, "")}`), JSON.stringify({ resourceType: "Bundle", type: "transaction", entry }));
    }
    if (left > 0) throw new Error(`${left} holds have nothing to hold`);
    return String(bundles);
  },

  // POSTs every transaction bundle, four at a time. Prints resources and resources/s.
  async transactions(server, bearer, path) {
    const files = statSync(path).isDirectory() ? readdirSync(path).sort().map((name) => join(path, name)) : [path];
    const bundles = files
      .map((file) => (file.endsWith(".gz") ? gunzipSync(readFileSync(file)) : readFileSync(file)))
      .map((body) => ({ body, resource: JSON.parse(body) }))
      .filter(({ resource }) => resource.type === "transaction");
    let resources = 0;
    const began = performance.now();
    const client = async () => {
      for (let next = bundles.shift(); next; next = bundles.shift()) {
        const response = await fetch(`${server}/fhir/r4`, {
          method: "POST", body: next.body,
          headers: { authorization: `Bearer ${bearer}`, "content-type": "application/fhir+json", prefer: "return=minimal" },
        });
        const answer = await response.text();
        if (!response.ok) throw new Error(`${response.status} ${answer.slice(0, 2000)}`);
        resources += next.resource.entry.length;
      }
    };
    await Promise.all([client(), client(), client(), client()]);
    return `${resources} ${Math.round(resources / ((performance.now() - began) / 1000))}`;
  },
};

const [name, ...rest] = process.argv.slice(2);
const text = await commands[name](...rest);
if (text) process.stdout.write(`${text}\n`);
