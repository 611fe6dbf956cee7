"""fhir-pyrate: reads only by design; pages, includes, FHIRPath, chains of searches. What it reads was made by fhirpy."""

import sys
import uuid

import requests
from fhir_pyrate import Pirate


def main() -> None:
    base, token = sys.argv[1:3]
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    family = f"Pyrate{uuid.uuid4().hex[:8]}"

    def send(method: str, path: str, resource: dict) -> dict:
        answer = session.request(method, f"{base}/{path}", json=resource, headers={"Content-Type": "application/fhir+json"})
        answer.raise_for_status()
        return answer.json()

    patient = send("POST", "Patient", {"resourceType": "Patient", "name": [{"family": family}], "gender": "female"})
    for at in range(5):
        send("POST", "Observation", {
            "resourceType": "Observation", "status": "final", "code": {"text": "x"}, "valueInteger": at,
            "subject": {"reference": f"Patient/{patient['id']}"}})
    send("PUT", f"Patient/{patient['id']}", {**patient, "gender": "other"})
    print("create and update (by requests)")

    search = Pirate(auth=session, base_url=base, print_request_url=False, num_processes=1)
    bundles = list(search.steal_bundles("Observation", {"subject": f"Patient/{patient['id']}", "_count": 2}))
    sizes = [len(bundle.entry) for bundle in bundles]
    assert sizes == [2, 2, 1], sizes
    print("search, pages of 2:", sizes)
    frame = search.steal_bundles_to_dataframe(
        "Observation", {"subject": f"Patient/{patient['id']}", "_include": "Observation:subject", "_count": 100},
        fhir_paths=[("id", "id"), ("value", "valueInteger"), ("kind", "resourceType"), ("gender", "gender")],
    )
    frames = frame if isinstance(frame, dict) else {"all": frame}
    rows = sum(len(one) for one in frames.values())
    assert rows == 6, frames
    print("include, as data frames:", {name: len(one) for name, one in frames.items()})
    trade = search.trade_rows_for_dataframe(
        search.steal_bundles_to_dataframe("Patient", {"family": family}, fhir_paths=[("patient", "id")]),
        "Observation", df_constraints={"subject": "patient"}, request_params={"_sort": "_id", "_count": 3},
        fhir_paths=[("value", "valueInteger")],
    )
    assert sorted(trade["value"]) == [0, 1, 2, 3, 4], trade
    print("rows traded for observations:", len(trade))
    assert search.get_bundle_total("Observation", {"subject": f"Patient/{patient['id']}"}) == 5
    history = session.get(f"{base}/Patient/{patient['id']}/_history").json()
    versions = [entry["resource"]["meta"]["versionId"] for entry in history["entry"]]
    assert versions == ["2", "1"], versions
    print("history (by requests):", versions)


main()
