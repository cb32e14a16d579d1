"""The networks that are trained: own definitions, random weights, nothing to download."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

Tensor = Any
"""torch.Tensor; torch is not there where the types are checked."""

_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Width, number of blocks and stride of the first one, of the four stages of ResNet-50."""
_EXPANSION = 4


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    padding = size // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding, bias=False), nn.BatchNorm2d(outputs)
    )


class Bottleneck(nn.Module):
    """Three convolutions around a shortcut (He et al. 2015; the stride is on the middle one, as in torchvision)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * _EXPANSION
        self.body = nn.Sequential(
            _convolution(inputs, width, 1),
            nn.ReLU(inplace=True),
            _convolution(width, width, 3, stride),
            nn.ReLU(inplace=True),
            _convolution(width, outputs, 1),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _convolution(inputs, outputs, 1, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Features of images, [batch, channels, height, width] to the same."""
        return functional.relu(self.body(images) + self.shortcut(images))


def resnet50(classes: int = 1000) -> nn.Sequential:
    """ResNet-50: 25,557,032 parameters with 1,000 classes."""
    layers = [_convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2, padding=1)]
    inputs = 64
    for width, blocks, stride in _STAGES:
        for number in range(blocks):
            layers.append(Bottleneck(inputs, width, stride if number == 0 else 1))
            inputs = width * _EXPANSION
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes)]
    return nn.Sequential(*layers, *head)


class TransformerBlock(nn.Module):
    """Pre-norm attention and a four times wider feed-forward, causal, as in GPT-2."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.norm_feed = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, length, width] to the same."""
        tokens = tokens + self._attention(self.norm_attention(tokens))
        return tokens + self.feed(self.norm_feed(tokens))

    def _attention(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        qkv = self.to_qkv(tokens).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.merge(mixed.transpose(1, 2).reshape(batch, length, width))


def transformer(width: int, heads: int, blocks: int = 2) -> nn.Sequential:
    """A stack of blocks on vectors, without embeddings: those are memory traffic of another kind."""
    return nn.Sequential(*(TransformerBlock(width, heads) for _ in range(blocks)))


class Recurrent(nn.Module):
    """Two LSTM layers and a linear head on every step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, width)

    def forward(self, steps: Tensor) -> Tensor:
        """[batch, length, width] to the same."""
        hidden, _ = self.lstm(steps)
        return self.head(hidden)


def parameter_count(model: nn.Module) -> int:
    """How many numbers the model learns."""
    return sum(int(parameter.numel()) for parameter in model.parameters())


def fixed_seed() -> None:
    """Make weights and inputs the same in every run."""
    torch.manual_seed(0)
