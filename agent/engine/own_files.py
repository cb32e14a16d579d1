"""Room for the three files that the engine lends each container: its hosts, its host name, its nameservers.

They lie beside what the engine itself knows of the container, on the host's own disk, and root inside writes to them:
without a bound that is a way past every limit of its disk. So they are covered by files of a small file system in
memory, one for each container, which the engine fills anew at each start.
"""

from pathlib import Path

from agent.engine.own_disks import outside

NAMES = ("hosts", "hostname", "resolv.conf")
ROOM_KIB = 256

_COVER = f"""
set -eu
folder=$1 place=$2
mounts=$(cat /proc/self/mountinfo)
mounted() {{ case $mounts in *" $1 "*) ;; *) return 1 ;; esac; }}
[ -d "$place" ] || mkdir -p "$place"
mounted "$place" || mount -t tmpfs -o size={ROOM_KIB}k,nr_inodes=16,mode=0711 spotyard "$place"
for name in {" ".join(NAMES)}; do
    : >"$place/$name"
    [ -e "$folder/$name" ] || : >"$folder/$name"
    mounted "$folder/$name" || mount --bind "$place/$name" "$folder/$name"
done
"""
"""Emptied each time: where a guest has filled one, the engine would find no room to write the others. Few processes: it
delays each start."""
_RELEASE = f"""
set -u
folder=$1 place=$2
for name in {" ".join(NAMES)}; do
    umount "$folder/$name" 2>/dev/null
done
umount "$place" 2>/dev/null
[ ! -d "$place" ] || rmdir "$place"
"""


class OwnFiles:
    """All at ``data_root``, the engine's own directory. Both methods raise OSError."""

    def __init__(self, data_root: Path) -> None:
        self._containers = data_root / "containers"
        self._place = data_root / "spotyard-disks"

    def cover(self, container_id: str) -> None:
        """Before each start."""
        if self._folder(container_id).is_dir():
            self._run(_COVER, container_id)

    def release(self, container_id: str) -> None:
        """Before the engine removes the container, and of one that is no more."""
        self._run(_RELEASE, container_id)

    def _folder(self, container_id: str) -> Path:
        return self._containers / container_id

    def _run(self, script: str, container_id: str) -> None:
        arguments = [str(self._folder(container_id)), str(self._place / f"{container_id}.files")]
        done = outside(["sh", "-c", script, "own-files", *arguments])
        if done.returncode != 0:
            raise OSError(done.stderr.strip() or f"status {done.returncode}")
