#!/bin/sh
# Install what the project needs, and only what is missing.
#
#   scripts/bootstrap.sh                 .venv with everything in requirements-dev.txt
#   scripts/bootstrap.sh --engine        also a Docker engine and what builds the demo image
#   scripts/bootstrap.sh --tests         also what the tests drive: Chromium, sshd, systemd-analyze, the vastai client
#   scripts/bootstrap.sh --torch         also torch, which the benchmark program's tests run on the CPU
#   scripts/bootstrap.sh --lint          also shellcheck
#   scripts/bootstrap.sh --pgbench       also pgbench
#   scripts/bootstrap.sh --image-tools   only what builds the demo image, and an empty .venv: a first quick step, so
#                                        that the image can be built while --engine installs the rest
#
# System packages come from apt on Debian and Ubuntu and need root; without root, this prints what to install.
# Python packages go into .venv only. A run with nothing to do takes well under a second.
set -eu
cd "$(dirname "$0")/.."

UV_VERSION=0.13.9
VASTAI_VERSION=1.9.1
TORCH_VERSION=2.13.0
LOG=var/log/bootstrap.log

main() {
    packages="ca-certificates"
    tests=no
    torch=no
    python_packages=yes
    for argument in "$@"; do
        case "$argument" in
            --engine) packages="$packages $(image_packages) $(engine_packages)" ;;
            --image-tools) packages=$(image_packages); python_packages=no ;;
            --tests) tests=yes; packages="$packages $(test_packages)" ;;
            --torch) torch=yes ;;
            --pgbench) packages="$packages $(unless pgbench postgresql-contrib)" ;;
            --lint) packages="$packages $(unless shellcheck shellcheck)" ;;
            *) fail "unknown argument $argument (known: --engine --tests --torch --lint --pgbench --image-tools)" ;;
        esac
    done
    mkdir -p var/log
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null || [ -x .venv/bin/python ] || packages="$packages $(venv_package "$python")"
    missing=$(missing_of "$packages")
    if [ "$python_packages" = no ]; then
        install_system "$missing"
        [ -x .venv/bin/python ] || "$python" -m venv .venv
        return
    fi
    # Downloads and unpacking of both kinds overlap, except that .venv may need its apt package first.
    case " $missing " in
        *-venv*) install_system "$missing"; install_python "$python" "$tests" ;;
        *) install_system "$missing" & system_job=$!
           install_python "$python" "$tests"
           wait "$system_job" ;;
    esac
    [ "$torch" = no ] || install_torch
}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# The package $2, unless the program $1 is there already (from wherever).
unless() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || echo "$2"
}

engine_packages() {
    # An engine that answers may come from anywhere, Docker's own packages included: leave it alone.
    docker info >/dev/null 2>&1 || unless dockerd docker.io
    unless iptables iptables
    unless nft nftables
    unless ip iproute2
    unless mkfs.ext4 e2fsprogs
    unless losetup mount
    unless ssh openssh-client
}

image_packages() {
    unless mmdebstrap mmdebstrap
    [ "$(id -u)" = 0 ] || unless newuidmap uidmap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
}

test_packages() {
    # Ubuntu has it as a snap only; CONTRIBUTING.md says what follows from that.
    grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null || unless chromium chromium
    unless ssh openssh-client
    unless sshd openssh-server
    unless rsync rsync
    unless systemd-analyze systemd
    # gVisor; only Debian 12 has a package of it.
    ! grep -q '^VERSION_CODENAME=bookworm' /etc/os-release 2>/dev/null || unless runsc runsc
}

venv_package() {
    # Debian splits ensurepip off into pythonX.Y-venv.
    "$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
}

find_python() {
    for candidate in python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or later is needed. On Debian 12 or Ubuntu 24.04: apt-get install python3 python3-venv"
}

missing_of() {
    for package in $1; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
    done
}

install_system() {
    [ -n "$1" ] || return 0
    command -v apt-get >/dev/null 2>&1 || fail "Please install with your system's package manager: $1"
    [ "$(id -u)" = 0 ] || fail "Please install, as root: apt-get install --no-install-recommends $1"
    echo "Installing system packages: $1"
    # Word splitting is wanted: one argument a package.
    # shellcheck disable=SC2086
    apt_install $1 >"$LOG.apt" 2>&1 || { tail -n 30 "$LOG.apt" >&2; fail "apt-get failed; see $LOG.apt"; }
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    # The engine is started by scripts/engine.py when it is needed; the ssh server only by the tests, never for real.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    run_apt "$@"
    case " $* " in
        *" openssh-server "*) [ ! -d /run/systemd/system ] || systemctl disable ssh.service ssh.socket ;;
    esac
}

run_apt() {
    set -- install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-unsafe-io "$@"
    # Without an update the lists may name versions that the mirror no longer has.
    apt-get "$@" || { apt-get update -q && apt-get "$@"; }
}

install_python() {
    [ -x .venv/bin/python ] || "$1" -m venv .venv || fail "python -m venv failed: install python3-venv"
    install_once .venv "$(cat requirements.txt requirements-dev.txt agent/requirements.txt)" -r requirements-dev.txt
    write_path
    [ "$2" = no ] || install_vastai "$1"
}

install_vastai() {
    # The public client pins libraries that collide with ours, so it lives apart. uv is taken from .venv.
    [ -x var/venvs/vastai/bin/python ] || "$1" -m venv var/venvs/vastai
    install_once var/venvs/vastai "vastai==$VASTAI_VERSION" "vastai==$VASTAI_VERSION"
}

install_torch() {
    # PyPI's wheel for Linux needs gigabytes of CUDA libraries. So the wheel comes from where pip's own settings have one
    # for CPUs, or from PyTorch's index of those; what it needs comes from the usual index. Not compiled: half the time.
    for there in .venv/lib/python3.*/site-packages/torch-"$TORCH_VERSION"*.dist-info; do
        [ ! -d "$there" ] || return 0
    done
    echo "Installing torch into .venv"
    pip_torch --no-deps --no-index || pip_torch --no-deps --index-url https://download.pytorch.org/whl/cpu || no_torch
    pip_torch || no_torch
}

no_torch() {
    tail -n 30 "$LOG.torch" >&2
    fail "pip could not install torch for CPUs; see $LOG.torch"
}

pip_torch() {
    .venv/bin/python -m pip install -q --no-compile "torch==$TORCH_VERSION" "$@" >>"$LOG.torch" 2>&1
}

# install_once VENV WHAT PIP-ARGUMENTS...: pip install unless this very WHAT was installed there before.
install_once() {
    venv=$1
    stamp=$(printf '%s\n%s' "$2" "$("$venv/bin/python" -V)" | sha256sum)
    shift 2
    [ "$(cat "$venv/.installed" 2>/dev/null)" != "$stamp" ] || return 0
    echo "Installing Python packages into $venv"
    pip_install "$venv" "$@" >"$LOG.pip" 2>&1 || { tail -n 30 "$LOG.pip" >&2; fail "pip failed; see $LOG.pip"; }
    printf '%s\n' "$stamp" >"$venv/.installed"
}

pip_install() {
    target=$1
    shift
    # uv needs 5 seconds where pip needs 40. pip remains for machines whose index only pip's own settings know.
    if { [ -x .venv/bin/uv ] || .venv/bin/python -m pip install -q "uv==$UV_VERSION"; } &&
        .venv/bin/uv pip install --python "$target/bin/python" "$@"; then
        return
    fi
    "$target/bin/python" -m pip install "$@"
}

# Let `python -m scripts.…` and pytest find the checkout from any folder.
write_path() {
    file=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/spotyard.pth
    [ "$(cat "$file" 2>/dev/null)" = "$PWD" ] || printf '%s\n' "$PWD" >"$file"
}

main "$@"
