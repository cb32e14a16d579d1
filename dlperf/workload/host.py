"""What the computer around the GPUs can do: its CPU, its memory, its disk."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from dlperf.workload.devices import MEGABYTE, Sizes
from dlperf.workload.timing import PICO, Measured, Timer
from dlperf.workload.training import Job

MEGA = 10**6
BLOCK_BYTES = 4 * MEGABYTE
DISK_REPEATS = 3
MOST_WRITING_SECONDS = 5.0
SYNC_BLOCKS = 16
"""So often the disk has to have what was written: else a slow one would be found out only at the end."""
CPU_MATRIX = 2048
RAM_BUFFER_MB = 256
FREE_PART = 4
"""A file takes at most the fourth part of what is free."""


def cpu_product(sizes: Sizes) -> Job:
    """A product of two square single-precision matrices on all cores that torch uses. Items are operations."""
    size = min(sizes.gemm, CPU_MATRIX)
    left, right, out = (torch.randn(size, size) for _ in range(3))
    return Job(lambda: torch.matmul(left, right, out=out), 2 * size**3)


def ram_copy(sizes: Sizes) -> Job:
    """A copy within memory. Items are bytes, read plus written."""
    megabytes = min(sizes.copy_mb, RAM_BUFFER_MB)
    source, target = (torch.ones(megabytes * MEGABYTE, dtype=torch.uint8) for _ in range(2))
    return Job(lambda: target.copy_(source), 2 * megabytes * MEGABYTE)


def disk_rates(sizes: Sizes, clock: Callable[[], float] = time.perf_counter) -> tuple[Measured, Measured]:
    """Bytes a second written to a new file, down to the disk, and read again from there. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="dlperf-") as folder:
        size = min(sizes.disk_mb * MEGABYTE, shutil.disk_usage(folder).free // FREE_PART)
        blocks = max(1, size // BLOCK_BYTES)
        rates = [_write_and_read(Path(folder) / str(number), blocks, clock) for number in range(DISK_REPEATS)]
    return Measured(tuple(written for written, _ in rates)), Measured(tuple(read for _, read in rates))


def measured(job: Job, sizes: Sizes, seconds: float) -> Measured:
    """Items a second of a job of the CPU."""
    return Timer(_nothing, sizes.sample_seconds).rate(job.step, items=job.items, seconds=seconds)


def _nothing() -> None:
    """Work of the CPU is done when its call returns."""


def _write_and_read(file: Path, blocks: int, clock: Callable[[], float]) -> tuple[float, float]:
    block = os.urandom(BLOCK_BYTES)  # zeros would be compressed by some file systems
    begun = clock()
    done = 0
    with file.open("wb", buffering=0) as out:
        while done < blocks and (done == 0 or clock() - begun < MOST_WRITING_SECONDS):
            out.write(block)
            done += 1
            if done % SYNC_BLOCKS == 0:
                os.fsync(out.fileno())
        os.fsync(out.fileno())
        written = clock() - begun
        _forget_pages(out.fileno())
    begun = clock()
    with file.open("rb", buffering=0) as source:
        while source.read(BLOCK_BYTES):
            pass
    read = clock() - begun
    file.unlink()
    size = done * BLOCK_BYTES
    return size / max(written, PICO), size / max(read, PICO)


def _forget_pages(descriptor: int) -> None:
    """Ask the kernel to drop the file from memory, so that reading it means the disk."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
