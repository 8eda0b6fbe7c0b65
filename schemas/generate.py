"""The models as JSON Schema files: ``python -m schemas.generate`` writes them, ``--check`` compares.

The version in a file's name is the major version of the form: fields may be added under it, never taken away.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pydantic import BaseModel

from schemas.diarization import Diarization
from schemas.jobs import JobList, Result
from schemas.library import Found, Speakers, TranscriptList, VoiceList
from schemas.options import Options
from schemas.transcript import Transcript

FOLDER = Path(__file__).parent / "json"
MODELS: dict[str, type[BaseModel]] = {
    "transcript.v1": Transcript,
    "diarization.v1": Diarization,
    "result.v1": Result,
    "job-list.v1": JobList,
    "transcript-list.v1": TranscriptList,
    "found.v1": Found,
    "speakers.v1": Speakers,
    "voice-list.v1": VoiceList,
    "options.v1": Options,
}


def generated() -> dict[Path, str]:
    """Each file's path with the text that it should hold.

    The validation form: fields with a default may be absent, as they are where results leave out nulls.
    """
    return {FOLDER / f"{name}.json": _schema(model) for name, model in MODELS.items()}


def outdated() -> list[Path]:
    """Files that differ from the models or are missing, and files that no model belongs to."""
    wanted = generated()
    differing = [
        path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text
    ]
    return differing + [path for path in FOLDER.glob("*") if path not in wanted]


def _schema(model: type[BaseModel]) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(mode="validation"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Exit status 1 when ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, say what differs")
    if parser.parse_args().check:
        for path in outdated():
            print(f"{path} differs from the models: run `python -m schemas.generate`", file=sys.stderr)
        return 1 if outdated() else 0
    FOLDER.mkdir(exist_ok=True)
    for path, text in generated().items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
