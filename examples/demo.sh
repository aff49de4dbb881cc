#!/bin/sh
# `make demo`: imports a CSV file of 5,200 contacts over HTTP into the sandbox, and compares the summary with what the
# sandbox holds afterwards. Some rows are wrong, some exist already, and one the server refuses.
#
# Where HEYMARKET_SECRET_ID is set, the import goes to the real account instead. The made-up contacts never do: name
# your own file then, as in `make demo CSV=contacts.csv`. The journal and the failures file are written beside it.
set -eu
cd "$(dirname "$(readlink -f "$0")")/.."
heymarket=build/bin/heymarket

if [ -n "${HEYMARKET_SECRET_ID:-}" ]; then
  if [ -z "${CSV:-}" ]; then
    echo "HEYMARKET_SECRET_ID is set, so this would write to that account. Name the file to import: make demo CSV=FILE" >&2
    echo "Or unset HEYMARKET_SECRET_ID, to import made-up contacts into the sandbox." >&2
    exit 2
  fi
  # With the journal the same command goes on after an interruption.
  exec "$heymarket" import "$CSV" --journal "$CSV.journal" --failures "$CSV.failures.csv"
fi

if [ -n "${CSV:-}" ]; then
  echo "CSV is given, but HEYMARKET_SECRET_ID is not set: your file would not be used." >&2
  exit 2
fi

folder=${DEMO_FOLDER:-build/demo}
rm -rf "$folder"
mkdir -p "$folder"
csv=$folder/contacts.csv
lua5.4 examples/make_demo_csv.lua "$folder" "${ROWS:-5200}"

: >"$folder/sandbox.env"
# The sandbox prints where it is and with which credentials, as lines NAME=value.
"$heymarket" sandbox </dev/null >"$folder/sandbox.env" 2>"$folder/sandbox.log" &
sandbox=$!
stop() {
  kill "$sandbox" 2>/dev/null || true
  wait "$sandbox" 2>/dev/null || true
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
until grep -q '^HEYMARKET_SECRET_KEY=' "$folder/sandbox.env"; do
  kill -0 "$sandbox" 2>/dev/null || {
    cat "$folder/sandbox.log" >&2
    echo "The sandbox did not start." >&2
    exit 1
  }
  sleep 0.05
done
while IFS='=' read -r name value; do
  case $name in
    HEYMARKET_*) export "$name=$value" ;;
  esac
done <"$folder/sandbox.env"
echo "The sandbox is at $HEYMARKET_BASE_URL."

python3 examples/demo_check.py prepare "$folder"

echo "$heymarket import $csv --failures $folder/failures.csv"
echo
status=0
"$heymarket" import "$csv" --failures "$folder/failures.csv" >"$folder/summary.txt" || status=$?
cat "$folder/summary.txt"
echo
# 3: finished, and some were not accepted, as is meant here.
if [ "$status" != 3 ]; then
  echo "The import ended with code $status." >&2
  exit 1
fi
python3 examples/demo_check.py compare "$folder"
