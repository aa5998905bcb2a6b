"""Encoders that make unit vectors: a CLIP of open_clip (pictures, texts), or a network that reads pictures only."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workers.ml.pictures import decode
from workers.ml.vectors import Vectors, l2_normalised
from workers.ml.weights import WeightsUnavailable

__all__ = ["Encoder", "EncoderSpec", "NotFinite", "WeightsUnavailable", "load_encoder"]

CPU_BATCH = 16
GPU_BATCH = 128
_Item = TypeVar("_Item")
_Key = TypeVar("_Key")
torch_lock = threading.Lock()  # threads of one worker share torch: two calls at once only slow each other

Readable = bytes | Image.Image
Source = Literal["open_clip", "timm", "efficientnet-lite0"]


class NotFinite(ValueError):
    """The network gave no direction for a picture: NaN, infinity or zeros. Such a vector is nobody's."""


@dataclass(frozen=True)
class EncoderSpec:
    """Which encoder to load.

    `model` is open_clip's or timm's name, `hf-hub:` and the id of a repository, `local-dir:` and the path of a folder
    that holds config and weights, or the path of a model config (.json). `pretrained` is one of open_clip's tags (for
    timm any word: its own weights) or the path of a safetensors file; None means random weights drawn from `seed`.
    `quick_gelu` is the activation that a file's weights were trained with; tags and folders know theirs.
    EfficientNet-Lite0 reads none of them.
    """

    source: Source
    model: str = "EfficientNet-Lite0"
    pretrained: str | None = None
    seed: int = 0
    quick_gelu: bool = False


@dataclass(frozen=True)
class Encoder:
    """Maps pictures, and texts where `has_text`, to unit vectors of `width` numbers."""

    name: str
    width: int
    has_text: bool
    weights: Literal["trained", "random"]
    licence: str
    logit_scale: float | None  # the factor CLIP was trained to put on cosines; None without a text tower
    image_size: int
    device: torch.device
    transform: Callable[[Image.Image], Tensor]
    image_tower: Callable[[Tensor], Tensor]
    text_tower: Callable[[list[str]], Tensor] | None = None
    quick_gelu: bool = False
    parameters: int = 0
    file: str = ""  # where its trained weights are on this disk, as far as that is known
    full_precision: bool = False  # fp32 on a GPU too, so that figures are those of a CPU

    @property
    def batch(self) -> int:
        """How many pictures the model is given at once."""
        return CPU_BATCH if self.device.type == "cpu" else GPU_BATCH

    def embed_images(self, jpegs: Sequence[bytes]) -> Vectors:
        """Float32 [n, width], rows of length 1. Raises OSError when a picture can't be decoded, NotFinite."""
        rows = [np.empty((0, self.width), np.float32)]
        for _, made in self.embed_each((None, partial(bytes, jpeg)) for jpeg in jpegs):
            if isinstance(made, Exception):
                raise made
            rows.append(made[None])
        return np.concatenate(rows)

    def embed_each(
        self, pictures: Iterable[tuple[_Key, Callable[[], Readable]]], *, unit: bool = True
    ) -> Iterator[tuple[_Key, Vectors | Exception]]:
        """(key, float32 [width]) of each picture in their order, read as they are needed: a file's bytes, or a picture.

        Of length 1, or as the network gives it where `unit` is off. One that can't be read or decoded gives its
        exception instead, NotFinite one without a direction; the others go on. Pictures are read and decoded
        beside the model, at most two batches ahead of it.
        """
        with closing(self._decoded_ahead(pictures)) as decoded:
            for some in _batches(decoded, self.batch):
                ready = [pixels for _, pixels in some if isinstance(pixels, Tensor)]
                rows = iter(self._run(self.image_tower, torch.stack(ready)) if ready else ())
                for key, pixels in some:
                    yield key, pixels if isinstance(pixels, Exception) else _finite(next(rows), unit=unit)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Float32 [n, width], rows of length 1; words beyond the context (77 tokens for CLIP) are not seen.

        Raises ValueError when the encoder reads pictures only.
        """
        if self.text_tower is None:
            raise ValueError(f"{self.name} embeds pictures only.")
        made = [self._run(self.text_tower, batch) for batch in _batches(texts, self.batch)]
        return l2_normalised(np.concatenate([np.empty((0, self.width), np.float32), *made]))

    def _decoded_ahead(
        self, pictures: Iterable[tuple[_Key, Callable[[], Readable]]]
    ) -> Generator[tuple[_Key, Tensor | Exception], None, None]:
        waiting: deque[tuple[_Key, Future[Tensor | Exception]]] = deque()
        pool = ThreadPoolExecutor(_decoders(self.device), thread_name_prefix="decode")
        try:
            for key, read in pictures:
                waiting.append((key, pool.submit(self._pixels, read)))
                if len(waiting) > 2 * self.batch:
                    first, pixels = waiting.popleft()
                    yield first, pixels.result()
            while waiting:
                first, pixels = waiting.popleft()
                yield first, pixels.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _pixels(self, read: Callable[[], Readable]) -> Tensor | Exception:
        try:
            given = read()
            if isinstance(given, bytes):
                return self.transform(decode(given, at_least=2 * self.image_size))
            return self.transform(given.convert("RGB"))
        except Exception as error:  # whatever is wrong with one picture is not the others' trouble
            return error

    def _run(self, tower: Callable[[Any], Tensor], batch: Tensor | list[str]) -> Vectors:
        precision = _exactly() if self.full_precision else _precision(self.device)
        with torch_lock, torch.inference_mode(), precision:
            inputs = batch.to(self.device) if isinstance(batch, Tensor) else batch
            vectors: Vectors = tower(inputs).float().cpu().numpy()
        return vectors


def load_encoder(spec: EncoderSpec) -> Encoder:
    """Load onto the GPU where there is one, else the CPU, and try it on an empty picture.

    The same spec gives the same vectors in every process, random weights included. Raises
    WeightsUnavailable, in under 10 s on a machine that is offline, when `spec.pretrained` can't be had, and
    BadWeights when what was read is no such model.
    """
    from workers.ml import networks

    return networks.BY_SOURCE[spec.source](spec)


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _finite(row: Vectors, *, unit: bool) -> Vectors | Exception:
    length = float(np.linalg.norm(row))
    if not np.isfinite(length) or length == 0:
        return NotFinite("the model gave no finite vector for it")
    return np.asarray(row / length if unit else row, dtype=np.float32)


@contextmanager
def _exactly() -> Iterator[None]:
    """Without TF32, which a GPU takes for convolutions by itself and which has bf16's fraction and three bits more."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _precision(where: torch.device) -> AbstractContextManager[object]:
    """bf16 halves the time on a GPU that has it; a CPU only emulates it."""
    if where.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def _decoders(where: torch.device) -> int:
    """One thread keeps pace with a CPU model and leaves it the cores; a GPU needs them all."""
    return 1 if where.type == "cpu" else torch.get_num_threads()


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
