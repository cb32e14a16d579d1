# shellcheck shell=sh
# Brings the container's files into place before its first start, from variables that it then drops; nothing later.
here=/.spotyard
if [ ! -e "$here/start.sh" ]; then
    mkdir -p "$here" /root
    [ -e "$here/authorized_keys" ] || (umask 077 && printf '%s' "$SPOTYARD_KEYS" >"$here/authorized_keys")
    printf '%s' "$SPOTYARD_SSHD_CONFIG" >"$here/sshd_config"
    if [ -n "$SPOTYARD_ONSTART" ]; then
        printf '%s' "$SPOTYARD_ONSTART" >/root/onstart.sh
        chmod 755 /root/onstart.sh
    fi
    # shellcheck disable=SC2153 # it is another variable than SPOTYARD_ONSTART
    printf '%s' "$SPOTYARD_START" >"$here/start.new" && mv "$here/start.new" "$here/start.sh"
fi
unset SPOTYARD_BOOT SPOTYARD_KEYS SPOTYARD_SSHD_CONFIG SPOTYARD_ONSTART SPOTYARD_START
exec /bin/sh "$here/start.sh"
