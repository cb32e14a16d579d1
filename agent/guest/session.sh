#!/bin/sh
# What each login of the client begins with. Made by the Spotyard agent; plain POSIX shell. It gives the session the
# container's variables, also those that sshd's own file can't hold, and then does what was asked for, as sshd would.

here=/.spotyard
tools=$here/tools/bin

# Shells that know -l are begun as login shells; for the others this reads what a login shell would.
login_shell() {
    case "$shell" in
        */bash | */zsh | */fish | */ksh | */ash | */tcsh | */csh) exec "$shell" -l ;;
    esac
    "$shell" -l -c : </dev/null >/dev/null 2>&1 && exec "$shell" -l
    # shellcheck source=/dev/null
    [ -r /etc/profile ] && . /etc/profile
    exec "$shell"
}

sftp_server() {
    for program in "$tools/sftp-server" /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server \
        /usr/lib/ssh/sftp-server /usr/libexec/sftp-server /usr/lib/sftp-server; do
        [ -x "$program" ] && exec "$program"
    done
    echo "This instance has no SFTP server." >&2
    exit 1
}

# Shells make their prompts themselves. What is missing in them is the whole name: bash's \h ends at the first dot, and
# "C.1234" would be "C".
set_prompt() {
    # shellcheck disable=SC2016,SC2089 # bash is to expand it, at each prompt
    bash_prompt='case $PS1 in "\\s-\\v\\\$ ") PS1="\\u@\\H:\\w\\\$ " ;; *) PS1=${PS1//\\h/\\H} ;; esac'
    PROMPT_COMMAND=${PROMPT_COMMAND:-$bash_prompt}
    ENV=${ENV:-$here/shrc}
    # shellcheck disable=SC2090
    export PROMPT_COMMAND ENV
}

# Not inside of another tmux or screen, of the client's computer perhaps: their keys would get in each other's way.
wants_tmux() {
    [ -z "${NO_AUTO_TMUX-}${TMUX-}" ] && [ ! -e "$HOME/.no_auto_tmux" ] || return 1
    case "${TERM-}" in
        '' | dumb | screen* | tmux*) return 1 ;;
    esac
    [ -t 0 ] && [ -t 1 ] && command -v tmux >/dev/null 2>&1
}

greet() {
    [ -e "$HOME/.hushlogin" ] && return 0
    echo "This session runs in tmux: when the connection breaks, programs go on, and the next login is back in it."
    echo "Ctrl-b d leaves it running, Ctrl-b c opens another window. To log in without tmux: touch ~/.no_auto_tmux"
}

interactive() {
    set_prompt
    if wants_tmux; then
        # The lent tmux needs LOCPATH for itself; programs in it have locales of their own.
        tmux start-server \; set-environment -gu LOCPATH \; \
            new-session -A -s ssh_tmux "exec /bin/sh $here/session.sh greet" && exit 0
        echo "tmux did not work here, so this is a plain shell."
    fi
    login_shell
}

shell=${SHELL:-/bin/sh}
if [ "${1-}" = greet ]; then
    greet
    login_shell
fi
command=${SSH_ORIGINAL_COMMAND-}
is_asked=${SSH_ORIGINAL_COMMAND+yes}
unset SSH_ORIGINAL_COMMAND
# shellcheck source=/dev/null
[ -r "$here/environment.sh" ] && . "$here/environment.sh"
case "$is_asked:$command" in
    yes:internal-sftp*) sftp_server ;;
    yes:*) exec "$shell" -c "$command" ;;
esac
if [ -t 0 ]; then interactive; else login_shell; fi
