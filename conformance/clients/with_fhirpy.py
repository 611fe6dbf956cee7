"""fhirpy: create, search with paging and includes, update, history."""

import sys
import uuid

from fhirpy import SyncFHIRClient


def main() -> None:
    base, token = sys.argv[1:3]
    client = SyncFHIRClient(base, authorization=f"Bearer {token}")
    family = f"Fhirpy{uuid.uuid4().hex[:8]}"

    patient = client.resource("Patient", name=[{"family": family}], gender="female")
    patient.save()
    assert patient.id and patient["meta"]["versionId"] == "1", patient
    print("create", patient.reference)
    for at in range(5):
        client.resource(
            "Observation",
            status="final",
            code={"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
            subject=patient.to_reference(),
            valueQuantity={"value": 13.0 + at, "unit": "g/dL"},
        ).save()

    search = client.resources("Observation").search(subject=patient.to_reference()).limit(2)
    found = search.fetch_all()
    assert len(found) == 5, len(found)
    print("search, pages of 2:", len(found))
    assert search.count() == 5, search.count()
    everything = client.resources("Observation").search(patient=patient.id).include("Observation", "subject").fetch_raw()
    kinds = sorted(entry["resource"]["resourceType"] for entry in everything["entry"])
    assert kinds == ["Observation"] * 5 + ["Patient"], kinds
    print("include:", kinds)
    reverse = client.resources("Patient").search(_id=patient.id).revinclude("Observation", "subject").fetch_raw()
    assert len(reverse["entry"]) == 6, reverse
    print("revinclude:", len(reverse["entry"]))

    patient["birthDate"] = "1984-02-29"
    patient.save()
    assert patient["meta"]["versionId"] == "2", patient["meta"]
    again = client.reference("Patient", patient.id).to_resource()
    # Its own patch() sends part of a resource as application/json, which R4 does not have.
    again["gender"] = "other"
    again.save()
    again.refresh()
    assert (again["gender"], again["birthDate"], again["meta"]["versionId"]) == ("other", "1984-02-29", "3"), again
    print("update, now version", again["meta"]["versionId"])

    history = client.execute(f"Patient/{patient.id}/_history", method="get")
    versions = [entry["resource"]["meta"]["versionId"] for entry in history["entry"]]
    assert versions == ["3", "2", "1"], versions
    print("history:", versions)

    first = client.resources("Patient").search(family=family).first()
    assert first.id == patient.id
    client.resources("Observation").search(subject=patient.to_reference()).limit(1).first().delete()
    assert client.resources("Observation").search(subject=patient.to_reference()).count() == 4
    print("delete")


main()
