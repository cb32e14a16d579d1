#!/bin/sh
# make demo, demo-stop, demo-reset: install what is missing, then hand over to scripts/demo.
set -eu
cd "$(dirname "$0")/.."
action=$1
if [ "$action" = start ]; then
    began=$(date +%s.%N)
    scripts/bootstrap.sh --engine
    set -- "$@" --began "$began"
elif [ ! -x .venv/bin/python ]; then
    echo "No demo was ever started here."
    exit 0
fi
exec .venv/bin/python -m scripts.demo.cli "$@"
