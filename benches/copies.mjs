// Makes a hospital of any size out of a few patients: copies of transaction bundles, each with ids,
// identifiers, names and dates of its own, and references that still fit. The same seed makes the
// same bytes. One file is in memory at a time. What comes out is for `candor import`.
//   node benches/copies.mjs --to DIR [--times 60] [--from ../shared/data/synthea-20] [--seed 1]
// With synthea-20: --times 6 makes 120 patients of some 30 400 resources, --times 60 makes 1 200
// of some 304 000 (230 MB gzipped at most). Dates move back by 1 to 2 000 whole days, the same for
// all of one copy of a patient, so that nothing comes to lie in the future. Node's own modules only.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";

const DAY = 86_400_000;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
// What is not an id or a name and yet tells people apart: social security, licence, passport, phone.
const NUMBERS = /"(999-\d\d-\d{4}|S99\d{6}|X\d{7,9}X|555-\d{3}-\d{4})"/g;
const NPI = /("http:\/\/hl7\.org\/fhir\/sid\/us-npi"\s*,\s*"value"\s*:\s*")(\d+)"/g;
const DATE = /"(\d{4})-(\d\d)-(\d\d)(T[0-9:.]+(?:Z|[+-]\d\d:\d\d))?"/g;
const NAMES = /"(family|given)"(\s*:\s*)("[^"]*"|\[[^\]]*\])/g;

// 40 x 40 syllables: 1 600 family names, and as many given ones, so that a name finds few.
const FIRST = ("Al Bar Ben Ber Bran Cal Car Col Cor Dan Dor El Fair Fen Gar Gold Hal Har Hol Jor Kel Lan Lin Mar Mor "
  + "Nor Oak Pem Quin Ram Ros San Sel Stan Tal Thorn Ul Ver Wil Yar").split(" ");
const LAST = ("ard aster bury by cott den dorf dy elle ena er ette field ford gate ham hurst ian ich ina ing ins ira kin "
  + "ley low man mere mond more nell ora ridge sen son stead ton vale well wood").split(" ");

function options(given) {
  const here = dirname(fileURLToPath(import.meta.url));
  const wanted = { from: join(here, "../../shared/data/synthea-20"), to: "", times: "60", seed: "1" };
  for (let at = 0; at < given.length; at += 2) {
    const name = given[at].replace(/^--/, "");
    if (!(name in wanted) || given[at + 1] === undefined) throw new Error(`${given[at]} is no option with a value`);
    wanted[name] = given[at + 1];
  }
  if (!wanted.to) throw new Error("--to names the folder to write into");
  const times = Number(wanted.times);
  if (!Number.isInteger(times) || times < 1) throw new Error("--times is a whole number from 1");
  return { ...wanted, times, from: resolve(wanted.from), to: resolve(wanted.to) };
}

// 32 hexadecimal digits out of the seed, the copy and a word.
function digest(...parts) {
  return createHash("sha256").update(parts.join("\u0000")).digest("hex").slice(0, 32);
}

// One copy of one bundle's text. `own` is the seed and the copy.
function copy(text, own, file) {
  const uuids = new Map();
  const uuid = (old) => {
    let made = uuids.get(old);
    if (!made) {
      const hex = digest(own, "id", old);
      made = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
      uuids.set(old, made);
    }
    return made;
  };
  const digits = (old) => {
    const made = BigInt(`0x${digest(own, "number", old)}`).toString().slice(-old.length);
    let at = 0;
    // The prefix says what it is and stays.
    return old.replace(/^(999|S99|X|555)|\d/g, (found) => (found.length > 1 || found === "X" ? found : made[at++ % made.length]));
  };
  const name = (kind) => (quoted) => {
    const number = parseInt(digest(own, kind, quoted).slice(0, 8), 16);
    return `"${FIRST[number % FIRST.length]}${LAST[Math.floor(number / FIRST.length) % LAST.length]}"`;
  };
  const back = (1 + (parseInt(digest(own, "days", file).slice(0, 8), 16) % 2_000)) * DAY;
  return text
    .replace(UUID, uuid)
    .replace(DATE, (_, year, month, day, time = "") => {
      const moved = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)) - back);
      return `"${moved.toISOString().slice(0, 10)}${time}"`;
    })
    .replace(NUMBERS, (_, old) => `"${digits(old)}"`)
    .replace(NPI, (_, before, old) => `${before}${parseInt(digest(own, "npi", old).slice(0, 8), 16)}"`)
    .replace(NAMES, (_, kind, colon, value) => `"${kind}"${colon}${value.replace(/"[^"]*"/g, name(kind))}`);
}

function main() {
  const { from, to, times, seed } = options(process.argv.slice(2));
  const files = readdirSync(from).filter((name) => /\.json(\.gz)?$/.test(name)).sort();
  if (files.length === 0) throw new Error(`no .json or .json.gz in ${from}`);
  mkdirSync(to, { recursive: true });
  let resources = 0;
  let shown = 0;
  const total = files.length * times;
  for (const [at, file] of files.entries()) {
    const bytes = readFileSync(join(from, file));
    const text = (file.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
    const entries = JSON.parse(text).entry.length;
    for (let number = 0; number < times; number += 1) {
      const made = copy(text, `${seed}\u0000${number}`, file);
      const name = `${String(number).padStart(4, "0")}-${file.replace(/\.gz$/, "")}.gz`;
      writeFileSync(join(to, name), gzipSync(made, { level: 1 }));
      resources += entries;
      const done = at * times + number + 1;
      if (Date.now() - shown > 1_000 || done === total) {
        shown = Date.now();
        process.stderr.write(`\r${done} of ${total} files, ${resources} resources`);
      }
    }
  }
  process.stderr.write("\n");
}

try {
  main();
} catch (error) {
  process.stderr.write(`copies: ${error.message}\n`);
  process.exitCode = 2;
}
