import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request

URL = os.environ.get("WORKER_URL", "http://127.0.0.1:8080") + "/v1/campaigns"


def call(path, lines=None, kind="application/x-ndjson"):
    for wait in 1, 2, 4, 0:
        # Each line is made when it is sent: there may be millions.
        data = (json.dumps(line).encode() + b"\n" for line in lines()) if lines else None
        try:
            with urllib.request.urlopen(urllib.request.Request(URL + path, data, {"Content-Type": kind}), timeout=60) as answer:
                said = [json.loads(line) for line in answer.read().splitlines()]
            if "error" not in said[-1]:
                return said
            failure = RuntimeError(said[-1]["error"]["message"])
        except urllib.error.HTTPError as error:
            failure = RuntimeError(error.read().decode())
            if error.code < 500:  # it says what is wrong with the request
                break
        except (OSError, http.client.HTTPException) as error:
            failure = error
        time.sleep(wait)
    raise failure


def people():  # from a file, or a database
    yield {"to": "+12065550193", "name": "Ann"}
    yield {"to": "(206) 555-0194"}


# The same key again is the same campaign, and a recipient is in it once: so call() may repeat all this.
spec = {"from": "+12065550100", "template": 'Hi {{name|default "there"}}, we open today!', "key": "opening-2026"}
campaign = call("", lambda: [spec], "application/json")[0]
path = "/" + campaign["id"]
if campaign["state"] == "draft":
    for invalid in call(path + "/recipients?results=errors", people)[:-1]:
        print(invalid, file=sys.stderr)
    campaign = call(path + "/start", list)[0]
while campaign["state"] in ("scheduled", "running"):
    time.sleep(1)
    campaign = call(path)[0]
print(campaign["id"], campaign["state"])
