"""How exactly do the aligners place words, and how fast?

    python bench/align.py [--model base] [--align-model WAV2VEC2] [--device cpu] [--threads 2] [--only even ...]

Recordings whose words have known times: the shipped synthetic one (exact), and, where the folder of recordings
with references is there, a hand-labelled sentence and the AMI clips (their own forced alignment, in which a word
reaches up to the next one whatever pause is between: only the beginnings of words are counted). Errors are
absolute, beginnings and ends together, in milliseconds. The lag of Whisper's attention is measured on the first
15 s of the synthetic recording, so those are left out of its rows.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from recordings import SHIPPED, shared_folder  # noqa: E402

from pipeline import audio, backends, models  # noqa: E402
from pipeline.align import align_segments  # noqa: E402
from pipeline.plan import Choice  # noqa: E402
from pipeline.recording import Recording  # noqa: E402
from schemas.errors import TranscriptionError  # noqa: E402
from schemas.options import AlignOptions, AudioOptions, Options  # noqa: E402
from schemas.transcript import Segment  # noqa: E402
from schemas.whisperx import read_transcript  # noqa: E402

CALIBRATED_S = 15.4
AMI = ("ES2003a", "ES2003b", "EN2003a", "EN2006a", "EN2006b")


@dataclass(frozen=True)
class Labelled:
    """Recordings with segments that hold the true times of their words."""

    name: str
    parts: tuple[tuple[Recording, tuple[Segment, ...]], ...]
    ends_count: bool = True


def labelled(workdir: Path) -> Iterator[Labelled]:
    """All that there are."""
    flite = _opened(SHIPPED / "syn_en_flite_words.flac", workdir)
    sentences = tuple(s for s in _segments(SHIPPED / "syn_en_flite_words") if s.start > CALIBRATED_S)
    yield Labelled("synthetic, by sentences", ((flite, sentences),))
    yield Labelled("synthetic, one 20 s segment", ((flite, (_joined(sentences),)),))
    folder = shared_folder()
    if folder is None:
        return
    bobby = _opened(folder / "single/en_praat_bobby.wav", workdir)
    words = _words(folder / "single/en_praat_bobby.words.json")
    text = " ".join(word["word"] for word in words)
    segment = Segment.model_validate({"start": 0, "end": bobby.duration_s, "text": text, "words": words})
    yield Labelled("hand-labelled sentence", ((bobby, (segment,)),))
    clips = [folder / f"multi/ami_{name}" for name in AMI]
    parts = tuple((_opened(clip.with_suffix(".flac"), workdir), _of_speakers(clip)) for clip in clips)
    yield Labelled("AMI meetings, beginnings", parts, ends_count=False)


def measure(aligner, data: Labelled) -> tuple[np.ndarray, float]:
    """Signed errors (words, 2) in milliseconds, and seconds of audio per second of work."""
    errors, seconds, speech = [], 0.0, 0.0
    for recording, segments in data.parts:
        bare = [segment.model_copy(update={"words": ()}) for segment in segments]
        began = time.perf_counter()
        found, _ = align_segments(
            aligner, recording, bare, "en", options=AlignOptions(), progress=lambda fraction: None
        )
        seconds += time.perf_counter() - began
        speech += sum(segment.end - segment.start for segment in segments)
        for after, before in zip(found, segments, strict=True):
            pairs = zip(after.words, before.words, strict=True)
            errors += [(1000 * (a.start - b.start), 1000 * (a.end - b.end)) for a, b in pairs]
    return np.array(errors), speech / seconds


def row(name: str, aligner, data: Labelled) -> str:
    errors, rtfx = measure(aligner, data)
    off = np.abs(errors if data.ends_count else errors[:, 0])
    return (
        f"| {name} | {data.name} | {len(errors)} | {np.median(off):.0f} | {off.mean():.0f} | "
        f"{100 * (off <= 50).mean():.0f} | {np.median(errors[:, 0]):+.0f} | {rtfx:.1f} |"
    )


def _opened(path: Path, workdir: Path) -> Recording:
    return audio.open_recording(str(path), AudioOptions(), workdir=Path(tempfile.mkdtemp(dir=workdir)))


def _words(path: Path) -> list[dict]:
    import json

    labels = json.loads(path.read_text("utf-8"))
    return [{name: label.get(name) for name in ("word", "start", "end", "speaker")} for label in labels]


def _segments(stem: Path) -> list[Segment]:
    """Segments and words of one recording, in the same order."""
    words = iter(_words(stem.with_suffix(".words.json")))
    return [
        segment.model_copy(
            update={
                "words": Segment.model_validate(
                    {
                        **segment.compact(),
                        "words": [{**next(words), "word": text} for text in segment.text.split()],
                    }
                ).words
            }
        )
        for segment in read_transcript(stem.with_suffix(".segments.json")).segments
    ]


def _of_speakers(stem: Path) -> tuple[Segment, ...]:
    """Segments with the words of their speaker that lie in them."""
    words = _words(stem.with_suffix(".words.json"))
    found = []
    for segment in read_transcript(stem.with_suffix(".segments.json")).segments:
        own = [
            word
            for word in words
            if word["speaker"] == segment.speaker
            and segment.start - 0.02 <= word["start"]
            and word["end"] <= segment.end + 0.02
        ]
        if own:
            text = " ".join(word["word"] for word in own)
            found.append(Segment.model_validate({**segment.compact(), "text": text, "words": own}))
    return tuple(found)


def _joined(segments: Sequence[Segment]) -> Segment:
    return Segment(
        start=segments[0].start,
        end=segments[-1].end,
        text=" ".join(segment.text for segment in segments),
        words=tuple(word for segment in segments for word in segment.words),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="base", help="Whisper whose attention is read")
    parser.add_argument("--align-model", help="wav2vec2 (default: English's)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=backends.available("align"))
    args = parser.parse_args()
    names = {"cross_attention": args.model, "whisperx": args.align_model or models.align_model("en")}
    print("| aligner | words of | number | median | mean | within 50 ms, % | bias of beginnings | RTFx |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = list(labelled(Path(folder)))
        for name in args.only:
            device = "cpu" if name == "even" else args.device
            precision = "int8" if name == "cross_attention" and device == "cpu" else "float32"
            choice = Choice(name, device, names.get(name), precision, model_required=True)
            try:
                aligner = backends.load("align", choice, Options.from_flat(threads=args.threads))
            except TranscriptionError as error:
                print(f"| {name} | {error.message} |" + " |" * 6)
                continue
            for part in data:
                print(row(name, aligner, part), flush=True)


if __name__ == "__main__":
    main()
