"""The real worker process around a run without models: the recording's name says what shall happen.

``steps-5`` takes five steps of a tenth of a second and keeps each in the stage cache; ``fast-5`` takes no time;
``hours`` is a long meeting; ``code-not_media`` fails with that code, whatever it is;
``forever`` works until it is cancelled; ``stubborn`` does not listen; ``crash`` kills the process, ``once`` the
first time only; ``memory``, ``broken`` and ``refused`` fail.
"""

import os
import signal
import time
from pathlib import Path

from long_meeting import three_hours

from pipeline import worker
from schemas.errors import BackendUnavailable, from_dict
from schemas.report import StageReport, Warning_
from schemas.transcript import Media, Segment, Speaker, Transcript, Word

SAID = "the quick brown fox number"


def run(request, *, pool, cache, report):
    print("a library prints this")
    os.write(1, b"and native code this\n")
    name = Path(request.path).stem
    kind, _, count = name.partition("-")
    steps = int(count) if count.isdigit() else 3
    if kind == "fast":
        return transcript(request, steps)
    if kind == "hours":
        return three_hours(request)
    misbehave(kind, request, cache, report)
    done = decode(request, steps, cache, report)
    return transcript(request, steps, resumed=done)


def misbehave(kind, request, cache, report):
    match kind:
        case "forever":
            while True:
                report("asr", 0.4, "so far")
                time.sleep(0.02)
        case "stubborn":
            report("asr", 0.4, "so far")
            time.sleep(600)
        case "crash":
            report("asr", 0.4, None)
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            raise MemoryError
        case "broken":
            raise RuntimeError(f"{SAID} in {request.path}")
        case "code":
            code = Path(request.path).stem.partition("-")[2]
            raise from_dict({"code": code, "message": f"it is {code}", "hint": "do this"})
        case "refused":
            raise BackendUnavailable("the backend is not here", hint="install it")
        case "once" if not (marker := cache.root / "once").exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def decode(request, steps, cache, report):
    """Steps that are kept: a run that was stopped goes on behind them. Returns how many were there already."""
    partial = cache.partial("fake", Path(request.path).stem)
    done = len(list(partial))
    for step in range(done, steps):
        report("asr", step / steps, f"{SAID} {step}")
        time.sleep(0.1)
        partial.append({"step": step})
    partial.clear()
    return done


def transcript(request, steps, resumed=0):
    if request.operation == "diarize" and request.transcript_path is None:
        turns = [{"start": i, "end": i + 1, "speaker": f"SPEAKER_0{i % 2}"} for i in range(steps)]
        return Transcript(media=Media(path=request.path, duration_s=steps, sha256="ab"), turns=turns)
    with_speakers = request.operation in ("diarize", "transcribe_diarized")
    segments = tuple(
        Segment(
            id=i,
            start=i,
            end=i + 1,
            text=f"{SAID} {i}",
            speaker="SPEAKER_00" if with_speakers else None,
            words=(Word(word=SAID, start=i, end=i + 0.5, score=0.5), Word(word=str(i))),
        )
        for i in range(steps)
    )
    return Transcript(
        media=Media(path=request.path, duration_s=steps, sha256="ab"),
        language=request.options.asr.language or "en",
        segments=segments,
        speakers=(Speaker(id="SPEAKER_00", speech_s=steps, segments=steps),) if with_speakers else (),
        stages={"asr": StageReport(backend="echo", device="cpu", seconds=time.perf_counter() % 1)},
        warnings=(Warning_(code="low_confidence", message=f"{resumed} steps were there already"),),
    )


if __name__ == "__main__":
    worker.main(run)
