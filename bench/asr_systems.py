"""One system on one recording, in a process of its own; see ``bench/asr.py``. Takes a job, prints JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
WARM_UP_S = 12
RATE = 16_000

Transcribe = Callable[[np.ndarray], Iterator[str]]


def ours(job: dict) -> Transcribe:
    """This engine, or another backend of the product, behind its VAD and packing."""
    from pipeline import backends
    from pipeline.plan import Choice
    from pipeline.recording import Recording
    from pipeline.vad import pack
    from schemas.options import AsrOptions, Options

    options = Options(
        asr=AsrOptions(
            batch_size=job.get("batch_size"),
            beam_size=job["beam_size"],
            threads=job["threads"],
            language="en",
        )
    )
    backend = job.get("backend", "mlx")
    weights = job["mlx"] if backend == "mlx" else job["ctranslate2"]
    precision = job.get("compute_type") or ("float32" if job["device"] == "cpu" else "float16")
    asr = backends.load("asr", Choice(backend, job["device"], weights, precision), options)
    vad = backends.load("vad", Choice("silero"), options)

    def transcribe(waveform: np.ndarray) -> Iterator[str]:
        began = time.perf_counter()
        recording = Recording.from_array(waveform)
        chunks = pack(vad.speech_regions(recording, lambda _: None), 30.0, recording)
        job["vad_s"] = time.perf_counter() - began
        texts = {}
        for said in asr.transcribe(recording, list(enumerate(chunks)), "en"):
            texts[said.index] = " ".join(segment.text.strip() for segment in said.segments)
            yield ""
        yield " ".join(texts[index] for index in sorted(texts))

    return transcribe


def mlx_whisper(job: dict) -> Transcribe:
    """Sequential, with its own defaults."""
    _use_device(job)
    from mlx_whisper import transcribe as run

    return lambda waveform: _text(
        run(waveform, path_or_hf_repo=job["mlx"], language="en", fp16=job["device"] != "cpu")
    )


def vayu_whisper(job: dict) -> Transcribe:
    """Batched over fixed windows."""
    _use_device(job)
    os.environ["WHISPER_MLX_MODEL_DIRS"] = str(Path(job["mlx"]).parent)
    from whisper_mlx import transcribe as run

    return lambda waveform: _text(
        run(
            waveform,
            path_or_hf_repo=job["mlx"],
            batch_size=8,
            language="en",
            fp16=job["device"] != "cpu",
            verbose=None,
        )
    )


def lightning_whisper(job: dict) -> Transcribe:
    """Batched over fixed windows."""
    _use_device(job)
    from lightning_whisper_mlx.transcribe import transcribe_audio as run

    return lambda waveform: _text(
        run(waveform, path_or_hf_repo=job["mlx"], batch_size=8, language="en", fp16=job["device"] != "cpu")
    )


def mlx_whisperx(job: dict) -> Transcribe:
    """Batched over packed chunks; no alignment."""
    _use_device(job)
    from mlx_whisperx import transcribe as run

    return lambda waveform: _segments(
        run(waveform, model=job["mlx"], language="en", batch_size=8, no_align=True, fp16=False, verbose=False)
    )


def whispermlx(job: dict) -> Transcribe:
    """Chunk after chunk."""
    _use_device(job)
    import mlx_whisper
    import whispermlx as package

    # it has no option for the precision, and half precision is the default of what it calls
    mlx_whisper.transcribe = partial(mlx_whisper.transcribe, fp16=job["device"] != "cpu")
    model = package.load_model(job["mlx"], "cpu", language="en", vad_method="pyannote")
    return lambda waveform: _segments(model.transcribe(waveform, batch_size=8, language="en"))


def faster_whisper(job: dict) -> Transcribe:
    """Sequential, or its own batched pipeline."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model = WhisperModel(
        job["ctranslate2"], device="cpu", compute_type=job["compute_type"], cpu_threads=job["threads"]
    )
    options: dict = {"language": "en", "beam_size": job["beam_size"]}
    if job["batch_size"]:
        model = BatchedInferencePipeline(model)
        options["batch_size"] = job["batch_size"]

    def transcribe(waveform: np.ndarray) -> Iterator[str]:
        for segment in model.transcribe(waveform, **options)[0]:
            yield segment.text

    return transcribe


def whisperx(job: dict) -> Transcribe:
    """Transcription alone, no alignment."""
    import whisperx as package

    model = package.load_model(
        job["ctranslate2"],
        "cpu",
        compute_type="float32",
        language="en",
        asr_options={"beam_size": job["beam_size"]},
        threads=job["threads"],
    )
    return lambda waveform: _segments(model.transcribe(waveform, batch_size=8, language="en"))


def pywhispercpp(job: dict) -> Transcribe:
    """whisper.cpp, with the defaults of its Python package."""
    from pywhispercpp.model import Model

    model = Model(job["ggml"], n_threads=job["threads"], language="en", redirect_whispercpp_logs_to=None)
    return lambda waveform: (segment.text for segment in model.transcribe(waveform))


SYSTEMS: dict[str, Callable[[dict], Transcribe]] = {
    f.__name__: f
    for f in (
        ours,
        mlx_whisper,
        vayu_whisper,
        lightning_whisper,
        mlx_whisperx,
        whispermlx,
        faster_whisper,
        whisperx,
        pywhispercpp,
    )
}


def _use_device(job: dict) -> None:
    """The same device and the same BLAS as this engine."""
    from pipeline import mlx_runtime

    mlx_runtime.use_device(job["device"])


def _text(result: dict) -> Iterator[str]:
    yield result["text"]


def _segments(result: dict) -> Iterator[str]:
    yield " ".join(segment["text"].strip() for segment in result["segments"])


def _waveform(path: str) -> np.ndarray:
    import wave

    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def main() -> None:
    """Load, warm up, transcribe, report."""
    job = json.loads(sys.argv[1])
    os.environ.update(OMP_NUM_THREADS=str(job["threads"]), PYANNOTE_METRICS_ENABLED="0")
    sys.path.insert(0, str(ROOT))
    transcribe = SYSTEMS[job["system"]](job)
    waveform = _waveform(job["audio"])
    list(transcribe(waveform[: WARM_UP_S * RATE]))
    began, first, text, cpu = time.perf_counter(), None, [], time.process_time()
    for piece in transcribe(waveform):
        first = first or time.perf_counter() - began
        text.append(piece)
    seconds = time.perf_counter() - began
    from pipeline._bench_process import peak_mb

    print(
        json.dumps(
            {
                "seconds": seconds,
                "first": first,
                "peak_mb": peak_mb(),
                "audio_s": len(waveform) / RATE,
                "vad_s": job.get("vad_s"),
                "cpu_seconds": time.process_time() - cpu,
                "text": " ".join(text),
            }
        )
    )


if __name__ == "__main__":
    main()
