#!/bin/sh
# First process of a container in ssh mode (below the engine's init). Made by the Spotyard agent; plain POSIX shell,
# because it has to run in any image. Exit codes 117 and 118 mean "no SSH server" and "the SSH server does not run".

here=/.spotyard
no_server=117
server_fails=118
most_restarts=5
onstart=/root/onstart.sh
onstart_log=/var/log/onstart.log

export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"

first_program() {
    for candidate in "$@"; do
        if [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
}

# ~/.ssh/environment is what gives SSH sessions the container's variables. The kernel's own copy of them ends each with
# a NUL, so a value with a line break (which that file can't hold) is recognised and left out.
write_environment() {
    mkdir -p /root/.ssh
    chmod 700 /root/.ssh
    tr '\n\000' '\001\n' <"/proc/$$/environ" | grep -v "$(printf '\001')" |
        grep -Ev '^(HOME|PWD|OLDPWD|SHLVL|TERM|USER|LOGNAME|SHELL|_)=' >"$here/environment"
    cp "$here/environment" /root/.ssh/environment
    chmod 600 /root/.ssh/environment "$here/environment"
}

# Login shells of many distributions reset PATH; this brings the image's own back.
keep_path() {
    [ -d /etc/profile.d ] || return 0
    quoted=$(printf '%s' "$PATH" | sed "s/'/'\\\\''/g")
    printf "export PATH='%s'\n" "$quoted" >/etc/profile.d/spotyard.sh
}

# A password field that begins with "!" marks a locked account, which sshd refuses even with a key.
unlock_root() {
    grep -q '^root:!' /etc/shadow 2>/dev/null || return 0
    sed 's/^root:![^:]*/root:*/' /etc/shadow >"$here/shadow" && cat "$here/shadow" >/etc/shadow
    rm -f "$here/shadow"
}

# Keys are made once and stay on the container's disk, so clients see the same host after stop and start. Never the
# image's own: those are known to everybody who has the image.
make_host_keys() {
    mkdir -p "$here/hostkeys"
    for kind in ed25519 ecdsa; do
        [ -s "$here/hostkeys/$kind" ] && continue
        rm -f "$here/hostkeys/new" "$here/hostkeys/new.pub"
        "$@" "$kind" "$here/hostkeys/new" >/dev/null 2>&1 && mv "$here/hostkeys/new" "$here/hostkeys/$kind"
        rm -f "$here/hostkeys/new.pub"
    done
}

openssh_key() {
    ssh-keygen -q -t "$1" -N '' -f "$2"
}

dropbear_key() {
    dropbearkey -t "$1" -f "$2"
}

# The client may have edited the file: what it names as interpreter counts, if the image has that.
run_onstart() {
    [ -s "$onstart" ] || return 0
    mkdir -p "${onstart_log%/*}"
    # What the script writes is part of the container's own log too, from this run on.
    : >>"$onstart_log" && tail -c "+$(($(wc -c <"$onstart_log") + 1))" -f "$onstart_log" 2>/dev/null &
    interpreter=$(sed -n '1s/^#![[:space:]]*\([^[:space:]]*\).*/\1/p' "$onstart")
    cd /root || return 0
    if [ -n "$interpreter" ] && [ -x "$interpreter" ]; then
        chmod +x "$onstart"
        "$onstart" >>"$onstart_log" 2>&1 &
    elif command -v bash >/dev/null 2>&1; then
        bash "$onstart" >>"$onstart_log" 2>&1 &
    else
        sh "$onstart" >>"$onstart_log" 2>&1 &
    fi
    cd /
}

start_openssh() {
    set --
    for key in "$here"/hostkeys/*; do
        [ -s "$key" ] && set -- "$@" -h "$key"
    done
    "$openssh" -D -e -f "$here/sshd_config" "$@" &
}

# dropbear reads no other key file than this, and learns its sessions' variables from its own where it knows -e.
start_dropbear() {
    [ -e /root/.ssh/authorized_keys ] || ln -s "$here/authorized_keys" /root/.ssh/authorized_keys
    set -- -F -E -s -p 22
    "$dropbear" -h 2>&1 | grep -q '^-e' && set -- "$@" -e
    for key in "$here"/hostkeys/*; do
        [ -s "$key" ] && set -- "$@" -r "$key"
    done
    "$dropbear" "$@" &
}

others_left() {
    for entry in /proc/[0-9]*; do
        pid=${entry#/proc/}
        [ "$pid" = 1 ] || [ "$pid" = "$$" ] || return 0
    done
    return 1
}

# The engine's SIGTERM reaches only this shell; passing it on gives every program the grace to save its work.
finish() {
    terminate_all
    wait
    while others_left; do
        sleep 0.1 2>/dev/null || sleep 1
    done
    exit 143
}

terminate_all() {
    ending=yes
    kill -TERM -1 2>/dev/null
}

ending=
trap terminate_all TERM INT

openssh=$(first_program /usr/sbin/sshd /usr/local/sbin/sshd /sbin/sshd /usr/bin/sshd)
dropbear=$(first_program /usr/sbin/dropbear /usr/local/sbin/dropbear /sbin/dropbear /usr/bin/dropbear)
if [ -z "$openssh$dropbear" ]; then
    echo "This image has no SSH server (neither sshd nor dropbear)." >&2
    exit "$no_server"
fi

# Why an earlier run was stopped; the agent puts it there.
rm -f "$here/notice.json"
mkdir -p /run/sshd /var/empty
chmod 755 /run/sshd
# The keys take longest, so the rest is done meanwhile.
if [ -n "$openssh" ]; then make_host_keys openssh_key & else make_host_keys dropbear_key & fi
write_environment
keep_path
unlock_root
wait "$!"
[ -n "$ending" ] && exit 143
run_onstart

restarts=0
while :; do
    if [ -n "$openssh" ]; then start_openssh; else start_dropbear; fi
    [ -n "$ending" ] && finish
    wait "$!"
    [ -n "$ending" ] && finish
    restarts=$((restarts + 1))
    [ "$restarts" -gt "$most_restarts" ] && exit "$server_fails"
    sleep 1
done
