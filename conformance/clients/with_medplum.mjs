// @medplum/core: create, search with paging and includes, update, patch, history, batch, GraphQL.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { MedplumClient } from '@medplum/core';

const [base, accessToken] = process.argv.slice(2);
const url = new URL(base);
const client = new MedplumClient({
  baseUrl: `${url.origin}/`, fhirUrlPath: url.pathname.slice(1), accessToken, cacheTime: 0,
  storage: undefined,
});
const family = `Medplum${randomUUID().slice(0, 8)}`;

const patient = await client.createResource({ resourceType: 'Patient', name: [{ family }], gender: 'female' });
assert.equal(patient.meta.versionId, '1');
console.log('create', `Patient/${patient.id}`);
for (let at = 0; at < 5; at += 1) {
  await client.createResource({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, valueInteger: at,
    subject: { reference: `Patient/${patient.id}` } });
}
const sizes = [];
for await (const page of client.searchResourcePages('Observation', { subject: `Patient/${patient.id}`, _count: '2' })) {
  sizes.push(page.length);
}
assert.deepEqual(sizes, [2, 2, 1]);
console.log('search, pages of 2:', sizes);
const included = await client.search('Observation', `subject=Patient/${patient.id}&_include=Observation:subject&_total=accurate`);
const kinds = included.entry.map((entry) => entry.resource.resourceType).sort();
assert.deepEqual(kinds, [...Array(5).fill('Observation'), 'Patient']);
assert.equal(included.total, 5);
console.log('include:', kinds);
assert.equal((await client.searchOne('Patient', { family })).id, patient.id);

const updated = await client.updateResource({ ...patient, birthDate: '1984-02-29' });
assert.equal(updated.meta.versionId, '2');
const patched = await client.patchResource('Patient', patient.id, [{ op: 'replace', path: '/gender', value: 'other' }]);
assert.equal(patched.gender, 'other');
console.log('update and patch, now version', patched.meta.versionId);
const same = await client.createResourceIfNoneExist({ resourceType: 'Patient', name: [{ family }] }, `family=${family}`);
assert.equal(same.id, patient.id);
const upserted = await client.upsertResource({ resourceType: 'Patient', name: [{ family }], active: true }, `family=${family}`);
assert.equal(upserted.id, patient.id);

const history = await client.readHistory('Patient', patient.id);
assert.deepEqual(history.entry.map((entry) => entry.resource.meta.versionId), ['4', '3', '2', '1']);
assert.equal((await client.readVersion('Patient', patient.id, '1')).birthDate, undefined);
console.log('history:', history.entry.length, 'versions');
const batch = await client.executeBatch({ resourceType: 'Bundle', type: 'batch', entry: [
  { request: { method: 'GET', url: `Patient/${patient.id}` } }, { request: { method: 'GET', url: 'Patient/nobody' } }] });
assert.deepEqual(batch.entry.map((entry) => entry.response.status), ['200 OK', '404 Not Found']);
console.log('batch:', batch.entry.map((entry) => entry.response.status));
const graph = await client.graphql(`{ Patient(id: "${patient.id}") { name { family }
  ObservationList(_reference: subject) { valueInteger } } }`);
assert.equal(graph.data.Patient.ObservationList.length, 5);
console.log('GraphQL:', JSON.stringify(graph.data).length, 'characters');
const everything = await client.readPatientEverything(patient.id);
assert.equal(everything.total, 6);
console.log('$everything:', everything.total);
await client.deleteResource('Patient', patient.id);
await client.readResource('Patient', patient.id).then(() => assert.fail('still there'), () => {});
console.log('delete');
