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
  async backend(server, client, key, scope) {
    const part = (value) => base64url(JSON.stringify(value));
    const claims = {
      iss: client, sub: client, aud: `${server}/auth/token`,
      exp: Math.floor(Date.now() / 1000) + 240, jti: base64url(randomBytes(16)),
    };
    const text = `${part({ alg: "ES384", typ: "JWT", kid: "load" })}.${part(claims)}`;
    const signature = sign("sha384", Buffer.from(text), { key: createPrivateKey(readFileSync(key)), dsaEncoding: "ieee-p1363" });
    return token(server, {
      grant_type: "client_credentials", scope,
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: `${text}.${base64url(signature)}`,
    });
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
    if (!end.away) throw new Error(`still on a page: ${end.status} ${end.body.slice(0, 2000)}`);
    return token(server, {
      grant_type: "authorization_code", code: end.away.searchParams.get("code"), client_id: client,
      redirect_uri: "http://127.0.0.1/done", code_verifier: verifier,
    });
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
