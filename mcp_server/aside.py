"""Short questions that the server answers in a process of their own: ``python -m mcp_server.aside``.

Opening a damaged file can crash or block the library that does it, and looking at backends imports numpy; neither
shall happen to the server, and neither can wait until the worker is free. A question comes as JSON on stdin, the
answer goes as JSON to stdout: ``{"answer": …}`` or ``{"error": {code, message, retryable, hint}}``.

``{"check": {"path", "identity", "options"}}``
    Whether the file is a recording and the request can be planned: ``{"duration_s", "plan"}``, where ``plan``
    changes with every backend or model that would do the work.
``{"match": {"voices", "embedding_model", "profiles"}}``
    ``{"matches"}``, in the order of the voices.
``{"doctor": {"options"}}``
    :func:`pipeline.doctor.report`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any

from schemas.errors import TranscriptionError
from schemas.jobs import FileIdentity
from schemas.options import Options


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Raises the errors of :mod:`schemas.errors`."""
    match question:
        case {"check": {"path": path, "identity": identity, "options": options}}:
            return check(path, FileIdentity(**identity), Options.model_validate(options))
        case {"doctor": {"options": options}}:
            from pipeline import doctor

            return doctor.report(Options.model_validate(options))
        case {"match": {"voices": voices, "embedding_model": model, "profiles": profiles}}:
            return match(voices, model, profiles)
    raise ValueError(f"unknown question {sorted(question)}")


def match(voices: list[dict], model: str, profiles: list[dict]) -> dict[str, Any]:
    """Who each voice may be, by :func:`pipeline.voices.match_voices`."""
    from pipeline.voices import match_voices
    from schemas.voices import Voice, VoiceProfile

    heard = [Voice.model_validate(voice) for voice in voices]
    people = [VoiceProfile.model_validate(profile) for profile in profiles]
    return {"matches": [found.model_dump(mode="json") for found in match_voices(heard, model, people)]}


def check(path: str, identity: FileIdentity, options: Options) -> dict[str, Any]:
    """Reads the file's header only."""
    from pipeline import audio
    from pipeline.machine import probe
    from pipeline.plan import plan

    media = audio.probe(path, options.audio, identity=identity)
    chosen = plan(probe(), options)
    return {"duration_s": media.duration_s, "plan": _fingerprint(chosen, options)}


def _fingerprint(chosen: Any, options: Options) -> str:
    """Changes when other backends would be tried, when one of them changes, and when models come or go."""
    from pipeline import backends, models
    from pipeline.model_table import TABLE

    tried = [
        f"{room}:{backends.module(room, choice.backend).VERSION}:{choice}"
        for room in backends.ROOMS
        for choice in getattr(chosen, room)
    ]
    here = [
        f"{entry.kind}:{entry.name}"
        for entry in TABLE
        if models.is_here(
            entry.kind, entry.name, formats=models.FORMATS[entry.kind], model_dir=options.model_dir
        )
    ]
    return hashlib.sha256("\n".join([*tried, *here]).encode()).hexdigest()[:16]


def main() -> None:
    """Answers one question."""
    real = os.dup(1)
    os.dup2(2, 1)  # a library's print must not reach the answer
    try:
        reply = {"answer": answer(json.load(sys.stdin))}
    except TranscriptionError as error:
        reply = {"error": error.to_dict()}
    with os.fdopen(real, "w", encoding="utf-8") as out:
        json.dump(reply, out)
    os._exit(0)


if __name__ == "__main__":
    main()
