// graphql (graphql-js, what GraphiQL and code generators are made of): the schema by introspection, with all that
// it can ask; queries that are validated against it, then sent. After them what no schema would pass.
import assert from 'node:assert/strict';
import {
  buildClientSchema, getIntrospectionQuery, getNamedType, isLeafType, isRequiredArgument, parse, printSchema,
  specifiedRules, validate, validateSchema,
} from 'graphql';

const [base, token] = process.argv.slice(2);

async function ask(path, query, variables) {
  const answer = await fetch(`${base}/${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  const text = await answer.text();
  const body = JSON.parse(text);
  assert.equal(answer.status, 200, text.slice(0, 500));
  return { data: body.data, bytes: text.length };
}

async function learn(path, options) {
  const { data, bytes } = await ask(path, getIntrospectionQuery(options));
  const schema = buildClientSchema(data);
  assert.deepEqual(validateSchema(schema).map(String), []);
  return { schema, bytes };
}

async function put(resource) {
  const answer = await fetch(`${base}/${resource.resourceType}/${resource.id}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' },
    body: JSON.stringify(resource),
  });
  assert.ok(answer.ok, await answer.text());
}

const patient = 'graphql-js';
await put({ resourceType: 'Patient', id: patient, gender: 'other', birthDate: '1984-02-29',
  name: [{ use: 'official', family: 'Graph', given: ['Q.', 'L.'] }, { use: 'usual', given: ['Q'] }],
  contact: [{ gender: 'female', name: { family: 'Other' } }],
  extension: [{ url: 'http://example.org/number', valueInteger: 5 }] });
for (const number of [1, 2, 3]) {
  await put({ resourceType: 'Observation', id: `${patient}-${number}`, status: 'final', code: { text: 'count' },
    subject: { reference: `Patient/${patient}` }, valueQuantity: { value: number, unit: '1' } });
}

const everything = { specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true, oneOf: true };
const system = await learn('$graphql');
const full = await learn('$graphql', everything);
assert.equal(printSchema(full.schema), printSchema((await learn('$graphql', everything)).schema));
const instance = await learn(`Patient/${patient}/$graphql`);
assert.equal(instance.schema.getQueryType().name, 'Patient');
console.log('schema:', Object.keys(system.schema.getTypeMap()).length, 'types,',
  Math.round(system.bytes / 1e5) / 10, 'MB, with everything', Math.round(full.bytes / 1e5) / 10, 'MB');

const of = { System: ['$graphql', system.schema], Instance: [`Patient/${patient}/$graphql`, instance.schema] };
// Names of FHIR's that are no names of GraphQL (`name.official`) come out of @slice; the queries themselves are valid.
const queries = [
  ['System', `{ Patient(id: "${patient}") { resourceType id __typename name(use: official) { family given } } }`],
  ['System', 'query($id: ID!) { Patient(id: $id) { birthDate _birthDate { extension { url } } } }', { id: patient }],
  ['System', `{ ObservationList(patient: "${patient}", status: [final, amended], _sort: "-_id", _count: 2, value_quantity: "gt1") {
      id valueQuantity { value unit } subject { reference resource(optional: true) { id ... on Patient { gender } } } } }`],
  ['System', `{ ObservationList(_filter: "patient eq Patient/${patient}") @flatten { id } }`],
  ['System', `query($first: Boolean = false) { ObservationConnection(patient: "${patient}", _count: 2) { __typename count pagesize next
      edges { __typename mode score resource { ... on DomainResource { text { status } } id @skip(if: $first) } } } }`],
  ['System', `{ PatientList(_id: "${patient}", gender: other) { id ObservationList(_reference: subject, status: final) { id __typename }
      ProvenanceList(_reference: target, _count: 1) { recorded } ObservationConnection(_reference: patient) { count } } }`],
  ['Instance', '{ __typename id name @flatten @slice(path: "use") { given family @singleton } }'],
  ['Instance', '{ name(fhirpath: "family.exists()") { family } contact { __typename ... on PatientContact { gender } } first: name @first { use } }'],
  ['Instance', '{ extension(url: "http://example.org/number") { valueInteger } contained { id ... on Organization { name } } }'],
  ['Instance', '{ ObservationList(_reference: subject, fhirpath: "status = \'final\'") { ...O } } fragment O on Observation { id code { text coding(system: "x") { code } } }'],
  ['Instance', '{ __schema { queryType { name } } __type(name: "HumanName") { fields { name type { name ofType { name } } } } id }'],
];
for (const [root, query, variables] of queries) {
  const [path, schema] = of[root];
  assert.deepEqual(validate(schema, parse(query), specifiedRules).map(String), [], query);
  const { data } = await ask(path, query, variables);
  assert.ok(Object.keys(data).length > 0, query);
}
console.log('valid and answered:', queries.length);

const wrong = [
  '{ Patient { id } }',
  '{ Pateint(id: "1") { id } }',
  '{ PatientList(colour: "red") { id } }',
  '{ PatientList { name } }',
  `{ Patient(id: "${patient}") { ObservationList { id } } }`,
  `{ Patient(id: "${patient}") { birthDate { x } } }`,
  '{ PatientConnection(_include: "x") { count } }',
];
for (const query of wrong) {
  assert.notEqual(validate(system.schema, parse(query), specifiedRules).length, 0, query);
  const answer = await fetch(`${base}/$graphql?query=${encodeURIComponent(query)}`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(answer.status, 400, query);
}
console.log('invalid and refused:', wrong.length);

// Every element that the schema has for a resource is one that the server takes.
const { schema } = system;
let asked = 0;
for (const name of ['Patient', 'Observation', 'Bundle', 'ExplanationOfBenefit', 'StructureDefinition']) {
  const fields = Object.values(schema.getType(name).getFields()).filter((field) => !field.args.some(isRequiredArgument));
  const spelt = fields.map(({ name, type }, at) => `f${at}: ${name}${isLeafType(getNamedType(type)) ? '' : ' { __typename }'}`);
  await ask('$graphql', `{ ${name}List(_count: 1) { ${spelt.join(' ')} } }`);
  asked += fields.length;
}
console.log('fields asked for one by one:', asked);
