// What benches/shapes measures: the queries that US Core apps and population users send, each on
// several servers, request by request in turns, over one connection each. Prints Markdown.
//   node benches/shapes.mjs CONFIG [--requests N] [--plans FILE] [--only TEXT]
// CONFIG is JSON: [{name, url, system, app, patient, key}] with bearer tokens and the key of the client
// "load", whose tokens do not live as long as this runs; the servers come in pairs,
// the smaller hospital first, and what the smaller one holds the larger one holds as well. `app` is the
// token of an app of `patient`. A shape's p50 is the median over several patients' records.
import { execFileSync } from "node:child_process";
import { request, Agent } from "node:http";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

// [who, query]. {p} patient, {mrn} their record number, {family} {gender} {birth}, {e} an encounter of
// theirs, {o} one Observation, {os} twenty of them, {org} {doc} who served the encounter.
// `grows`: what is asked for grows with the hospital, so time may grow with it. `page 30`: the
// thirtieth page, by following links.
const SHAPES = `
system   Patient/{p}
system   Patient?_id={p}
system   Patient?identifier=http://hospital.smarthealthit.org|{mrn}
system   Patient?family={family}&birthdate={birth}
system   Patient?name={family}&gender={gender}
system   Patient?birthdate={birth}&gender={gender}
system   Observation?patient={p}&category=laboratory
system   Observation?patient={p}&category=laboratory&date=ge2008-01-01
system   Observation?patient={p}&code=http://loinc.org|8302-2&date=ge2008-01-01&_count=50
system   Observation?patient={p}&code=8302-2,29463-7,39156-5,8462-4,8480-6
system   Observation?patient={p}&category=vital-signs&_sort=-date&_count=10
system   Observation?patient={p}&category=laboratory&status=final,amended&date=ge2005&date=lt2016
system   Observation?patient={p}&_lastUpdated=gt2020-01-01
system   Observation?patient={p}&code:not=8302-2
system   Observation?patient={p}&value-quantity:missing=true
system   Observation?patient={p}&value-quantity=gt100
system   Observation?patient={p}&_summary=count
system   Observation?patient={p}&_elements=code,status,value
system   Observation?_filter=patient eq {p} and (code eq 8302-2 or code eq 29463-7)
system   Observation?encounter={e}
system   Observation?_id={os}
system   Observation?subject:Patient.identifier=http://hospital.smarthealthit.org|{mrn}&category=laboratory
system   Condition?patient={p}&clinical-status=active
system   Condition?subject:Patient._id={p}
system   Condition?patient.family={family}
system   Condition?patient={p}&_revinclude=Provenance:target
system   Encounter?patient={p}&date=ge2005&date=lt2015
system   Encounter?patient={p}&_include=Encounter:service-provider&_include=Encounter:participant
system   MedicationRequest?patient={p}&intent=order&status=active,stopped&_include=MedicationRequest:requester
system   DiagnosticReport?patient={p}&category=LAB&_include=DiagnosticReport:result
system   Procedure?patient={p}&date=ge2000-01-01&_sort=-date
system   Immunization?patient={p}&status=completed
system   CarePlan?patient={p}&status=active,completed&_include=CarePlan:condition
system   ExplanationOfBenefit?patient={p}&_include=ExplanationOfBenefit:*&_count=5
system   Patient?_id={p}&_revinclude=Observation:patient&_revinclude=Condition:patient
system   Patient?_id={p}&_revinclude=Encounter:patient&_include:iterate=Encounter:service-provider
system   Patient/{p}/Observation?_count=50
system   Patient/{p}/$everything?_count=100
system   ?_type=Condition,Procedure,MedicationRequest&patient={p}
system   ?_id={p}
system   Observation/{o}/_history
system   Observation?code=http://loinc.org|8302-2
system   Observation?category=laboratory&_sort=-date
system   Observation?code=8302-2&date=ge2010-01-01&date=lt2010-03-01
system   Observation?code=8302-2,29463-7,39156-5&_count=100
system   Observation?code=8302-2&_sort=-date
system   Observation?code-value-quantity=8302-2$gt190
system   Observation?value-quantity=gt100000
system   Observation?value-quantity=lt1
system   Observation?code:text=glucose
system   Observation?status:not=final
system   Observation?value-quantity:missing=true&category=vital-signs
system   Observation?date=ge2016-01-01&_sort=date
system   Observation?_sort=-_lastUpdated
system   Observation?_lastUpdated=gt2020-01-01&_sort=_lastUpdated
system   Observation?subject:Patient.family={family}&code=8302-2
system   Condition?code=http://snomed.info/sct|40055000
system   Condition?patient.gender=female&code=40055000
system   Condition?encounter.class=EMER
system   Condition?encounter.service-provider={org}
system   Patient?_has:Condition:patient:code=40055000
system   Patient?_has:Observation:patient:code=8302-2&gender=female
system   Patient?_has:Encounter:patient:_has:Condition:encounter:code=40055000
system   Patient?gender=female&birthdate=ge1970
system   Patient?_sort=family
system   Patient?_sort=-birthdate,family
system   Patient?family:contains=ar
system   Encounter?class=EMER
system   Encounter?service-provider={org}
system   Encounter?participant={doc}
system   Encounter?date=ge2010-01-01&date=lt2010-02-01
system   Encounter?_sort=-date
system   CarePlan?_text=wound
system   Practitioner?name={family}
system   ?_type=Observation,Condition&_lastUpdated=gt2020-01-01
system   ?_type=Observation,Condition&_lastUpdated=gt2020-01-01&_sort=-_lastUpdated
system   Observation/_history
system   _history?_since=2020-01-01T00:00:00Z&_count=50
page 30  Observation?code=8302-2
page 30  Observation?_sort=-date
page 5   Patient?_sort=family
grows    Patient?_summary=count
grows    Observation?code=8302-2&_summary=count
grows    Observation?category=laboratory&_total=accurate
grows    Observation?_sort=value-quantity
grows    Observation?code=8302-2&_sort=value-quantity
grows    Observation?_text=glucose&_total=accurate
app      Patient/{p}
app      Observation?category=laboratory
app      Observation?patient={p}&category=laboratory
app      Observation?code=8302-2,29463-7&_sort=-date
app      Observation?date=ge2010-01-01&_sort=date
app      Observation?_lastUpdated=gt2020-01-01&_sort=-_lastUpdated
app      Observation?_summary=count
app      Observation?value-quantity=gt100
app      Observation?status:not=final
app      Condition?clinical-status=active
app      Condition?encounter.class=AMB
app      Condition?subject:Patient._id={p}
app      Encounter?_include=Encounter:service-provider&_include=Encounter:participant
app      DiagnosticReport?category=LAB&_include=DiagnosticReport:result
app      MedicationRequest?_include=MedicationRequest:requester&_revinclude=Provenance:target
app      Patient?_id={p}&_revinclude=Observation:patient&_revinclude=Condition:patient
app      Patient?_has:Observation:patient:code=8302-2
app      Practitioner?name={family}
app      Patient/{p}/$everything?_count=100
app      ?_type=Observation,Condition
app      CarePlan?_text=wound
app      Observation/_history
app      _history?_count=50
`.trim().split("\n").map((line) => /^(system|app|grows|page \d+)\s+(.*)$/.exec(line).slice(1));

const agents = new Map();
function get(server, token, path) {
  const url = new URL(path.startsWith("http") ? path : `${server.url}/fhir/r4/${path}`);
  if (!agents.has(server.name)) agents.set(server.name, new Agent({ keepAlive: true, maxSockets: 1 }));
  const began = process.hrtime.bigint();
  return new Promise((done, fail) => {
    const sent = request(url, {
      agent: agents.get(server.name), timeout: 20_000,
      headers: { authorization: `Bearer ${token}`, accept: "application/fhir+json" },
    }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => {
        const ms = Number(process.hrtime.bigint() - began) / 1e6;
        done({ status: answer.statusCode, ms, body: Buffer.concat(parts) });
      });
    });
    sent.on("timeout", () => sent.destroy(new Error(`no answer within 20 s: ${path}`)));
    sent.on("error", fail);
    sent.end();
  });
}

// A token of a backend lives five minutes.
function renew(server) {
  if (!server.key || Date.now() - (server.renewed ?? 0) < 120_000) return;
  server.renewed = Date.now();
  const tool = fileURLToPath(new URL("load.mjs", import.meta.url));
  server.system = execFileSync(process.execPath, [tool, "backend", server.url, "load", server.key, "system/*.cruds"]).toString().trim();
}

async function json(server, path) {
  renew(server);
  const answer = await get(server, server.system, path);
  if (answer.status !== 200) throw new Error(`${server.name} ${path}: ${answer.status} ${answer.body.toString().slice(0, 500)}`);
  return JSON.parse(answer.body);
}

const resources = (bundle) => (bundle.entry ?? []).map((entry) => entry.resource);

// What the placeholders stand for, once for each of some patients that the smaller hospital has.
async function charts(server) {
  const found = [];
  const patients = resources(await json(server, "Patient?_sort=_id&_count=60"));
  const own = patients.find((patient) => patient.id === server.patient);
  for (const patient of [...(own ? [] : [{ id: server.patient }]), ...patients]) {
    const p = patient.id;
    const labs = resources(await json(server, `Observation?patient=${p}&category=laboratory&_count=20`));
    const encounter = resources(await json(server, `Encounter?patient=${p}&_count=1`))[0];
    if (labs.length < 20 || !encounter || !patient.name) continue;
    found.push({
      p, mrn: patient.identifier.find((one) => one.type?.coding?.[0].code === "MR").value,
      family: patient.name[0].family, gender: patient.gender, birth: patient.birthDate,
      e: `Encounter/${encounter.id}`, o: labs[0].id, os: labs.map((one) => one.id).join(","),
      org: encounter.serviceProvider.reference, doc: encounter.participant[0].individual.reference,
    });
    if (found.length === 12) break;
  }
  return found;
}

const fill = (query, chart) => query.replace(/\{(\w+)\}/g, (_, name) => chart[name]).replaceAll(" ", "%20").replaceAll("|", "%7C");
const at = (sorted, share) => sorted.length === 0 ? NaN : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

// The path of page `number`, by following links.
async function page(server, token, path, number) {
  let next = path;
  for (let walked = 1; walked < number && next; walked += 1) {
    const answer = await get(server, token, next);
    next = JSON.parse(answer.body).link.find((link) => link.relation === "next")?.url;
  }
  return next ?? path;
}

// What of a plan should make one look: tables read from end to end, sorts.
function remarks(plan) {
  const found = new Map();
  const note = (text) => found.set(text, (found.get(text) ?? 0) + 1);
  for (const step of plan) {
    const scan = /^SCAN (t\d+|h|c|x|r)\b(?! USING)|Seq Scan on (\w+)/.exec(step);
    if (scan) note(scan[2] ? `Seq Scan ${scan[2]}` : "SCAN");
    if (/^SCAN t\d+ USING/.test(step)) note("SCAN by index");
    if (/AUTOMATIC/.test(step)) note("automatic index");
    if (/^USE TEMP B-TREE|Sort \(|Sort Key/.test(step) && !/last|DISTINCT/.test(step)) note("sort");
    if (/Hash Join/.test(step)) note("hash join");
  }
  return [...found.keys()].join(", ");
}

async function plan(server, path) {
  const separator = path.includes("?") ? "&" : "?";
  const answer = await get(server, server.system, `${path}${separator}_explain=true`);
  if (answer.status !== 200) return [];
  return (JSON.parse(answer.body).parameter ?? []).filter((one) => one.name === "plan")
    .flatMap((one) => one.part.map((part) => part.valueString));
}

async function main() {
  const [file, ...rest] = process.argv.slice(2);
  const option = (name, otherwise) => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : otherwise);
  const servers = JSON.parse(readFileSync(file, "utf8"));
  const requests = Number(option("--requests", "36"));
  const only = option("--only", "");
  const known = await charts(servers[0]);
  if (known.length < 3) throw new Error("too few patients with laboratory results");
  const pairs = [];
  for (let one = 0; one < servers.length; one += 2) pairs.push(servers.slice(one, one + 2));
  const names = pairs.map((pair) => pair[0].name.replace(/-.*/, ""));
  const head = names.map((name) => ` ${name}: results | p50 ms | p99 ms | p50, larger/smaller | plan at the larger |`).join("");
  console.log(`| as | query |${head}`);
  console.log(`|---|---|${"---|---|---|---|---|".repeat(pairs.length)}`);
  let plans = "";
  const poor = [];
  const failed = new Set();
  for (const [who, query] of SHAPES) {
    if (!`${who} ${query}`.includes(only)) continue;
    let row = `| ${who} | \`${query.replaceAll("|", "\\|") || "?"}\` |`;
    servers.forEach(renew);
    for (const pair of pairs) {
      const turns = pair.map((server) => ({ server, times: [], results: new Set(), token: who === "app" ? server.app : server.system }));
      for (const turn of turns) {
        const mine = who === "app" ? [{ ...known[0], p: turn.server.patient }] : known;
        turn.paths = mine.map((chart) => fill(query, chart));
        const number = /^page (\d+)/.exec(who);
        if (number) turn.paths = [await page(turn.server, turn.token, turn.paths[0], Number(number[1]))];
      }
      const began = Date.now();
      // A shape has at most 20 seconds, but always three rounds.
      for (let round = -3; round < requests && (round < 3 || Date.now() - began < 20_000); round += 1) {
        for (const turn of turns.filter((own) => !own.gaveUp)) {
          const path = turn.paths[(round + 3) % turn.paths.length];
          const answer = await get(turn.server, turn.token, path)
            .catch((error) => ({ status: 0, ms: NaN, body: Buffer.from(error.message) }));
          if (answer.status !== 200) {
            turn.gaveUp = answer.status === 0;
            failed.add(`${turn.server.name} ${who} ${query}: ${answer.status} ${answer.body.toString().slice(0, 300)}`);
          } else if (round < 0) {
            const body = JSON.parse(answer.body);
            turn.results.add(body.resourceType === "Bundle" ? (body.entry ?? []).length || body.total || 0 : 1);
          } else {
            turn.times.push(answer.ms);
          }
        }
      }
      const middle = turns.map((turn) => at(turn.times.sort((a, b) => a - b), 0.5));
      const slow = turns.map((turn) => at(turn.times, 0.99));
      const ratio = middle[1] / middle[0];
      const steps = /^(Patient|Observation)\/|_history/.test(query) || who === "app" ? [] : await plan(pair[1], fill(query, known[0]));
      if (steps.length > 0) plans += `### ${pair[1].name}: \`${query}\`\n\n${steps.map((step) => `    ${step}\n`).join("")}\n`;
      const many = turns.map((turn) => [...turn.results].join("/"));
      row += ` ${many[0] === many[1] ? many[0] : many.join(" → ")} | ${middle.map((ms) => ms.toFixed(2)).join(" → ")} `
        + `| ${slow.map((ms) => ms.toFixed(1)).join(" → ")} | ${ratio > 1.3 ? `**${ratio.toFixed(2)}**` : ratio.toFixed(2)} | ${remarks(steps)} |`;
      if (ratio > 1.3 && who !== "grows") poor.push(`${pair[1].name} ${who} ${query}: ${ratio.toFixed(2)}`);
    }
    console.log(row);
  }
  console.log(`\nOver 1.3 although no more is asked for: ${poor.length}.${poor.map((one) => `\n- ${one}`).join("")}`);
  console.log(`\nFailed: ${failed.size}.${[...failed].map((one) => `\n- ${one}`).join("")}`);
  if (option("--plans")) writeFileSync(option("--plans"), plans);
  for (const agent of agents.values()) agent.destroy();
}

main().catch((error) => {
  process.stderr.write(`shapes: ${error.message}\n`);
  process.exitCode = 1;
});
