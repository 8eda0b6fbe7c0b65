"""Whisper's encoder for what the recognition did not hear: by MLX on a GPU, by CTranslate2 on a CPU.

On a CPU int8 products are what counts, and MLX has none there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import mlx_runtime
from pipeline.machine import usable_cores

if TYPE_CHECKING:
    from pipeline.models import ModelFiles

STEP_FRAMES = {"cpu": 20, "cuda": 100, "metal": 100}
"""Log-mels are so many frames long, or a multiple: on a GPU, those of one length go together."""
_FRAMES_AT_ONCE = 24_000  # of log-mel on a GPU
_MOST_THREADS = 8

Encode = Callable[[Sequence[np.ndarray]], Iterator[tuple[int, np.ndarray]]]
"""Log-mels (frames, mels) in; the number of each, in any order, with the encoder's output (frames / 2, state)."""


def load(files: ModelFiles, device: str, threads: int) -> Encode:
    """The encoder of the Whisper that ``files`` hold; ``threads`` of 0 are all cores."""
    if files.format == "ctranslate2":
        return _by_ctranslate2(files, threads or min(_MOST_THREADS, usable_cores()))
    return _by_mlx(files, device)


def _by_ctranslate2(files: ModelFiles, threads: int) -> Encode:
    from ctranslate2 import StorageView
    from ctranslate2.models import Whisper

    whisper = Whisper(
        str(files.path), device="cpu", compute_type="int8", inter_threads=threads, intra_threads=1
    )

    def one(log_mel: np.ndarray) -> np.ndarray:
        mels = np.ascontiguousarray(log_mel.T[None], np.float32)
        return np.array(whisper.encode(StorageView.from_array(mels)))[0]

    def encode(log_mels: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        with ThreadPoolExecutor(threads) as pool:
            yield from enumerate(pool.map(one, log_mels))

    return encode


def _by_mlx(files: ModelFiles, device: str) -> Encode:
    mlx_runtime.import_mlx()
    mlx_runtime.use_device(device)
    from pipeline.whisper_mlx.config import read_config
    from pipeline.whisper_mlx.encoder import Encoder
    from pipeline.whisper_mlx.kernels import kernels_for
    from pipeline.whisper_mlx.layers import Reader
    from pipeline.whisper_mlx.model import DTYPES
    from pipeline.whisper_mlx.weights import load_weights

    config = read_config(files.path)
    dtype = DTYPES["float32" if device == "cpu" else "float16"]
    reader = Reader(load_weights(files.path, config), dtype, config.quantization)
    return partial(_encoded, Encoder(reader, config.dims, kernels_for(device)), dtype)


def _encoded(encoder: Any, dtype: Any, log_mels: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    import mlx.core as mx

    before: tuple[list[int], mx.array] | None = None
    for batch in batches([len(log_mel) for log_mel in log_mels]):
        stacked = mx.array(np.stack([log_mels[index] for index in batch]))
        features = encoder(stacked.astype(dtype))
        mx.async_eval(features)  # while what came before is copied, and looked at
        if before is not None:
            yield from _copied(*before)
        before = batch, features
    if before is not None:
        yield from _copied(*before)


def _copied(batch: Sequence[int], features: Any) -> Iterator[tuple[int, np.ndarray]]:
    import mlx.core as mx

    mx.eval(features)  # lets other threads run meanwhile
    yield from zip(batch, np.array(features), strict=True)


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of the log-mels that go through the encoder together: of one length, and not too many."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        whole = (len(batch) + 1) * lengths[index] > _FRAMES_AT_ONCE
        if batch and (lengths[index] != lengths[batch[0]] or whole):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
