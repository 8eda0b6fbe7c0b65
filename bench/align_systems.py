"""What ``bench/align.py`` measures: this project's aligners, and others on the same audio.

A system is a function of a recording, its segments without times, and their language; it gives a start and an end,
or none, for each word of each segment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from pipeline import backends, models
from pipeline.align import WINDOW_S, align_segments
from pipeline.align._words import split_words
from pipeline.encoder_output import EncoderOutput
from pipeline.plan import Choice
from pipeline.recording import Recording
from pipeline.vad import Chunk
from schemas.options import AlignOptions, Options
from schemas.transcript import Segment

Times = list[tuple[float, float] | None]
System = Callable[[Recording, Sequence[Segment], str], list[Times]]
"""Where a system has ``prepare(recording, segments)``, that is called before, on nobody's time. One that has
``speed_only`` places words anywhere."""

PEERS = (
    "WhisperX's own align",
    "WhisperX's own align, random weights of base's shape",
    "faster-whisper's word times",
    "PocketSphinx 5.1.1",
    "stable-ts 2.19.1",
)
AFTER = {"encoder_head after asr mlx": "mlx", "encoder_head after asr faster_whisper": "faster_whisper"}
POCKETSPHINX = "pocketsphinx==5.1.1"


class NotHere(Exception):
    """The system cannot run; the message says why."""


def ours(name: str, *, model: str | None, device: str, threads: int, precision: str | None) -> System:
    """A backend of ``pipeline/align``."""
    precision = precision or ("int8" if name == "cross_attention" and device == "cpu" else "float32")
    loaded = {}

    def run(recording: Recording, segments: Sequence[Segment], language: str) -> list[Times]:
        kind = backends.module("align", name).MODEL_KIND
        asked = (model or models.align_model(language)) if kind == "align" else model if kind else None
        if asked not in loaded:
            choice = Choice(name, "cpu" if name == "even" else device, asked, precision, model_required=True)
            loaded[asked] = backends.load("align", choice, Options.from_flat(threads=threads))
        found, _ = align_segments(
            loaded[asked],
            recording,
            segments,
            language,
            options=AlignOptions(),
            progress=lambda fraction: None,
        )
        return [[(word.start, word.end) for word in segment.words] for segment in found]

    return run


class HandedOver:
    """``encoder_head`` on what the encoder of a transcription made of whole windows: only what is left to do."""

    def __init__(self, backend: str, device: str, threads: int) -> None:
        options = Options.from_flat(threads=threads)
        precision = "int8" if backend == "faster_whisper" else "float32"
        self._asr = backends.load("asr", Choice(backend, device, "base", precision), options)
        self._aligner = backends.load("align", Choice("encoder_head", device), options)
        self._folder = tempfile.TemporaryDirectory()
        self._heard = EncoderOutput(Path(self._folder.name))

    def prepare(self, recording: Recording, segments: Sequence[Segment]) -> None:
        """Windows of up to 30 s, as many segments as there is room for."""
        self._heard.begin("base")
        spans: list[list[float]] = []
        for start, end in sorted((max(0.0, s.start - 0.2), s.end + 0.2) for s in segments):
            if spans and end - spans[-1][0] <= WINDOW_S:
                spans[-1][1] = max(end, spans[-1][1])
            else:
                spans.append([start, min(end, start + WINDOW_S)])
        for start, end in spans:
            features = self._encoded(recording, start, min(end, recording.duration_s))
            self._heard.keep(start, features[: round(50 * (end - start)) + 1])

    def _encoded(self, recording: Recording, start: float, end: float) -> np.ndarray:
        if hasattr(self._asr.whisper, "features"):
            import mlx.core as mx

            log_mel = self._asr._log_mel(recording, Chunk(start, end))
            return np.array(self._asr.whisper.features(mx.array(log_mel)[None]).astype(mx.float32))[0]
        from pipeline.asr.faster_whisper import log_mels

        return np.array(
            self._asr.whisper.encode(log_mels(self._asr.whisper, [recording.seconds(start, end)]))
        )[0]

    def __call__(self, recording: Recording, segments: Sequence[Segment], language: str) -> list[Times]:
        found, _ = align_segments(
            self._aligner,
            recording,
            segments,
            language,
            options=AlignOptions(),
            progress=lambda fraction: None,
            heard=self._heard,
        )
        return [[(word.start, word.end) for word in segment.words] for segment in found]


def whisperx_align(model: str | None, threads: int, *, random_weights: bool = False) -> System:
    """``whisperx.alignment.align`` itself, with a splitter of sentences that needs no download.

    With random weights of the shape of WAV2VEC2_ASR_BASE_960H, its default for English, it shows how fast it is.
    """
    import torch
    from whisperx import alignment

    class OneSentence:
        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    torch.set_num_threads(threads)
    alignment.nltk_load = lambda path: OneSentence()
    loaded = {}

    def run(recording: Recording, segments: Sequence[Segment], language: str) -> list[Times]:
        if random_weights and language != "en":
            raise NotHere("English only")
        if random_weights:
            loaded["en"] = loaded.get("en") or _random_base()
        if language not in loaded:
            try:
                loaded[language] = alignment.load_align_model(
                    language, "cpu", model_name=model, model_cache_only=True
                )
            except Exception as error:
                raise NotHere(f"its model for {language!r} is not on this machine") from error
        network, metadata = loaded[language]
        samples = np.array(recording.mapped())
        found = []
        for segment in segments:
            given = [{"start": segment.start, "end": segment.end, "text": segment.text}]
            words = alignment.align(given, network, metadata, samples, "cpu")["word_segments"]
            found.append(_matched(segment, [(w["word"], w.get("start"), w.get("end")) for w in words]))
        return found

    run.speed_only = random_weights
    return run


def _random_base() -> tuple:
    import torch
    from torchaudio.models import wav2vec2_base

    torch.manual_seed(0)
    labels = "-|etaonihsrdlumwcfgypbvk'xjqz"
    metadata = {"language": "en", "dictionary": {c: i for i, c in enumerate(labels)}, "type": "torchaudio"}
    return wav2vec2_base(aux_num_out=len(labels)).eval(), metadata


def faster_whisper_words(model: str, threads: int) -> System:
    """Its own transcript with word times, matched to the reference: a word that it did not hear has no time."""
    from faster_whisper import WhisperModel

    files = models.find("whisper", model, formats=("ctranslate2",), required=True)
    whisper = WhisperModel(str(files.path), device="cpu", compute_type="int8", cpu_threads=threads)

    def run(recording: Recording, segments: Sequence[Segment], language: str) -> list[Times]:
        samples = np.array(recording.mapped())
        heard, _ = whisper.transcribe(samples, language=language, word_timestamps=True, beam_size=1)
        words = [(word.word, word.start, word.end) for part in heard for word in part.words or ()]
        whole = Segment(
            start=0,
            end=recording.duration_s,
            text=" ".join(segment.text for segment in segments),
            words=tuple(word for segment in segments for word in segment.words),
        )
        times = iter(_matched(whole, words))
        return [[next(times) for _ in split_words(segment.text)] for segment in segments]

    return run


def stable_ts(environment: Path, model: str, threads: int) -> System:
    """``align`` of stable-ts over faster-whisper, out of an environment in which it was put without what it needs.

    ``pip install --no-deps stable-ts==2.19.1 openai-whisper tiktoken more-itertools``
    """
    packages = next(iter(environment.glob("lib/python*/site-packages")), None)
    if packages is None:
        raise NotHere(f"it is not in {environment}")
    sys.path.append(str(packages))
    import stable_whisper

    files = models.find("whisper", model, formats=("ctranslate2",), required=True)
    whisper = stable_whisper.load_faster_whisper(
        str(files.path), device="cpu", compute_type="int8", cpu_threads=threads
    )

    def run(recording: Recording, segments: Sequence[Segment], language: str) -> list[Times]:
        found = []
        for segment in segments:
            low = max(0.0, segment.start - 0.1)
            samples = recording.seconds(low, min(recording.duration_s, segment.end + 0.1))
            result = whisper.align(samples, segment.text, language=language, verbose=None)
            words = result.all_words() if result else []
            found.append(_matched(segment, [(w.word, w.start + low, w.end + low) for w in words]))
        return found

    return run


_SPHINX = """
import json, sys, wave
from pocketsphinx import Decoder
out = []
decoder = Decoder(lm=None, beam=1e-200, wbeam=1e-200, pbeam=1e-200, loglevel="FATAL")
for cut in json.load(open(sys.argv[1])):
    words = []
    try:
        decoder.set_align_text(cut["text"])
        with wave.open(cut["file"]) as file:
            data = file.readframes(file.getnframes())
        decoder.start_utt(); decoder.process_raw(data, full_utt=True); decoder.end_utt()
        words = [(s.word.split("(")[0], s.start_frame / 100, (s.end_frame + 1) / 100) for s in decoder.seg()]
    except Exception:  # a word that its dictionary lacks
        pass
    out.append([word for word in words if word[0][0] not in "<["])
print(json.dumps(out))
"""


def pocketsphinx(environment: Path) -> System:
    """In a throw-away environment; English, words of its dictionary only."""
    python = environment / "bin" / "python"
    if not python.is_file():
        raise NotHere(f"it is not in {environment}")

    def run(recording: Recording, segments: Sequence[Segment], language: str) -> list[Times]:
        if language != "en":
            raise NotHere("English only")
        with tempfile.TemporaryDirectory() as folder:
            cuts = []
            for number, segment in enumerate(segments):
                low = max(0.0, segment.start - 0.1)
                file = Path(folder) / f"{number}.wav"
                _write(file, recording.seconds(low, min(recording.duration_s, segment.end + 0.1)))
                text = " ".join(_plain(word) for word in segment.text.split())
                cuts.append({"file": str(file), "text": text, "low": low})
            listed = Path(folder) / "cuts.json"
            listed.write_text(json.dumps(cuts))
            done = subprocess.run([python, "-c", _SPHINX, listed], capture_output=True, text=True, check=True)
        found = []
        for cut, segment, words in zip(cuts, segments, json.loads(done.stdout.splitlines()[-1]), strict=True):
            found.append(_matched(segment, [(w, s + cut["low"], e + cut["low"]) for w, s, e in words]))
        return found

    return run


def _matched(segment: Segment, words: Sequence[tuple[str, float | None, float | None]]) -> Times:
    """The times of the segment's words among others, by their letters in order."""
    wanted = [_plain(word) for word in split_words(segment.text)]
    times: Times = [None] * len(wanted)
    matcher = SequenceMatcher(a=wanted, b=[_plain(word) for word, *_ in words], autojunk=False)
    for a, b, size in matcher.get_matching_blocks():
        for offset in range(size):
            _, start, end = words[b + offset]
            if start is not None and end is not None:
                times[a + offset] = (float(start), float(end))
    return times


def _plain(word: str) -> str:
    return "".join(c for c in word.lower() if c.isalnum() or c == "'")


def _write(path: Path, samples: np.ndarray) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
