"""Steps of training and inference: what a framework does with a model, a batch and a precision."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from dlperf.workload import models
from dlperf.workload.devices import LEAST_IMAGES, Device, Sizes, image_batch
from dlperf.workload.models import Tensor

Loss = Callable[[Tensor], Tensor]
LEARNING_RATE = 0.01
MOMENTUM = 0.9
CLASSES = 1000


@dataclass(frozen=True)
class Job:
    """One step of work and how many items (images, tokens, steps of a sequence) it gets through."""

    step: Callable[[], Any]
    items: int


def resnet_training(device: Device, sizes: Sizes, precision: str) -> Job:
    """ResNet-50 on random images with SGD; a batch that does not fit after all is halved until it does."""
    batch = image_batch(device, sizes, precision)
    while True:
        try:
            job = _resnet_training(device, sizes, precision, batch)
            if device.kind == "cuda":
                job.step()
        except torch.cuda.OutOfMemoryError:
            device.release()
            if batch <= LEAST_IMAGES:
                raise
            batch //= 2
        else:
            return job


def resnet_inference(device: Device, sizes: Sizes, *, half: bool) -> Job:
    """ResNet-50 as it is served: no gradients, statistics fixed, all numbers in one precision."""
    dtype = device.half if half else torch.float32
    model = _placed(models.resnet50(), device, images=True).eval().to(dtype)
    images = _images(device, sizes, sizes.most_images).to(dtype)
    return Job(_inference(model, images), sizes.most_images)


def transformer_training(device: Device, sizes: Sizes, precision: str) -> Job:
    """Two transformer blocks learn to give back their input."""
    model = _placed(models.transformer(sizes.width, sizes.heads), device)
    return _sequence_training(device, sizes, model, precision)


def transformer_inference(device: Device, sizes: Sizes) -> Job:
    """Two transformer blocks on whole sequences, in half precision."""
    model = _placed(models.transformer(sizes.width, sizes.heads), device).eval().to(device.half)
    return Job(_inference(model, _vectors(device, sizes).to(device.half)), sizes.tokens_batch * sizes.tokens_length)


def lstm_training(device: Device, sizes: Sizes, precision: str) -> Job:
    """A two-layer LSTM learns to give back its input."""
    return _sequence_training(device, sizes, _placed(models.Recurrent(sizes.width), device), precision)


def training_step(
    device: Device, model: nn.Module, batch: Tensor, loss_of: Loss, precision: str
) -> Callable[[], Tensor]:
    """Forward, backward and update, as frameworks do it, which gives the loss; float16 with a scaled one."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    scaler = torch.amp.GradScaler(device.kind, enabled=precision == "mixed" and device.kind == "cuda")

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with _precision(device, precision):
            loss = loss_of(model(batch))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    return step


def image_training(device: Device, sizes: Sizes, model: nn.Module, precision: str, batch: int) -> Job:
    """Training of a model that sorts images into ``CLASSES``."""
    labels = torch.randint(0, CLASSES, (batch,), device=device.torch_name)

    def loss_of(scores: Tensor) -> Tensor:
        return functional.cross_entropy(scores, labels)

    return Job(training_step(device, model, _images(device, sizes, batch), loss_of, precision), batch)


def _resnet_training(device: Device, sizes: Sizes, precision: str, batch: int) -> Job:
    model = _placed(models.resnet50(CLASSES), device, images=True)
    return image_training(device, sizes, model, precision, batch)


def _sequence_training(device: Device, sizes: Sizes, model: nn.Module, precision: str) -> Job:
    batch = _vectors(device, sizes)

    def loss_of(outputs: Tensor) -> Tensor:
        return functional.mse_loss(outputs.float(), batch)

    return Job(training_step(device, model, batch, loss_of, precision), sizes.tokens_batch * sizes.tokens_length)


def _inference(model: nn.Module, batch: Tensor) -> Callable[[], object]:
    def step() -> object:
        with torch.inference_mode():
            return model(batch)

    return step


def _precision(device: Device, precision: str) -> AbstractContextManager[Any]:
    if precision == "fp32":
        return nullcontext()
    autocast: AbstractContextManager[Any] = torch.autocast(device_type=device.kind, dtype=device.half)
    return autocast


def _placed(model: nn.Module, device: Device, *, images: bool = False) -> nn.Module:
    """The model on its device, images' channels last: tensor cores read them so, and the CPU no worse."""
    model = model.to(device.torch_name)
    return model.to(memory_format=torch.channels_last) if images else model


def _images(device: Device, sizes: Sizes, batch: int) -> Tensor:
    images = torch.randn(batch, 3, sizes.image_px, sizes.image_px, device=device.torch_name)
    return images.contiguous(memory_format=torch.channels_last)


def _vectors(device: Device, sizes: Sizes) -> Tensor:
    return torch.randn(sizes.tokens_batch, sizes.tokens_length, sizes.width, device=device.torch_name)
