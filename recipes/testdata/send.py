import http.client
import json
import os
import time
import urllib.error
import urllib.request

URL = os.environ.get("WORKER_URL", "http://127.0.0.1:8080") + "/v1/messages"


def call(url, body=None):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    for wait in 1, 2, 4, 0:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            failure = RuntimeError(error.read().decode())
            if error.code < 500:  # it says what is wrong with the request
                break
        except (OSError, http.client.HTTPException) as error:
            failure = error
        time.sleep(wait)
    raise failure


# The same key again is the same message, not a second text: so call() may repeat it.
message = call(URL, {
    "from": "+12065550100", "to": "+12065550171", "body": "Your code is 8731",
    "priority": "otp", "key": "login-42",
})
while message["state"] in ("queued", "sending", "unknown"):
    time.sleep(1)
    message = call(f"{URL}/{message['id']}")
print(message["id"], message["state"])
