"""DLPerf: what a GPU is worth for deep learning."""
