"""Which build of torch a machine's GPUs and driver need: no single one has kernels for all that are on the market.

PyTorch 2.10 has two builds for CUDA 12 that between them cover everything from the GTX 10 series to Blackwell, so both
are of that release and their benchmarks compare. Architectures: PyTorch's release matrix for 2.10
(https://github.com/pytorch/pytorch/blob/main/RELEASE.md): cu126 has compute capabilities 5.0 to 9.0, cu128 7.5 to 12.0;
code runs on later minor versions of the same major one. Drivers: NVIDIA, "CUDA Compatibility", minor version
compatibility: whatever is built with CUDA 12.x runs on drivers from 525 on, which say that they can do CUDA 12.0.
"""

from dataclasses import dataclass

LEAST_CUDA = 12.0
LEAST_DRIVER = "525.60.13"
PLACEHOLDER = "{cuda}"
TORCH = "2.10.0"


@dataclass(frozen=True)
class Build:
    """A build of torch, by the name that PyTorch gives it, and the compute capabilities that it has kernels for."""

    cuda: str
    least: float
    below: float


BUILDS = (Build("cu128", 7.5, 13.0), Build("cu126", 5.0, 10.0))
"""The one to be preferred first."""


def build_for(compute_capability: float, cuda_version: float) -> str:
    """The build for GPUs of this capability with a driver that can do this version of CUDA; "" where there is none."""
    if cuda_version < LEAST_CUDA:
        return ""
    fitting = (build.cuda for build in BUILDS if build.least <= compute_capability < build.below)
    return next(fitting, "")


def image_for(template: str, compute_capability: float, cuda_version: float) -> str:
    """The image for such a machine; "" where there is none.

    ``template`` is an image's name with ``{cuda}`` in the place of the build. Without that it is one image for all
    machines, and its operator answers for what it runs on.
    """
    if PLACEHOLDER not in template:
        return template
    build = build_for(compute_capability, cuda_version)
    return template.replace(PLACEHOLDER, build) if build else ""


def any_image(template: str) -> str:
    """An image for a computer without GPUs: every build can do without."""
    return template.replace(PLACEHOLDER, BUILDS[0].cuda)


NO_BUILD = f"Our programs need driver {LEAST_DRIVER} or newer, and GPUs from the GTX 10 series to Blackwell."
