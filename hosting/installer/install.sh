#!/usr/bin/env bash
# Makes this machine a host of the marketplace at the address below.
#
#   curl -fsSL @SITE@/install.sh | sudo bash -s -- TOKEN
#   bash install.sh --help                   all that it can be told
#
# It checks the machine, installs Docker and NVIDIA's container toolkit where they are missing, and the agent as a
# service. Run again, it upgrades or repairs. It fetches the agent's bundle from the marketplace and goes on only if that
# has the SHA-256 that is written here.
set -euo pipefail

SITE='@SITE@'
BUNDLE_URL='@BUNDLE_URL@'
BUNDLE_SHA256='@BUNDLE_SHA256@'
VERSION='@VERSION@'

fail() {
    printf '\n%s\n' "$*" >&2
    exit 1
}

# The options are those of agent.installer, told here so that nothing has to be fetched for it.
usage() {
    cat <<'EOT'
Makes this machine a host of @SITE@, or takes that back.

  curl -fsSL @SITE@/install.sh | sudo bash -s -- TOKEN
  sudo bash install.sh             asks for the token, so that it is on no command line
  sudo bash install.sh uninstall   takes everything away again

A token is from @SITE@/host/setup/. It may be in SPOTYARD_TOKEN, too. The first thing that is
done is to give it another secret, which this machine keeps: where something has to be put right first, this is run again
without a token. On a machine that is set up it upgrades or repairs, and options that are not given stay as they are.

  --help                      this text
  --dry-run                   look and tell, change nothing
  --token-file FILE           read the token from there
  --force                     install in spite of failed checks; uninstall in spite of clients' containers
  --simulate "2x RTX 3090"    pretend to have these GPUs; offers say so
  --ports FIRST-LAST          ports for guests (20000-20999)
  --public-address A          address under which clients reach those ports
  --geolocation "Oslo, NO"    city and country code
  --hostname NAME             name to show
  --disk-gb N                 disk space for guests
  --no-firewall               load no rules that keep guests from this host's network
EOT
}

# Reads the command line into: command, dry_run, token, token_file, passed_on.
read_arguments() {
    command=install dry_run=no token=${SPOTYARD_TOKEN:-} token_file='' passed_on=()
    unset SPOTYARD_TOKEN
    while [ $# -gt 0 ]; do
        case "$1" in
            install | uninstall) command=$1 ;;
            --token-file) [ $# -ge 2 ] || fail "--token-file needs the name of a file."; token_file=$2; shift ;;
            --token-file=*) token_file=${1#*=} ;;
            --dry-run) dry_run=yes; passed_on+=("$1") ;;
            --help | -h) usage; exit 0 ;;
            --force | --no-firewall | --*=*) passed_on+=("$1") ;;
            --*) [ $# -ge 2 ] || fail "$1 needs a value."; passed_on+=("$1" "$2"); shift ;;
            *) token=$1 ;;
        esac
        shift
    done
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null
}

# A Python for the installer itself; the agent's own may be another.
ensure_python() {
    is_new_enough python3 && return
    [ "$dry_run" = no ] || fail "would install python3 with apt, and look at everything else with it"
    command -v apt-get >/dev/null || fail "This is for Ubuntu 20.04 to 24.04 and Debian 12, which have apt-get."
    dpkg-query --show --showformat='${db:Status-Abbrev} ${binary:Package}\n' >"$work/packages-before"
    printf '%s\n' "--> install with apt: python3"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3; } \
        >"$work/apt.log" 2>&1 </dev/null || fail "apt-get could not install python3: $(tail -n 5 "$work/apt.log")"
    is_new_enough python3 || fail "Python 3.8 or newer is needed; this system has $(python3 --version)."
    passed_on+=(--packages-before "$work/packages-before")
}

fetch() {
    if command -v curl >/dev/null; then
        curl -fsSL --retry 3 --connect-timeout 15 -o "$2" "$1"
    elif command -v wget >/dev/null; then
        wget -q -O "$2" "$1"
    else
        python3 -c 'import shutil, sys, urllib.request as web
with web.urlopen(sys.argv[1], timeout=30) as answer, open(sys.argv[2], "wb") as file: shutil.copyfileobj(answer, file)' "$1" "$2"
    fi
}

fetch_bundle() {
    fetch "$BUNDLE_URL" "$work/agent.tar.gz" </dev/null ||
        fail "The agent can't be fetched from $BUNDLE_URL: check the name server, the clock, and firewalls on the way."
    printf '%s  %s\n' "$BUNDLE_SHA256" "$work/agent.tar.gz" | sha256sum --check --status ||
        fail "What came from $BUNDLE_URL is not the agent that this script belongs to. If the marketplace was updated in between, fetch the script again."
    tar -xzf "$work/agent.tar.gz" -C "$work"
}

# Leaves the token in a file that only root can read; asks for it where it was not given, no earlier run has left one and
# somebody is there.
keep_token() {
    [ "$command" = install ] || return 0
    if [ -n "$token_file" ]; then
        token=$(cat -- "$token_file") || fail "The token file $token_file can't be read."
    elif [ -z "$token" ] && [ "$dry_run" = no ] && [ ! -e /var/lib/spotyard/state.json ] &&
        [ ! -e /etc/spotyard/token.json ] && { : >/dev/tty; } 2>/dev/null; then
        read -rsp "Install token, from $SITE/host/setup/: " token </dev/tty
        printf '\n'
    fi
    [ -n "$token" ] || return 0
    printf '%s\n' "$token" >"$work/token"
    passed_on+=(--token-file "$work/token")
}

main() {
    read_arguments "$@"
    [ "$dry_run" = yes ] || [ "$(id -u)" = 0 ] || fail "Run it as root: put sudo before bash."
    umask 077
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    ensure_python
    fetch_bundle
    keep_token
    umask 022
    [ "$command" = uninstall ] || passed_on+=(--site "$SITE" --version "$VERSION" --digest "$BUNDLE_SHA256" --bundle "$work/agent.tar.gz")
    cd "$work/spotyard-agent"
    PYTHONDONTWRITEBYTECODE=1 python3 -m agent.installer "$command" "${passed_on[@]}" </dev/null
}

# Last, so that a script that arrived in part does nothing.
main "$@"
