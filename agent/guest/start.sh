#!/bin/sh
# First process of a container in ssh mode (below the engine's init). Made by the Spotyard agent; plain POSIX shell,
# because it has to run in any image. Exit codes 117 and 118 mean "no SSH server" and "the SSH server does not run".

here=/.spotyard
tools=$here/tools/bin
report=$here/report
no_server=117
server_fails=118
most_restarts=5
onstart=/root/onstart.sh
onstart_log=/var/log/onstart.log

export PATH="${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
# Programs that the image lacks are found in the tools, by the client too; the smallest ones by this script alone.
[ -d "$tools" ] && PATH=$PATH:$tools
session_path=$PATH
PATH=$PATH:$here/tools/applets

first_program() {
    for candidate in "$@"; do
        if [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
}

# ~/.ssh/environment is what gives SSH sessions the container's variables; a value with a line break, which it can't
# hold, is left out there. environment.sh, for session.sh, has them all. The kernel's own copy of them ends each with a
# NUL, so line breaks are recognised, and stand as \001 until the end.
write_environment() {
    mkdir -p /root/.ssh
    chmod 700 /root/.ssh
    tr '\n\000' '\001\n' <"/proc/$$/environ" |
        LC_ALL=C grep -Ev '^(HOME|PWD|OLDPWD|SHLVL|TERM|USER|LOGNAME|SHELL|PATH|_)=' >"$here/environment.all"
    echo "PATH=$session_path" >>"$here/environment.all"
    LC_ALL=C grep -v "$(printf '\001')" "$here/environment.all" >"$here/environment"
    quote_environment <"$here/environment.all" >"$here/environment.sh"
    rm -f "$here/environment.all"
    cp "$here/environment" /root/.ssh/environment
    chmod 600 /root/.ssh/environment "$here/environment" "$here/environment.sh"
}

# What the client's own ssh has sent (LANG, LC_*) is not to be overruled.
quote_environment() {
    LC_ALL=C sed -n "s/'/'\\\\''/g
        s/^\\(LANG\\)=\\(.*\\)\$/[ -n \"\${\\1+x}\" ] || export \\1='\\2'/p
        s/^\\(LC_[A-Z]*\\)=\\(.*\\)\$/[ -n \"\${\\1+x}\" ] || export \\1='\\2'/p
        s/^\\([A-Za-z_][A-Za-z0-9_]*\\)=\\(.*\\)\$/export \\1='\\2'/p" | tr '\001' '\n'
}

# Login shells of many distributions reset PATH; this brings the image's own back.
keep_path() {
    [ -d /etc/profile.d ] || return 0
    quoted=$(printf '%s' "$session_path" | sed "s/'/'\\\\''/g")
    printf "export PATH='%s'\n" "$quoted" >/etc/profile.d/spotyard.sh
}

# sshd refuses everybody where there is no account, or one whose shell is missing.
prepare_accounts() {
    mkdir -p /etc
    ends_with_newline /etc/passwd || echo >>/etc/passwd
    grep -q '^root:' /etc/passwd || echo 'root:x:0:0:root:/root:/bin/sh' >>/etc/passwd
    grep -q '^sshd:' /etc/passwd || echo 'sshd:*:22022:22022:SSH server:/run/sshd:/bin/false' >>/etc/passwd
    [ -s /etc/group ] || printf 'root:x:0:\ntty:x:5:\n' >/etc/group
    mkdir -p /var/log
    # Without it sshd complains at each login.
    [ -e /var/log/lastlog ] || : >/var/log/lastlog
    give_root_a_shell
    unlock_root
}

ends_with_newline() {
    [ ! -s "$1" ] || [ -z "$(tail -c 1 "$1")" ]
}

give_root_a_shell() {
    shell=$(sed -n 's/^root:.*://p' /etc/passwd | sed -n 1p)
    case "$shell" in
        */nologin | */false) ;;
        *) [ -x "$shell" ] && return 0 ;;
    esac
    shell=$(first_program /bin/bash /bin/sh)
    sed "s|^\\(root:.*:\\)[^:]*\$|\\1$shell|" /etc/passwd >"$here/passwd" && cat "$here/passwd" >/etc/passwd
    rm -f "$here/passwd"
}

# A password field that begins with "!" marks a locked account, which sshd refuses even with a key.
unlock_root() {
    grep -q '^root:!' /etc/shadow 2>/dev/null || return 0
    sed 's/^root:![^:]*/root:*/' /etc/shadow >"$here/shadow" && cat "$here/shadow" >/etc/shadow
    rm -f "$here/shadow"
}

# A key is made once and stays on the container's disk, so clients see the same host after stop and start. Never the
# image's own: those are known to everybody who has the image. An old dropbear knows no ed25519.
make_host_key() {
    mkdir -p "$here/hostkeys"
    for kind in ed25519 ecdsa; do
        [ -s "$here/hostkeys/$kind" ] && break
        rm -f "$here/hostkeys/new" "$here/hostkeys/new.pub"
        "$@" "$kind" "$here/hostkeys/new" >/dev/null 2>&1 && mv "$here/hostkeys/new" "$here/hostkeys/$kind" && break
    done
    report_host_keys
    rm -f "$here/hostkeys/new" "$here/hostkeys/new.pub"
}

# The agent reads from there what the client can compare with what its ssh shows.
report_host_keys() {
    if [ -s "$here/hostkeys/new.pub" ]; then
        cat "$here/hostkeys/new.pub"
    else
        for key in "$here"/hostkeys/*; do
            if [ -n "$sshd" ]; then ssh-keygen -y -f "$key"; else dropbearkey -y -f "$key"; fi
        done
    fi 2>/dev/null | grep -E '^(ssh|ecdsa)-' >"$report/new" && mv "$report/new" "$report/host_keys"
}

openssh_key() {
    ssh-keygen -q -t "$1" -N '' -f "$2"
}

dropbear_key() {
    dropbearkey -t "$1" -f "$2"
}

# The client may have edited the file: what it names as interpreter counts, if the image has that.
run_onstart() {
    rm -f "$report/onstart"
    [ -s "$onstart" ] || return 0
    mkdir -p "${onstart_log%/*}"
    # What the script writes is part of the container's own log too, from this run on.
    : >>"$onstart_log"
    before=$(wc -c <"$onstart_log")
    tail -c "+$((before + 1))" -f "$onstart_log" 2>/dev/null &
    interpreter=$(sed -n '1s/^#![[:space:]]*\([^[:space:]]*\).*/\1/p' "$onstart")
    set -- sh "$onstart"
    command -v bash >/dev/null 2>&1 && set -- bash "$onstart"
    if [ -n "$interpreter" ] && [ -x "$interpreter" ]; then
        chmod +x "$onstart"
        set -- "$onstart"
    fi
    echo runs >"$report/onstart"
    begin_onstart "$@" &
}

begin_onstart() {
    PATH=$session_path
    cd /root && "$@" >>"$onstart_log" 2>&1
    code=$?
    PATH=$PATH:$here/tools/applets
    {
        echo "$code"
        [ "$code" = 0 ] || tail -n 20 "$onstart_log" | tail -c 2000
    } >"$report/onstart.new" && mv "$report/onstart.new" "$report/onstart"
}

# With commands of ours at each login only where they can do all that sshd does itself.
keys_file() {
    found=$(first_program "$tools/sftp-server" /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server \
        /usr/lib/ssh/sftp-server /usr/libexec/sftp-server)
    if [ -n "$found" ] && [ -s "$here/session.sh" ]; then echo session_keys; else echo authorized_keys; fi
}

start_openssh() {
    set -- -o "AuthorizedKeysFile=$here/$(keys_file) .ssh/authorized_keys"
    for key in "$here"/hostkeys/*; do
        [ -s "$key" ] && set -- "$@" -h "$key"
    done
    "$sshd" -D -e -f "$here/sshd_config" "$@" &
}

# dropbear reads no other key file than this, and learns its sessions' variables from its own where it knows -e.
start_dropbear() {
    [ -e /root/.ssh/authorized_keys ] || ln -s "$here/session_keys" /root/.ssh/authorized_keys
    set -- -F -E -s -p 22
    "$dropbear" -h 2>&1 | grep -q '^-e' && set -- "$@" -e
    for key in "$here"/hostkeys/*; do
        [ -s "$key" ] && set -- "$@" -r "$key"
    done
    "$dropbear" "$@" &
}

# In the background: SSH is there meanwhile, and goes on without it.
start_jupyter() {
    [ -s "$here/jupyter.sh" ] || return 0
    PATH=$session_path /bin/sh "$here/jupyter.sh" &
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

# The image's own SSH server, else the lent one, which can do more than dropbear.
lent=$(first_program "$tools/sshd")
sshd=$(first_program /usr/sbin/sshd /usr/local/sbin/sshd /sbin/sshd /usr/bin/sshd "$lent")
dropbear=$(first_program /usr/sbin/dropbear /usr/local/sbin/dropbear /sbin/dropbear /usr/bin/dropbear)
if [ -z "$sshd$dropbear" ]; then
    echo "This image has no SSH server (neither sshd nor dropbear), and there is none to lend it." >&2
    exit "$no_server"
fi

# Why an earlier run was stopped; the agent puts it there.
rm -f "$here/notice.json"
mkdir -p /run/sshd /var/empty "$report"
chmod 755 /run/sshd
# The key takes longest, so the rest is done meanwhile.
if [ -n "$sshd" ]; then make_host_key openssh_key & else make_host_key dropbear_key & fi
prepare_accounts
write_environment
keep_path
wait "$!"
[ -n "$ending" ] && exit 143
run_onstart
rm -f "$report/jupyter"

restarts=0
while :; do
    if [ -n "$sshd" ]; then start_openssh; else start_dropbear; fi
    server=$!
    [ "$restarts" = 0 ] && start_jupyter
    [ -n "$ending" ] && finish
    wait "$server"
    [ -n "$ending" ] && finish
    restarts=$((restarts + 1))
    [ "$restarts" -gt "$most_restarts" ] && exit "$server_fails"
    if [ -n "$lent" ] && [ "$sshd" != "$lent" ]; then
        echo "The SSH server of the image has ended; the lent one takes its place." >&2
        sshd=$lent
    else
        sleep 1
    fi
done
