"""How fast is alignment on this machine, beside WhisperX's and beside the transcription itself?

    python bench/align_speed.py SPEECH.wav TRANSCRIPT.json --weights FOLDER [--cpu] [--join 30] [--runs 3]
                                [--only encoder_head]

SPEECH.wav is 16 kHz mono, 16 bits; the transcript is in any form of WhisperX's JSON; neighbouring segments are
joined to windows of up to ``--join`` seconds (0: left as they are), the same for every system. ``--weights`` is a
folder of Whisper base converted for MLX (``weights.safetensors`` and ``config.json``). Systems:

- transcription by ``mlx``: of the same windows, in batches; it hands its encoder's output over;
- encoder_head handed over: after that transcription; no word was said before (what is remembered of words is
  forgotten before each run), and again with the words remembered, as in a second meeting;
- encoder_head own pass: it runs the encoder itself;
- wav2vec2_mlx: at base's shape with random weights (float16 on a GPU), in batches;
- WhisperX: ``whisperx.alignment.align`` itself on torch, with random weights of base's shape, from torchaudio or
  else transformers. Of what whisperx imports and does not use here, what is not installed is stood in for.

Wall time: the median of the runs after one that does not count. ``--only`` takes parts of systems' names.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.machinery
import json
import statistics
import sys
import tempfile
import time
import types
import wave
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from align_gpu import row, tensors_of  # noqa: E402

from pipeline import mlx_runtime  # noqa: E402
from pipeline.align import align_segments  # noqa: E402
from pipeline.encoder_output import EncoderOutput  # noqa: E402
from pipeline.machine import usable_cores  # noqa: E402
from pipeline.model_files import ModelFiles  # noqa: E402
from pipeline.recording import SAMPLE_RATE, Recording  # noqa: E402
from pipeline.vad import Chunk  # noqa: E402
from schemas.options import AlignOptions, Options  # noqa: E402
from schemas.transcript import Segment  # noqa: E402

LABELS = "-|etaonihsrdlumwcfgypbvk'xjqz"
MARGIN_S = 0.2
Run = Callable[[], object]


class Bench:
    """The recording, its segments and where models run."""

    def __init__(self, args: argparse.Namespace, device: str) -> None:
        self.device, self.runs = device, args.runs
        self.recording = read_wave(args.speech)
        self.segments = joined(json.loads(args.transcript.read_text("utf-8"))["segments"], args.join)
        self.weights = ModelFiles("whisper", "base", "mlx", args.weights, None, "local", None)
        self.folder = tempfile.TemporaryDirectory()
        self.heard = EncoderOutput(Path(self.folder.name))
        self.aligner: Any = None
        self.transcribed = False

    @property
    def precision(self) -> str:
        """Of the networks."""
        return "float32" if self.device == "cpu" else "float16"

    def transcription(self) -> tuple[Run, Run]:
        """The MLX engine over the windows, with the encoder's output kept."""
        from pipeline.asr import mlx as room
        from pipeline.whisper_mlx.model import Model

        model = Model.load(self.weights.path, self.device, self.precision)
        asr = room.MlxWhisperBatched("bench", "base", None, self.device, model, Options.from_flat().asr)
        end = self.recording.duration_s
        chunks = []
        for number, segment in enumerate(self.segments):
            # No window is longer than 30 s, and none leaves out a part of its segment.
            margin = max(0.0, min(MARGIN_S, (30.0 - (segment.end - segment.start)) / 2))
            low, high = max(0.0, segment.start - margin), min(end, segment.end + margin)
            chunks.append((number, Chunk(low, min(high, low + 30.0))))

        def run() -> object:
            self.heard.begin("base")
            found = list(asr.transcribe(self.recording, chunks, "en", self.heard.keep))
            self.transcribed = True
            return found

        return run, nothing

    def handed_over(self, *, remembered: bool) -> tuple[Run, Run]:
        """``encoder_head`` on what the transcription heard."""
        if not self.transcribed:
            self.transcription()[0]()
        aligner = self._encoder_head()
        return lambda: self._align(aligner, self.heard), nothing if remembered else lambda: forget(aligner)

    def own_pass(self) -> tuple[Run, Run]:
        """``encoder_head`` alone."""
        aligner = self._encoder_head()
        return lambda: self._align(aligner, None), lambda: forget(aligner)

    def wav2vec2(self) -> tuple[Run, Run]:
        """``wav2vec2_mlx`` with random weights of base's shape."""
        import mlx.core as mx

        from pipeline.align import wav2vec2_mlx as room
        from pipeline.align._ctc import Vocabulary
        from pipeline.align._ctc_aligner import CtcAligner
        from pipeline.wav2vec2.config import Config
        from pipeline.wav2vec2.network import Network

        config = Config(vocab_size=len(LABELS))
        tensors = tensors_of(config, np.random.default_rng(0))
        network = Network(config, tensors, self.device, getattr(mx, self.precision))
        aligner = CtcAligner(
            room._Emitter(network, None),
            Vocabulary.of({label: i for i, label in enumerate(LABELS)}, blank=0),
            batch_s=room._BATCH_S[self.device],
        )
        return lambda: self._align(aligner, None), nothing

    def whisperx(self) -> tuple[Run, Run]:
        """WhisperX's own code, on torch."""
        import torch

        device = {"metal": "mps"}.get(self.device, self.device)
        alignment = importlib.import_module("whisperx.alignment")
        alignment.nltk_load = lambda path: OneSentence()
        network, kind = random_base()
        network = network.eval().to(device)
        metadata = {"language": "en", "dictionary": {c: i for i, c in enumerate(LABELS)}, "type": kind}
        samples = np.array(self.recording.mapped())
        given = [{"start": s.start, "end": s.end, "text": s.text} for s in self.segments]
        print(f"(WhisperX on torch {torch.__version__}, {kind}'s network, {device})", flush=True)
        return lambda: alignment.align(given, network, metadata, samples, device), nothing

    def _encoder_head(self) -> Any:
        if self.aligner is None:
            from pipeline.align import _encoders, encoder_head

            encode = _encoders.load(self.weights, self.device, 0)
            self.aligner = encoder_head.EncoderHead(encode, self.weights, self.device)
        return self.aligner

    def _align(self, aligner: Any, heard: EncoderOutput | None) -> object:
        found, warnings = align_segments(
            aligner,
            self.recording,
            self.segments,
            "en",
            options=AlignOptions(),
            progress=lambda fraction: None,
            heard=heard,
        )
        failed = [warning.message for warning in warnings if "could not" in warning.message]
        return [*failed, found]


class OneSentence:
    """A splitter of sentences that needs no download."""

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


def nothing() -> None:
    """Before a run that needs nothing done before it."""


def forget(aligner: Any) -> None:
    """What the aligner and the layers below it remember of words."""
    from pipeline.align import _words
    from pipeline.spoken import _forms

    for remembers in (_forms._read, _forms._forms, _words.spoken_units):
        remembers.cache_clear()
    for language in aligner._languages.values():
        language.pronunciation._ways.cache_clear()


def read_wave(path: Path) -> Recording:
    """Without FFmpeg: 16-bit mono at 16 kHz only."""
    with wave.open(str(path)) as file:
        shape = file.getnchannels(), file.getsampwidth(), file.getframerate()
        if shape != (1, 2, SAMPLE_RATE):
            sys.exit(f"{path}: {shape} channels, bytes and Hz; wanted are 1, 2 and {SAMPLE_RATE}")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return Recording.from_array(samples.astype(np.float32) / 32768)


def joined(segments: Sequence[dict], longest: float) -> list[Segment]:
    """Neighbours joined to windows of up to so many seconds."""
    found: list[Segment] = []
    for own in segments:
        text = own["text"].strip()
        if found and own["end"] - found[-1].start <= longest:
            more = {"end": own["end"], "text": f"{found[-1].text} {text}"}
            found[-1] = found[-1].model_copy(update=more)
        else:
            found.append(Segment(start=own["start"], end=own["end"], text=text))
    return found


def random_base() -> tuple[Any, str]:
    """The network of WAV2VEC2_ASR_BASE_960H without its weights, and what WhisperX calls its kind."""
    import torch

    torch.manual_seed(0)
    try:
        from torchaudio.models import wav2vec2_base
    except ImportError:
        from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

        return Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=len(LABELS))), "huggingface"
    return wav2vec2_base(aux_num_out=len(LABELS)), "torchaudio"


_UNUSED = {
    "huggingface_hub": ("snapshot_download",),  # by mlx_whisper
    "transformers": ("Wav2Vec2ForCTC", "Wav2Vec2Processor"),  # by whisperx, as what follows
    "torchaudio": (),
    "nltk": ("download",),
    "nltk.data": ("load",),
}


def stand_in_for_unused_imports() -> None:
    """Where they are missing: modules that are imported for names that nothing calls on this bench."""
    missing = [name for name in _UNUSED if find_spec(name.split(".")[0]) is None]
    for name in missing:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
        for own in _UNUSED[name]:
            setattr(sys.modules[name], own, None)
    if "nltk.data" in missing:
        sys.modules["nltk"].data = sys.modules["nltk.data"]


def systems(bench: Bench) -> Iterator[tuple[str, Callable[[], tuple[Run, Run]]]]:
    """Names, and what gives a run and what is to be done before each one."""
    yield "transcription by mlx, base", bench.transcription
    yield "encoder_head, handed over", lambda: bench.handed_over(remembered=False)
    yield "encoder_head, handed over, words remembered", lambda: bench.handed_over(remembered=True)
    yield "encoder_head, own pass", bench.own_pass
    yield "wav2vec2_mlx, base's shape", bench.wav2vec2
    yield "WhisperX's align, base's shape", bench.whisperx


def wall(run: Run, before: Run, runs: int) -> tuple[float, float]:
    """Median and least of the seconds of a run, after one that does not count."""
    seconds = []
    for _ in range(runs + 1):
        before()
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:]), min(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speech", type=Path)
    parser.add_argument("transcript", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="Whisper base, converted for MLX")
    parser.add_argument("--cpu", action="store_true", help="instead of the GPU")
    parser.add_argument(
        "--join", type=float, default=30.0, help="segments, to windows of up to so many seconds"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="systems whose names hold one of these")
    args = parser.parse_args()
    stand_in_for_unused_imports()
    mlx_runtime.import_mlx()
    device = "cpu" if args.cpu else mlx_runtime.accelerator() or sys.exit("MLX sees no GPU here; use --cpu")
    mlx_runtime.use_device(device)
    bench = Bench(args, device)
    speech = sum(segment.end - segment.start for segment in bench.segments)
    words = sum(len(segment.text.split()) for segment in bench.segments)
    print(
        f"{device}, {usable_cores()} cores; {bench.recording.duration_s:.0f} s of audio, "
        f"{speech:.0f} s of speech in {len(bench.segments)} segments, {words} words"
    )
    row("system", "wall ms, median", "least", "ms per 30 s of speech", "RTFx", "against the transcription")
    row(*("---" for _ in range(6)))
    transcription = None
    for name, prepare in systems(bench):
        if args.only and not any(part in name for part in args.only):
            continue
        try:
            seconds, least = wall(*prepare(), args.runs)
        except ImportError as error:
            row(name, f"not here: {error}", *[""] * 4)
            continue
        transcription = transcription or (seconds if name.startswith("transcription") else None)
        row(
            name,
            f"{1000 * seconds:.1f}",
            f"{1000 * least:.1f}",
            f"{1000 * seconds * 30 / speech:.2f}",
            f"{speech / seconds:,.0f}",
            f"{100 * seconds / transcription:.1f} %" if transcription else "",
        )


if __name__ == "__main__":
    main()
