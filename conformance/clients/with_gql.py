"""PyPI gql: learns the schema from the server, validates what is asked against it, and asks."""

import sys

from gql import Client, gql
from gql.transport.requests import RequestsHTTPTransport
from graphql import GraphQLError

base, token = sys.argv[1:3]
transport = RequestsHTTPTransport(
    url=f"{base}/$graphql", headers={"authorization": f"Bearer {token}"}, timeout=60
)
with Client(transport=transport, fetch_schema_from_transport=True, execute_timeout=60) as session:
    schema = session.client.schema
    print("schema:", len(schema.type_map), "types, from", schema.query_type.name)
    page = session.execute(
        gql("{ PatientConnection(_count: 2) { count next edges { resource { id name { family } } } } }")
    )["PatientConnection"]
    assert page["count"] >= 2 and len(page["edges"]) == 2
    print("page of", len(page["edges"]))
    document = gql("query P($id: ID!) { Patient(id: $id) { id ObservationList(_reference: subject) { status } } }")
    wanted = page["edges"][0]["resource"]["id"]
    document.variable_values = {"id": wanted}
    found = session.execute(document)
    assert found["Patient"]["id"] == wanted
    print("Patient with", "its observations" if "ObservationList" in found["Patient"] else "nothing")
    try:
        session.execute(gql("{ PatientList { colour } }"))
    except GraphQLError as error:
        assert "colour" in str(error)
        print("a wrong field is refused before it is sent")
    else:
        raise AssertionError("a wrong field was sent")
