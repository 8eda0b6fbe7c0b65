"""Short questions that the server answers in a process of their own: ``python -m mcp_server.aside``.

Opening a damaged file can crash or block the library that does it, and looking at backends imports numpy; neither
shall happen to the server, and neither can wait until the worker is free. A question comes as JSON on stdin, the
answer goes as JSON to stdout: ``{"answer": …}`` or ``{"error": {code, message, retryable, hint}}``.

``{"check": {"path", "identity", "options"}}``
    Whether the file is a recording and the request can be planned: ``{"duration_s", "plan"}``, where ``plan``
    changes with every backend or model that would do the work.
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
    raise ValueError(f"unknown question {sorted(question)}")


def check(path: str, identity: FileIdentity, options: Options) -> dict[str, Any]:
    """Reads the file's header only."""
    from pipeline import audio
    from pipeline.machine import probe
    from pipeline.plan import plan

    media = audio.probe(path, options.audio, identity=identity)
    chosen = plan(probe(), options)
    return {"duration_s": media.duration_s, "plan": _fingerprint(chosen, options)}


def _fingerprint(chosen: Any, options: Options) -> str:
    from pipeline import backends

    names = [_identity(room, choice, options) for room in backends.ROOMS for choice in getattr(chosen, room)]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _identity(room: str, choice: Any, options: Options) -> str:
    from pipeline import backends

    try:
        here = options.model_copy(update={"allow_download": False})
        return (
            f"{room}/{choice.device}/{backends.identity(room, choice, backends.weights(room, choice, here))}"
        )
    except TranscriptionError as error:
        return f"{room}/{choice.device}/{choice.backend}:{error.code}"


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
