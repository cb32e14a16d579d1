#!/bin/sh
# Keeps Jupyter running in a container of launch mode jupyter: the image's own, else one that pip installs into an
# environment of its own. Started by start.sh in the background at each start, once the container is prepared for SSH.
# Made by the Spotyard agent; plain POSIX shell. The first line of its report is installing, starting or failed, the rest
# is for the client; that Jupyter answers the agent sees for itself.

here=/.spotyard
report=$here/report/jupyter
log=/var/log/jupyter.log
environment=$here/jupyter-env
complete=$environment/complete
port=8080
retry_seconds=15
longest_retry_seconds=600
quick_end_seconds=10
most_quick_ends=3

# The small programs of the tools are for this script alone.
session_path=$PATH
PATH=$PATH:$here/tools/applets
places=$session_path:/opt/conda/bin:/opt/venv/bin:/venv/bin:/root/.local/bin

tell() {
    echo "Jupyter: $1. $2"
    printf '%s\n%s\n' "$1" "$2" >"$report.new" && mv "$report.new" "$report"
}

lookup() {
    (PATH=$places && command -v "$1")
}

# The client's choice, else the other: either shows the same files.
find_jupyter() {
    for name in $names; do
        lookup "$name" && return
        if [ -e "$complete" ] && [ -x "$environment/bin/$name" ]; then
            echo "$environment/bin/$name"
            return
        fi
    done
}

find_python() {
    for name in python3 python; do
        python=$(lookup "$name") || continue
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

# Output of a command goes to the log and to the container's own, line by line.
logged() {
    "$@" 2>&1 | while IFS= read -r line; do
        echo "$line"
        echo "$line" >>"$log"
    done
}

last_lines() {
    tail -n 12 "$log" | tail -c 1500
}

# What is installed for the image's programs can be imported in notebooks too.
make_environment() {
    rm -rf "$environment"
    "$1" -m venv --system-site-packages "$environment" >>"$log" 2>&1 && return 0
    rm -rf "$environment"
    "$1" -m venv --without-pip --system-site-packages "$environment" >>"$log" 2>&1
}

# Where neither the environment nor the image has pip, one is fetched.
choose_pip() {
    if "$environment/bin/python" -m pip --version >/dev/null 2>&1; then
        pip="-m pip"
    else
        pip=$("$environment/bin/python" "$here/find_pip.py" "$here" 2>>"$log")/pip
        [ "$pip" != /pip ]
    fi
}

run_pip() {
    # shellcheck disable=SC2086 # two words or one
    "$environment/bin/python" $pip install --no-input --disable-pip-version-check --progress-bar off \
        --prefer-binary "$package" && touch "$complete"
}

install() {
    python=$(find_python)
    if [ -z "$python" ]; then
        tell failed "The image has neither Jupyter nor Python 3.8 or later. SSH works. Install Python over SSH, for \
example with apt-get install python3-venv, and Jupyter follows by itself; or rent again with an image that has Python."
        return 1
    fi
    tell installing "The image has no Jupyter, so pip installs $package into it. That takes a minute or two; SSH works \
meanwhile."
    : >"$log"
    if ! make_environment "$python"; then
        tell failed "Python's module venv does not work in this image. Install it over SSH, for example with apt-get \
install python3-venv, and Jupyter follows by itself. $(last_lines)"
        return 1
    fi
    choose_pip && logged run_pip
    [ -e "$complete" ] && return 0
    tell failed "$package could not be installed; it is tried again. SSH works meanwhile. $(last_lines)"
    return 1
}

uptime_seconds() {
    read -r uptime _ </proc/uptime
    echo "${uptime%%.*}"
}

# Before JupyterLab 3 and Notebook 7 the same settings belonged to another class. What is said here goes above all that
# files of the image or the client set, so nothing in an image opens the server to everybody.
serve() {
    class=ServerApp
    root=root_dir
    case "${1##*/}:$("$1" --version 2>/dev/null | sed -n '1s/\..*//p')" in
        jupyter-notebook:[1-6] | jupyter-lab:[0-2])
            class=NotebookApp
            root=notebook_dir
            ;;
    esac
    mkdir -p "$directory"
    cd "$directory" 2>/dev/null || cd /
    PATH=$session_path "$1" --no-browser --allow-root --ip=0.0.0.0 --port="$port" "--$class.port_retries=0" \
        "--$class.$root=$directory" "--$class.base_url=/" "--$class.allow_remote_access=True" \
        "--$class.token=$JUPYTER_TOKEN" "--IdentityProvider.token=$JUPYTER_TOKEN" </dev/null >"$log" 2>&1
}

# Jupyter ends when it is told to, in its menu too; then it is to be there again.
keep_serving() {
    tell starting "$1 in $directory"
    began=$(uptime_seconds)
    serve "$1"
    code=$?
    if [ $(($(uptime_seconds) - began)) -ge "$quick_end_seconds" ]; then
        quick_ends=0
        sleep 1
        return
    fi
    quick_ends=$((quick_ends + 1))
    if [ "$quick_ends" -lt "$most_quick_ends" ]; then
        sleep 1
    else
        tell failed "Jupyter ends as soon as it has started (exit code $code); it is tried again. SSH works. $(last_lines)"
        sleep "$retry_seconds"
    fi
}

{
    IFS= read -r kind
    IFS= read -r directory
} <"$here/jupyter"
names="jupyter-lab jupyter-notebook"
package=jupyterlab
if [ "$kind" = notebook ]; then
    names="jupyter-notebook jupyter-lab"
    package=notebook
fi
export HOME="${HOME:-/root}" SHELL="${SHELL:-$(lookup bash || echo /bin/sh)}"
mkdir -p "${log%/*}"

quick_ends=0
pause_seconds=$retry_seconds
while :; do
    program=$(find_jupyter)
    if [ -n "$program" ]; then
        keep_serving "$program"
    elif install; then
        pause_seconds=$retry_seconds
    else
        sleep "$pause_seconds"
        pause_seconds=$((pause_seconds * 2))
        [ "$pause_seconds" -le "$longest_retry_seconds" ] || pause_seconds=$longest_retry_seconds
    fi
done
