// fhir-kit-client: create, search with paging and includes, update, patch, history, transaction.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Client } from 'fhir-kit-client';

const [baseUrl, bearerToken] = process.argv.slice(2);
const client = new Client({ baseUrl, bearerToken });
const family = `Kit${randomUUID().slice(0, 8)}`;

const smart = await client.smartAuthMetadata();
assert.ok(smart.tokenUrl.href.startsWith('http://127.0.0.1'));
console.log('capabilities:', (await client.capabilityStatement()).fhirVersion);

const patient = await client.create({
  resourceType: 'Patient', body: { resourceType: 'Patient', name: [{ family }], gender: 'female' },
});
assert.equal(patient.meta.versionId, '1');
console.log('create', `Patient/${patient.id}`);
const observation = (at) => ({
  resourceType: 'Observation', status: 'final', code: { text: 'x' }, valueInteger: at,
  subject: { reference: `Patient/${patient.id}` },
});
const transaction = await client.transaction({ body: { resourceType: 'Bundle', type: 'transaction',
  entry: [0, 1, 2, 3, 4].map((at) => ({ resource: observation(at), request: { method: 'POST', url: 'Observation' } })) } });
assert.ok(transaction.entry.every((entry) => entry.response.status === '201 Created'));
console.log('transaction:', transaction.entry.length);

let page = await client.search({ resourceType: 'Observation', searchParams: { subject: patient.id, _count: 2 } });
const sizes = [];
while (page) {
  sizes.push(page.entry.length);
  page = await client.nextPage({ bundle: page });
}
assert.deepEqual(sizes, [2, 2, 1]);
console.log('search, pages of 2:', sizes);
const posted = await client.search({ resourceType: 'Observation',
  searchParams: { subject: patient.id, _include: 'Observation:subject' }, options: { postSearch: true } });
const kinds = posted.entry.map((entry) => entry.resource.resourceType).sort();
assert.deepEqual(kinds, [...Array(5).fill('Observation'), 'Patient']);
console.log('include, by POST:', kinds);
const compartment = await client.compartmentSearch({ resourceType: 'Observation',
  compartment: { resourceType: 'Patient', id: patient.id } });
assert.equal(compartment.total, 5);
const found = await client.resourceSearch({ resourceType: 'Patient', searchParams: { family } });
assert.equal(found.entry[0].resource.id, patient.id);
const followed = await client.resolve({ reference: `Patient/${patient.id}` });
assert.equal(followed.id, patient.id);

const updated = await client.update({ resourceType: 'Patient', id: patient.id, body: { ...patient, birthDate: '1984-02-29' } });
assert.equal(updated.meta.versionId, '2');
const patched = await client.patch({ resourceType: 'Patient', id: patient.id,
  jsonPatch: [{ op: 'replace', path: '/gender', value: 'other' }] });
assert.equal(patched.gender, 'other');
console.log('update and patch, now version', patched.meta.versionId);
const created = await client.create({ resourceType: 'Patient', body: { resourceType: 'Patient', name: [{ family }] },
  options: { headers: { 'If-None-Exist': `family=${family}` } } });
assert.equal(created.id, patient.id);

const history = await client.resourceHistory({ resourceType: 'Patient', id: patient.id });
assert.deepEqual(history.entry.map((entry) => entry.resource.meta.versionId), ['3', '2', '1']);
const first = await client.vread({ resourceType: 'Patient', id: patient.id, version: '1' });
assert.equal(first.birthDate, undefined);
console.log('history:', history.entry.length, 'versions');
const everything = await client.operation({ name: 'everything', resourceType: 'Patient', id: patient.id, method: 'get' });
assert.equal(everything.total, 6);
console.log('$everything:', everything.total);
await client.delete({ resourceType: 'Patient', id: patient.id }).then(() => client.read({ resourceType: 'Patient', id: patient.id }))
  .then(() => assert.fail('still there'), (error) => assert.equal(error.response.status, 410));
console.log('delete');
