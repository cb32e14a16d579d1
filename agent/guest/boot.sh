# shellcheck shell=sh
# Brings the container's files into place before its first start, from variables that it then drops; nothing later.
here=/.spotyard
path=$PATH
PATH=$PATH:$here/tools/applets
if [ ! -e "$here/start.sh" ]; then
    mkdir -p "$here" /root
    if [ ! -e "$here/authorized_keys" ]; then
        (umask 077 && printf '%s' "$SPOTYARD_KEYS" >"$here/authorized_keys" &&
            printf '%s' "$SPOTYARD_SESSION_KEYS" >"$here/session_keys")
    fi
    printf '%s' "$SPOTYARD_SSHD_CONFIG" >"$here/sshd_config"
    printf '%s' "$SPOTYARD_SESSION" >"$here/session.sh"
    printf '%s' "$SPOTYARD_SHRC" >"$here/shrc"
    if [ -n "$SPOTYARD_ONSTART" ]; then
        printf '%s' "$SPOTYARD_ONSTART" >/root/onstart.sh
        chmod 755 /root/onstart.sh
    fi
    # shellcheck disable=SC2153 # it is another variable than SPOTYARD_ONSTART
    printf '%s' "$SPOTYARD_START" >"$here/start.new" && mv "$here/start.new" "$here/start.sh"
fi
PATH=$path
unset SPOTYARD_BOOT SPOTYARD_KEYS SPOTYARD_SESSION_KEYS SPOTYARD_SSHD_CONFIG SPOTYARD_SESSION SPOTYARD_SHRC \
    SPOTYARD_ONSTART SPOTYARD_START
exec /bin/sh "$here/start.sh"
