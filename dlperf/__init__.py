"""DLPerf: what a GPU is worth for deep learning."""

EXIT_UNSUPPORTED = 3
"""What both programs that run on hosts' machines end with where torch can't use the GPUs at all."""
