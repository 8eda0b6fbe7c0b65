"""What speech to text takes here, beside other engines with the same model: ``whisperx-mlx bench FILE``.

Every system runs in a process of its own, so that its peak memory is its own. Loading the model, decoding the file
and a warm-up are not in the times; detecting the speech, and the language where it is not named, are. This engine
does what a job does; the others are the libraries themselves, faster-whisper (MIT) with its own batches and voice
activity detection or one window after the other, and mlx-whisper (MIT), which decodes greedily.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline._bench_process import answer, measured, peak_mb
from schemas.options import Options

if TYPE_CHECKING:
    from pipeline.plan import Choice
    from pipeline.recording import Recording
    from pipeline.word_errors import Score

WARM_UP_S = 12.0
_BATCH = 8  # faster-whisper's own


@dataclass(frozen=True)
class Heard:
    """What a system made of a recording."""

    text: str
    language: str
    seconds: float


Run = Callable[["Recording"], Heard]


@dataclass(frozen=True)
class Row:
    """A line of the table; ``failed`` says why there is nothing to tell. Memory in MB of 10^6 bytes."""

    system: str
    failed: str | None = None
    text: str = ""
    language: str = ""
    seconds: float = 0.0
    audio_s: float = 0.0
    peak_mb: float = 0.0
    gpu_mb: float | None = None  # what MLX took of a GPU at most
    model: str = ""
    device: str = ""
    precision: str = ""

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of work."""
        return self.audio_s / max(self.seconds, 1e-9)


def _this_engine(choice: Choice, options: Options) -> Run:
    """The product's own path from samples to text; the stages say what they took."""
    from pipeline.cache import NoCache
    from pipeline.machine import probe
    from pipeline.plan import plan
    from pipeline.pool import ModelPool
    from pipeline.run import run
    from schemas.jobs import JobRequest

    pool = ModelPool()
    for room, wanted in (("vad", plan(probe(), options).vad[0]), ("asr", choice)):
        pool.get(room, wanted, options)

    def heard(recording: Recording) -> Heard:
        request = JobRequest(operation="transcribe", path=recording.path, options=options)
        audio = recording.mapped() if recording.path is None else None
        said = run(request, pool=pool, cache=NoCache(), audio=audio)
        seconds = sum(said.stages[name].seconds for name in ("vad", "asr") if name in said.stages)
        return Heard(" ".join(s.text.strip() for s in said.segments), said.language or "", seconds)

    return heard


def _faster_whisper(choice: Choice, options: Options, *, batched: bool = True) -> Run:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(
        str(_weights(choice, options).path),
        device=choice.device,
        compute_type=choice.compute_type,
        cpu_threads=options.asr.threads,
        local_files_only=True,
    )
    asked: dict[str, Any] = {"language": options.asr.language, "beam_size": options.asr.beam_size}
    if batched:
        model = BatchedInferencePipeline(model)
        asked["batch_size"] = options.asr.batch_size or _BATCH

    def heard(recording: Recording) -> Heard:
        began = time.perf_counter()
        segments, info = model.transcribe(recording.mapped(), **asked)
        text = " ".join(segment.text.strip() for segment in segments)
        return Heard(text, info.language, time.perf_counter() - began)

    return heard


def _one_by_one(choice: Choice, options: Options) -> Run:
    return _faster_whisper(choice, options, batched=False)


def _mlx_whisper(choice: Choice, options: Options) -> Run:
    from pipeline import mlx_runtime

    mlx_runtime.use_device(choice.device)
    import mlx_whisper

    asked = {
        "path_or_hf_repo": str(_weights(choice, options).path),
        "language": options.asr.language,
        "fp16": choice.compute_type == "float16",
        "verbose": None,
    }

    def heard(recording: Recording) -> Heard:
        began = time.perf_counter()
        found = mlx_whisper.transcribe(recording.mapped(), **asked)
        return Heard(found["text"].strip(), found["language"], time.perf_counter() - began)

    return heard


def _weights(choice: Choice, options: Options) -> Any:
    from pipeline import backends

    return backends.weights("asr", choice, options)[0]


SYSTEMS: dict[str, tuple[str, Callable[[Any, Options], Run]]] = {
    "mlx": ("mlx", _this_engine),
    "faster-whisper": ("faster_whisper", _faster_whisper),
    "faster-whisper-sequential": ("faster_whisper", _one_by_one),
    "mlx-whisper": ("mlx_whisper", _mlx_whisper),
}
"""The backend whose weights, device and precision a system has, and what loads it."""

USUAL = ("mlx", "faster-whisper")


def compare(path: str, systems: tuple[str, ...], options: Options, runs: int) -> Iterator[Row]:
    """Row after row, each measured in a new process; its median run counts."""
    for system in systems:
        job = (system, str(Path(path).absolute()), options.model_dump(mode="json"), runs)
        yield Row(system, **measured("pipeline.bench_transcribe", *job))


def _work(system: str, path: str, asked: dict[str, Any], runs: int) -> dict[str, Any]:
    """A row's fields but its name. Raises what opening, planning and loading raise."""
    from pipeline.audio import open_recording
    from pipeline.machine import probe
    from pipeline.plan import plan
    from pipeline.recording import Recording

    backend, load = SYSTEMS[system]
    options = Options.model_validate(asked)
    options = options.model_copy(update={"asr": options.asr.model_copy(update={"backend": backend})})
    choice = plan(probe(), options).asr[0]
    with tempfile.TemporaryDirectory() as folder:
        recording = open_recording(path, options.audio, workdir=Path(folder))
        run = load(choice, options)
        run(Recording.from_array(recording.seconds(0.0, WARM_UP_S)))
        every = [run(recording) for _ in range(runs)]
    middle = statistics.median_low(heard.seconds for heard in every)
    heard = next(heard for heard in every if heard.seconds == middle)
    return {
        "text": heard.text,
        "language": heard.language,
        "seconds": heard.seconds,
        "audio_s": recording.duration_s,
        "peak_mb": peak_mb(),
        "gpu_mb": _gpu_mb(choice.device) if "mlx" in backend else None,
        "model": _weights(choice, options).name,
        "device": choice.device,
        "precision": choice.compute_type,
    }


def _gpu_mb(device: str) -> float | None:
    if device == "cpu":
        return None
    import mlx.core as mx

    return mx.get_peak_memory() / 1e6


def table(rows: list[Row], reference: str | None) -> str:
    """Markdown; word errors where there is a reference text."""
    head = ["system", "model", "runs on", "seconds", "times real time", "peak memory, MB"]
    lines = [_line(head + ["word error rate"] * bool(reference))]
    lines.append("|" + "---|" * lines[0].count("|", 1))
    for row in rows:
        if row.failed is not None:
            lines.append(_line([row.system, row.failed, *[""] * (len(head) - 2 + bool(reference))]))
            continue
        memory = f"{row.peak_mb:.0f}" + (f", GPU {row.gpu_mb:.0f}" if row.gpu_mb is not None else "")
        cells = [row.system, row.model, f"{row.device}, {row.precision}", f"{row.seconds:.2f}"]
        cells += [f"{row.rtfx:.1f}", memory]
        lines.append(_line(cells + ([_rate(errors(row, reference))] if reference else [])))
    if len({row.model for row in rows if row.failed is None}) > 1:
        lines += ["", "The models differ: name one that is here in both forms with `--model`."]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rate(found: Score) -> str:
    parts = f"{found.substitutions} wrong, {found.deletions} left out, {found.insertions} too many"
    return f"{found.rate:.1%} ({parts} of {found.words})"


def errors(row: Row, reference: str) -> Score:
    """A row's word errors, in the language that it found."""
    from pipeline.word_errors import score

    return score(reference, row.text, row.language or "en")


def versions() -> str:
    """What the measurement depends on."""
    return ", ".join(f"{name} {version(name)}" for name in ("whisperx-mlx-mcp", "mlx", "faster-whisper"))


if __name__ == "__main__":
    answer(_work)
