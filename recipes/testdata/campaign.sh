#!/bin/sh
set -eu
url=${WORKER_URL:-http://127.0.0.1:8080}/v1/campaigns

call() { curl -sS --retry 3 --retry-all-errors "$@"; }
field() { printf '%s' "$2" | grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

# The campaign, then who gets it: a file of millions may come like that too. The same key
# again is the same campaign, and texts nobody twice: so curl may repeat it.
answer=$(call "$url?results=errors" -H 'Content-Type: application/x-ndjson' --data-binary @- <<'END'
{"from":"+12065550100","template":"Hi {{name|default \"there\"}}, the sale has begun!","key":"sale-2026"}
{"to":"+12065550191","name":"Ann"}
{"to":"(206) 555-0192"}
END
)
id=$(field id "$answer")
state=$(field state "$(printf '%s' "$answer" | tail -n 1)")
case $state in '' | draft) printf '%s\n' "$answer" >&2; exit 1 ;; esac # it says what is wrong

while printf '%s' "$state" | grep -qxE 'scheduled|running'; do
  sleep 1
  campaign=$(call --max-time 10 "$url/$id")
  state=$(field state "$campaign")
done
echo "$id $state"
