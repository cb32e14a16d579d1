"""What rsync says, and what that means for a copy."""

import pytest

from agent.freight.rsync import amount, progress, verdict
from agent.freight.tunnel import matching

TOLD = "\r     32,768   0%    0.00kB/s    0:00:00  \r    314,572,803  99%   44.73MB/s    0:00:06 (xfr#2, to-chk=0/4)\n"


def test_the_last_progress_counts() -> None:
    seen = progress(TOLD)
    assert seen is not None
    assert (seen.done_bytes, seen.share, seen.bytes_per_second) == (314_572_803, 0.99, 44_730_000)
    assert str(seen) == "314.6 MB copied, 44.7 MB/s"
    assert progress("sending incremental file list") is None


@pytest.mark.parametrize(
    ("code", "told", "ssh_told", "state", "reason"),
    [
        (0, TOLD, "", "done", ""),
        (24, "file has vanished", "", "done", ""),
        (11, "rsync: write failed: No space left on device (28)", "", "failed", "disk_full"),
        (23, 'rsync: [sender] link_stat "/no" failed: No such file or directory (2)', "", "failed", "no_such_path"),
        (0, TOLD, 'rsync: [sender] link_stat "/no" failed: No such file or directory (2)', "failed", "no_such_path"),
        (0, TOLD, 'rsync: [sender] send_files failed to open "/x": Input/output error (5)', "failed", "copy_failed"),
        (127, "There is no rsync.", "", "failed", "no_rsync"),
        (137, "", "", "failed", "target_stopped"),
        (12, "connection unexpectedly closed", "", "again", "cut_off"),
        (30, "io timeout", "", "again", "cut_off"),
        (255, "", "root@h: Permission denied (publickey).", "again", "refused"),
        (12, "", "ssh: connect to host h port 1: Connection refused", "again", "cut_off"),
        (None, "", "", "again", "cut_off"),
        (23, "rsync: open failed: Permission denied (13)", "", "failed", "copy_failed"),
    ],
)
def test_how_a_try_ended(code: int | None, told: str, ssh_told: str, state: str, reason: str) -> None:
    seen = verdict(code, told, ssh_told)
    assert (seen.state, seen.reason) == (state, reason)


def test_the_reason_is_what_was_said_last_and_no_progress() -> None:
    told = f"{TOLD}rsync: mkstemp failed: Read-only file system (30)\nrsync error: some files (code 23) at main.c(1)\n"
    assert verdict(23, told, "").message == "rsync: mkstemp failed: Read-only file system (30)"


def test_amounts() -> None:
    assert [amount(n) for n in (0, 999, 1500, 2.5e9, 7e15)] == ["0 bytes", "999 bytes", "1.5 KB", "2.5 GB", "7000.0 TB"]


def test_only_the_keys_that_are_known_are_trusted() -> None:
    line = "[127.0.0.1]:22 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    known = ["ssh-ed25519 SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"]
    assert list(matching([line, "host ssh-rsa !!", ""], known)) == [line]
    assert list(matching([line], ["ssh-ed25519 SHA256:other"])) == []
