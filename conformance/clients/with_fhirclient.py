"""fhirclient (SMART Python client): create, search with paging and includes, update, history."""

import sys
import uuid

from fhirclient import client
from fhirclient.models.bundle import Bundle
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.coding import Coding
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.humanname import HumanName
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient


def main() -> None:
    base, token = sys.argv[1:3]
    smart = client.FHIRClient(settings={"app_id": "clients", "api_base": base})
    smart.server.session.headers["Authorization"] = f"Bearer {token}"
    server = smart.server
    print("capabilities:", server.capabilityStatement.fhirVersion)

    patient = Patient()
    patient.name = [HumanName({"family": f"Fhirclient{uuid.uuid4().hex[:8]}"})]
    patient.gender = "female"
    made = Patient(patient.create(server))
    assert made.id and made.meta.versionId == "1", made.as_json()
    print("create", made.relativePath())
    for at in range(5):
        one = Observation()
        one.status = "final"
        one.code = CodeableConcept()
        one.code.coding = [Coding({"system": "http://loinc.org", "code": "718-7"})]
        one.subject = FHIRReference({"reference": made.relativePath()})
        one.valueInteger = at
        one.create(server)

    search = Observation.where(struct={"subject": made.relativePath(), "_count": "2"})
    found = list(search.perform_resources_iter(server))
    assert len(found) == 5, len(found)
    print("search, pages of 2:", len(found))
    search = Observation.where(struct={"subject": made.relativePath()}).include("subject")
    bundle = search.perform(server)
    kinds = sorted(entry.resource.resource_type for entry in bundle.entry)
    assert kinds == ["Observation"] * 5 + ["Patient"], kinds
    print("include:", kinds)

    read = Patient.read(made.id, server)
    read.birthDate = None
    read.gender = "other"
    updated = read.update(server)
    assert updated["meta"]["versionId"] == "2", updated
    print("update, now version", updated["meta"]["versionId"])
    subject = found[0].subject.resolved(Patient)
    assert subject.gender == "other", subject.as_json()
    print("reference resolved:", subject.relativePath())

    history = Bundle.read_from(f"Patient/{made.id}/_history", server)
    versions = [entry.resource.meta.versionId for entry in history.entry]
    assert versions == ["2", "1"], versions
    print("history:", versions)
    found[0].delete()
    assert Observation.where(struct={"subject": made.relativePath()}).perform(server).total == 4
    print("delete")


main()
