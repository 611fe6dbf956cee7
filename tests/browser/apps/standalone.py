"""A SMART app by the PyPI library fhirclient. Prints the address that the person has to open, reads the
address that the person came back to, and prints what it may read."""

import json
import os
import sys

from fhirclient import client
from fhirclient.models.diagnosticreport import DiagnosticReport
from fhirclient.models.patient import Patient

settings = {
    "app_id": os.environ["CLIENT_ID"],
    "app_secret": os.environ.get("CLIENT_SECRET"),
    "api_base": os.environ["FHIR_BASE"],
    "redirect_uri": os.environ["REDIRECT_URI"],
    "scope": os.environ["SCOPE"],
    "launch_token": os.environ.get("LAUNCH"),
}
smart = client.FHIRClient(settings=settings, save_func=lambda state: None)
assert not smart.prepare(), "a protected server needs a token"
print(smart.authorize_url, flush=True)
smart.handle_callback(sys.stdin.readline().strip())
assert smart.ready
patient = Patient.read(smart.patient_id, smart.server)
reports = DiagnosticReport.where({"patient": patient.id}).perform_resources_iter(smart.server)
found = {"patient": patient.id, "reports": sorted(report.id for report in reports)}
# A refresh token is there when the person allowed it.
if smart.server.auth.refresh_token:
    before = smart.server.auth.access_token
    smart.reauthorize()
    found["refreshed"] = smart.server.auth.access_token != before
    found["again"] = Patient.read(smart.patient_id, smart.server).id
print(json.dumps(found), flush=True)
