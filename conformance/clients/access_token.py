"""An access token for the demonstration's backend client (SMART Backend Services, ES384)."""

import json
import re
import sys
import time
import urllib.parse
import urllib.request
import uuid

import jwt


def main() -> None:
    text = open(sys.argv[1], encoding="utf-8").read()
    base = re.search(r"(http://\S+/fhir/r4)/metadata", text).group(1)
    client, key = re.search(r"backend\s+client_id (\S+)\s+ES384 key (\S+)", text).groups()
    with urllib.request.urlopen(f"{base}/.well-known/smart-configuration") as answer:
        endpoint = json.load(answer)["token_endpoint"]
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": endpoint, "iat": now, "exp": now + 240, "jti": str(uuid.uuid4())}
    assertion = jwt.encode(claims, open(key, encoding="utf-8").read(), algorithm="ES384")
    form = {
        "grant_type": "client_credentials",
        "scope": "system/*.cruds",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
    }
    with urllib.request.urlopen(endpoint, urllib.parse.urlencode(form).encode()) as answer:
        print(base, json.load(answer)["access_token"])


main()
