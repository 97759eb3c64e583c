#!/usr/bin/env bash
# What a purchase costs on this machine: start-up of a built tree, memory at rest, one saga alone, ten days of real sales at
# full speed. The floor of the last one is pgbench (TPC-B-like, 16 clients) on the very cluster that the system uses.
#
#   bench/purchases/run.sh <online-retail.csv.gz> [days]
#
# Needs jq, psql and pgbench. Uses a data folder of its own and free ports, and ends all it started.
set -euo pipefail
csv=${1:?usage: bench/purchases/run.sh <online-retail.csv.gz> [days]}
csv=$(realpath "$csv")
days=${2:-10}
cd "$(dirname "$0")/../.."
data=$(mktemp -d /tmp/marketplace-bench-XXXXXX)
chmod 755 "$data"
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)

echo "building"
dotnet build local -v q --nologo >/dev/null
dotnet local/bin/Debug/net10.0/Local.dll migrate --data "$data" --ports free >/dev/null   # builds the services and makes the databases, so that the start is one of a built tree

start=$(date +%s%N)
dotnet local/bin/Debug/net10.0/Local.dll up --data "$data" --ports free --json >"$data/up.json" 2>"$data/up.err" &
launcher=$!
trap 'kill -TERM $launcher 2>/dev/null; wait $launcher 2>/dev/null; rm -rf "$data"' EXIT
until [ -s "$data/up.json" ]; do sleep 0.1; kill -0 $launcher; done
ready=$(( ($(date +%s%N) - start) / 1000000 ))
echo "start to all healthy: $ready ms"

sleep 10
pids="$launcher $(jq -r '.parts[].pid // empty' "$data/state.json") $(pgrep -P "$(jq -r '.parts[] | select(.name == "postgres") | .pid' "$data/state.json")" || true)"
# Proportional set size: memory that processes share is counted once.
rest=$(for pid in $pids; do awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup" 2>/dev/null || true; done | awk '{ sum += $1 } END { printf "%d", sum / 1024 }')
echo "memory at rest: $rest MB in $(wc -w <<<"$pids") processes"

db=$(jq -r '."ordering-db"' "$data/secrets.json")
field() { sed -n "s/.*$1=\([^;]*\).*/\1/Ip" <<<"$db"; }
export PGHOST=$(field Host) PGPORT=$(field Port) PGUSER=$(field Username) PGPASSWORD=$(field Password) PGDATABASE=$(field Database)

gateway=$(jq -r .gatewayUrl "$data/state.json")/api/v1
post() { curl -sf -X "${3:-POST}" "$gateway/$1" -H 'content-type: application/json' -H "authorization: Bearer ${token:-none}" -H "idempotency-key: bench-$RANDOM-$RANDOM" -d "$2"; }
token=$(post accounts '{"email":"bench@example.com","password":"correct horse battery","name":"Bench"}' | jq -r .accessToken)
token=$(post sellers '{"displayName":"Bench"}' | jq -r .accessToken)
product=$(post products '{"title":"Bench","description":"b","brand":"b","category":"gifts","price":{"minor":100,"currency":"GBP"}}' | jq -r .productId)
post stock '{"lines":[{"productId":"'"$product"'","warehouse":"north","onHand":1000}]}' PUT >/dev/null
for n in $(seq 40); do
  post cart '{"lines":[{"productId":"'"$product"'","quantity":1}]}' PUT >/dev/null
  order=$(post checkout '{"expectedTotal":{"minor":100,"currency":"GBP"},"shipTo":{"name":"B","line1":"1","city":"L","postalCode":"N1","country":"GB"},"contact":{"email":"bench@example.com","name":"B"},"paymentMethod":"pm_card_visa"}' | jq -r .orderId)
  until [ "$(curl -sf "$gateway/orders/$order" -H "authorization: Bearer $token" | jq -r .status)" = CONFIRMED ]; do sleep 0.05; done
done
sleep 1
echo "one saga alone, placed to last step, the last 20 of 40:"
psql -Atq -c "SELECT 'median ' || round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 1) || ' ms, p95 ' || round(percentile_cont(0.95) WITHIN GROUP (ORDER BY ms)::numeric, 1) || ' ms'
  FROM (SELECT extract(epoch FROM s.at - o.created_at) * 1000 AS ms FROM orders o JOIN saga_steps s USING (order_id) WHERE s.step = 'CommitStock' ORDER BY o.order_id DESC LIMIT 20) last"

dotnet local/bin/Debug/net10.0/Local.dll replay "$csv" --days "$days" --data "$data"

echo "floor: pgbench on the same cluster"
pgbench -q -i -s 10 >/dev/null 2>&1
pgbench -c 16 -j 2 -T 15 2>/dev/null | grep -E '^tps'
psql -q -c 'DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers' >/dev/null
