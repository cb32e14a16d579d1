#!/bin/sh
# make demo, demo-stop, demo-reset: install what is missing, then hand over to scripts/demo.
set -eu
cd "$(dirname "$0")/.."
action=$1
if [ "$action" = start ]; then
    began=$(date +%s.%N)
    if ! ls var/cache/demo-image-*.tar >/dev/null 2>&1; then
        # The longest step of a first run. It ends with this process, which becomes the demo's supervisor.
        scripts/bootstrap.sh --image-tools
        setpriv --pdeathsig TERM -- .venv/bin/python -m scripts.image early >var/log/image-early.log 2>&1 &
    fi
    scripts/bootstrap.sh --engine
    set -- "$@" --began "$began"
elif [ ! -x .venv/bin/python ]; then
    echo "No demo was ever started here."
    exit 0
fi
exec .venv/bin/python -m scripts.demo.cli "$@"
