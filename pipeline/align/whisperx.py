"""WhisperX's forced alignment: a wav2vec2 CTC model per language, from torchaudio or the Hugging Face hub.

The models, their dictionaries and the way from emissions to words are those of WhisperX 3.8.6
(``alignment.py``; Bain et al., "WhisperX: Time-Accurate Speech Transcription of Long-Form Audio", 2023). Its
``align`` itself is not called: it needs NLTK data from the network, takes punctuation and numerals for sound
(a wildcard that must eat a frame), reads "-" as the blank, loses a character after "İ" and words that are too
many for their segment, forgets the normalisation that checkpoints from the hub were trained with, and measures
time by a ratio of lengths that is wrong past the end of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.align._ctc import Vocabulary
from pipeline.align._ctc_aligner import HOP_SAMPLES, MODEL_FORMATS, MODEL_KIND, CtcAligner, damaged, weights
from schemas.options import Options

if TYPE_CHECKING:
    from pipeline.models import ModelFiles
    from pipeline.plan import Choice

REQUIRES = ("torch", "torchaudio", "transformers")
DEVICES = ("cpu", "cuda", "mps")
VERSION = 1
__all__ = ["MODEL_FORMATS", "MODEL_KIND", "load", "weights"]


def load(choice: Choice, options: Options) -> CtcAligner:
    """The language's model on the device.

    Raises what :func:`pipeline.models.find` raises, and :class:`ModelNotFound` (``model_damaged``) for files that
    are not a wav2vec2 CTC model.
    """
    (files,) = weights(choice, options)
    network, vocabulary = _read(files)
    emit = network.to(choice.device).emit
    return CtcAligner(emit, vocabulary, files, choice.device, key=f"whisperx:{VERSION}")


@dataclass(frozen=True)
class _Network:
    """A torch model, and how it makes logits (1, frames, vocabulary) of a waveform (1, samples)."""

    model: Any
    logits: Callable[[Any, Any], Any]
    device: str = "cpu"

    def to(self, device: str) -> _Network:
        return replace(self, model=self.model.to(device), device=device)

    def emit(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One by one: in a padded batch the first layer's group norm would see the padding."""
        return [self._emit(waveform) for waveform in waveforms]

    def _emit(self, waveform: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            logits = self.logits(self.model, torch.from_numpy(waveform)[None].to(self.device))
            return torch.log_softmax(logits[0].float().cpu(), dim=-1).numpy().astype(np.float64)


def _read(files: ModelFiles) -> tuple[_Network, Vocabulary]:
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    read = _torchaudio if files.format == "torchaudio" else _transformers
    try:
        return read(files)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        SafetensorError,
        UnpicklingError,
    ) as error:
        raise damaged(files, error) from error


def _torchaudio(files: ModelFiles) -> tuple[_Network, Vocabulary]:
    """A torchaudio bundle; ``files.path`` is its checkpoint. LARGE bundles normalise the waveform themselves."""
    import torchaudio

    bundle = _bundle(torchaudio.pipelines, files.path.name)
    model = bundle.get_model(dl_kwargs={"model_dir": str(files.path.parent), "weights_only": True})
    vocabulary = Vocabulary.of({label: i for i, label in enumerate(bundle.get_labels())}, blank=0)
    return _Network(model, lambda model, waveform: model(waveform)[0]), vocabulary


def _bundle(pipelines: Any, checkpoint: str) -> Any:
    """The bundle that a checkpoint of this name belongs to; under another name it would be downloaded."""
    for name in pipelines.__all__:
        bundle = getattr(pipelines, name)
        if getattr(bundle, "_path", None) == checkpoint:
            return bundle
    raise ValueError(f"{checkpoint} is no checkpoint of a torchaudio pipeline")


def _transformers(files: ModelFiles) -> tuple[_Network, Vocabulary]:
    """A Hugging Face checkpoint; ``files.path`` is its folder."""
    from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor

    processor = Wav2Vec2Processor.from_pretrained(str(files.path), local_files_only=True)
    model = Wav2Vec2ForCTC.from_pretrained(str(files.path), local_files_only=True).eval()
    if model.config.inputs_to_logits_ratio != HOP_SAMPLES:
        raise ValueError("its frames are not 20 ms apart")
    vocabulary = Vocabulary.of(processor.tokenizer.get_vocab(), blank=processor.tokenizer.pad_token_id or 0)
    logits = _normalised if processor.feature_extractor.do_normalize else _as_it_is
    return _Network(model, logits), vocabulary


def _as_it_is(model: Any, waveform: Any) -> Any:
    return model(waveform).logits


def _normalised(model: Any, waveform: Any) -> Any:
    """Mean 0 and variance 1, as ``Wav2Vec2FeatureExtractor`` does it."""
    return _as_it_is(model, (waveform - waveform.mean()) / (waveform.var(correction=0) + 1e-7).sqrt())
