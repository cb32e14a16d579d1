"""What both programs that run on hosts' machines ask first: whether torch can use the GPUs at all."""


class UnsupportedGpuError(Exception):
    """This torch can't use what is there: a fault of the image's, or of the driver's age."""


def require_kernels(device: str) -> None:
    """Compute a little on the device. Raises UnsupportedGpuError where torch has nothing that runs on it."""
    import torch  # noqa: PLC0415  # the programs say in a sentence that it is missing

    try:
        torch.ones(1, device=device).add_(1).item()
    except RuntimeError as error:
        if "no kernel image" in str(error) or "driver" in str(error):
            raise UnsupportedGpuError(f"torch {torch.__version__} has nothing for this GPU: {error}") from error
        raise
