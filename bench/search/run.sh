#!/usr/bin/env bash
# Search in the running system: listings found through events, the index rebuilt by one command and from nothing after a kill -9,
# searches through the gateway beside a bare endpoint.
#
#   bench/search/run.sh [products] [seconds]
#
# Needs jq. Uses a data folder of its own and free ports, and ends all it started.
set -euo pipefail
products=${1:-100000}
seconds=${2:-30}
cd "$(dirname "$0")/../.."
data=$(mktemp -d /tmp/marketplace-bench-XXXXXX)
chmod 755 "$data"
only=gateway,identity,catalog,search,inventory

echo "building"
dotnet build local -v q --nologo >/dev/null
dotnet build bench/search -c Release -v q --nologo >/dev/null
dotnet local/bin/Debug/net10.0/Local.dll migrate --data "$data" --ports free --only $only >/dev/null
dotnet local/bin/Debug/net10.0/Local.dll up --data "$data" --ports free --json --only $only >"$data/up.json" 2>"$data/up.err" &
launcher=$!
trap 'kill -TERM $launcher 2>/dev/null; wait $launcher 2>/dev/null; rm -rf "$data"' EXIT
until [ -s "$data/up.json" ]; do sleep 0.1; kill -0 $launcher; done
gateway=$(jq -r .gatewayUrl "$data/state.json")
password=$(jq -r '."operator-password"' "$data/secrets.json")

# CPU seconds so far of every part, children included.
cpu() {
  jq -r '.parts[] | "\(.name) \(.pid)"' "$data/state.json" | while read -r name pid; do
    echo "$name $(cat /proc/"$pid"/stat $(pgrep -P "$pid" | sed 's|.*|/proc/&/stat|') 2>/dev/null | sed 's/.*) //' | awk '{ sum += $12 + $13 } END { printf "%.1f", sum / 100 }')"
  done | tr '\n' ' '
}

echo "load $(cut -d' ' -f1 /proc/loadavg)"
dotnet bench/search/bin/Release/net10.0/SearchBench.dll --gateway "$gateway" --operator-password "$password" --products "$products" --seconds "$seconds"
echo "CPU seconds: $(cpu)"

echo "kill -9, and the index from nothing"
kill -9 "$(jq -r '.parts[] | select(.name == "search") | .pid' "$data/state.json")"
rm -rf "$data/search"
token=$(curl -sf "$gateway/api/v1/sessions" -H 'content-type: application/json' -d '{"email":"operator@marketplace.local","password":"'"$password"'"}' | jq -r .accessToken)
until status=$(curl -sf "$gateway/api/v1/operations/search/rebuild" -H "authorization: Bearer $token") && [ "$(jq -r .state <<<"$status")" = done ]; do sleep 0.5; done
jq -r '"\(.read) listings in \((.endedAt | sub("\\.[0-9]+"; "") | sub("\\+00:00"; "Z") | fromdate) - (.startedAt | sub("\\.[0-9]+"; "") | sub("\\+00:00"; "Z") | fromdate)) s"' <<<"$status"
echo "load $(cut -d' ' -f1 /proc/loadavg)"
