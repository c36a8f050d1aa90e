#!/bin/sh
# Start a Prefect server on 127.0.0.1 and serve the deployment from it, until Ctrl-C or SIGTERM, which end both.
# Usage: serve.sh PORT CRON CONFIG PROMPTS STORAGE
set -eu
export PREFECT_API_URL="http://127.0.0.1:$1/api"
server='' served=''
end() { # what is served first: its runs tell the server that they end
    trap '' INT TERM
    for started in $served $server; do
        kill "$started" 2>/dev/null || true
        wait "$started" 2>/dev/null || true
    done
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
prefect server start --host 127.0.0.1 --port "$1" &
server=$!
until python -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])" "$PREFECT_API_URL/health" 2>/dev/null; do
    kill -0 "$server" || exit 1
    sleep 1
done
sleep 1
kill -0 "$server" || { echo "error: another server answers on port $1; give another PORT" >&2; exit 2; }
# Only while it waits for what is in the background does a shell hear a signal.
python -m flows.running.serve "$2" "$3" "$4" "$5" &
served=$!
wait "$served"
