"""How a search adapts DLPerf: which precisions count how much.

The numbers are a convention, not a measurement: they say in which precisions work with such an image usually runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mix:
    """Weights of the precisions; they add up to 1."""

    fp32: float = 0.0
    fp16: float = 0.0
    bf16: float = 0.0
    int8: float = 0.0

    def weights(self) -> Iterator[tuple[str, float]]:
        """Name and weight of the precisions that count, always in the same order."""
        named = (("fp32", self.fp32), ("fp16", self.fp16), ("bf16", self.bf16), ("int8", self.int8))
        return ((name, weight) for name, weight in named if weight)


@dataclass(frozen=True)
class Image:
    """A family of images: how it is called, which words in an image's name mean it, what it usually runs."""

    title: str
    words: tuple[str, ...]
    mix: Mix


BALANCED = Mix(fp32=0.9, fp16=0.1)
"""DLPerf where nothing else is asked for."""

PRECISIONS: dict[str, Mix] = {
    "fp32": Mix(fp32=1.0),
    "fp16": Mix(fp16=1.0),
    "bf16": Mix(bf16=1.0),
    "int8": Mix(int8=1.0),
}

IMAGES: dict[str, Image] = {
    "pytorch": Image("PyTorch", ("pytorch", "torch"), Mix(fp32=0.5, fp16=0.5)),
    "tensorflow": Image("TensorFlow, Keras", ("tensorflow", "keras"), Mix(fp32=0.75, fp16=0.25)),
    "jax": Image("JAX", ("jax", "flax"), Mix(fp32=0.25, bf16=0.75)),
    "diffusion": Image("Stable Diffusion", ("diffusion", "comfyui", "automatic1111"), Mix(fp32=0.1, fp16=0.9)),
    "vllm": Image("vLLM, TGI, SGLang", ("vllm", "text-generation-inference", "sglang"), Mix(bf16=0.75, int8=0.25)),
    "llama.cpp": Image("llama.cpp, Ollama", ("llama", "ollama"), Mix(fp16=0.25, int8=0.75)),
}


def image_family(image: str) -> str | None:
    """The key in ``IMAGES`` that an image's name, such as "pytorch/pytorch:latest", speaks of; None if none."""
    name = image.strip().lower()
    if name in IMAGES:
        return name
    return next((key for key, known in IMAGES.items() if any(word in name for word in known.words)), None)


@dataclass(frozen=True)
class Adaptation:
    """What DLPerf is asked to stand for. A precision counts alone, whatever the image; without both it is balanced."""

    precision: str = ""
    """A key of ``PRECISIONS``, or empty."""
    family: str = ""
    """A key of ``IMAGES``, or empty."""

    @property
    def mix(self) -> Mix:
        """The weights."""
        if self.precision:
            return PRECISIONS[self.precision]
        return IMAGES[self.family].mix if self.family else BALANCED

    @property
    def name(self) -> str:
        """ "balanced", a precision, or the family of the image, as the API tells it."""
        return self.precision or self.family or "balanced"

    @property
    def is_any(self) -> bool:
        """Whether DLPerf differs from the balanced one."""
        return bool(self.precision or self.family)


BALANCED_ADAPTATION = Adaptation()
