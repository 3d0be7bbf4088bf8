#!/bin/sh
set -eu
url=${WORKER_URL:-http://127.0.0.1:8080}/v1/messages

call() { curl -sS --max-time 10 --retry 3 --retry-all-errors "$@"; }
field() { printf '%s' "$2" | grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

# The same key again is the same message, not a second text: so curl may repeat it.
answer=$(call "$url" -H 'Content-Type: application/json' \
  -d '{"from":"+12065550100","to":"+12065550161","body":"Your order is ready.","key":"order-1042/ready"}')
id=$(field id "$answer")
[ -n "$id" ] || { printf '%s\n' "$answer" >&2; exit 1; } # it says what is wrong

state=queued
while printf '%s' "$state" | grep -qxE 'queued|sending|unknown'; do
  sleep 1
  job=$(call "$url/$id")
  state=$(field state "$job")
done
echo "$id $state"
