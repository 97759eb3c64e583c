#!/bin/sh
# What dapr.yaml runs. A shell, because it is there where Node.js is not: then the rest of the system starts all the same.
cd "$(dirname "$0")" || exit 1
if [ "${ORDER_FEED:-}" != "on" ]; then
  echo "order-feed is not asked for: start the system with --with order-feed-node, or set ORDER_FEED=on for dapr run."
  exit 0
fi
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "order-feed needs Node.js 20 or later, with npm." >&2
  exit 1
fi
exec node start.mjs
