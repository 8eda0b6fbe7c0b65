"""What this machine can do, what ``auto`` would choose, and what is missing with its one-line fix.

Imports nothing heavy, so that the server can answer with it.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pipeline import backends, mlx_runtime
from pipeline.machine import probe
from pipeline.plan import Choice, Machine, plan
from schemas.errors import TranscriptionError
from schemas.options import Options

_PACKAGES = ("mcp", "mlx", "mlx-whisper", "faster-whisper", "whisperx", "torch", "pyannote.audio", "av")


def report(options: Options | None = None) -> dict[str, Any]:
    """Machine, packages, backends with their weights, the plan and the gaps, as plain JSON types.

    Each gap is ``{"what", "why", "fix"}``. Looks at files only; nothing is imported, loaded or fetched.
    """
    options = options or Options()
    machine = probe()
    chosen = plan(machine, options)
    stages = {room: _stage(room, getattr(chosen, room), options) for room in backends.ROOMS}
    return {
        "machine": _machine(machine),
        "packages": {name: _version(name) for name in _PACKAGES},
        "plan": {room: stage["choice"] for room, stage in stages.items()},
        "gaps": [*_missing_backends(machine), *(gap for stage in stages.values() for gap in stage["gaps"])],
    }


def render(found: dict[str, Any]) -> str:
    """The report as text for a terminal."""
    machine, lines = found["machine"], []
    accelerator = machine["accelerator"] or "none"
    lines.append(
        f"machine   {machine['system']} {machine['arch']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Python {machine['python']}, accelerator {accelerator}"
    )
    lines.append(f"MLX       on the CPU its matrix products go to: {machine['mlx_blas_on_cpu']}")
    lines += [f"package   {name} {number or 'missing'}" for name, number in found["packages"].items()]
    for room, choice in found["plan"].items():
        lines.append(f"{room:<9} " + (_line(choice) if choice else "nothing can do this stage"))
    for gap in found["gaps"]:
        lines.append(f"gap       {gap['what']}: {gap['why']}\n          fix: {gap['fix']}")
    if not found["gaps"]:
        lines.append("nothing is missing")
    return "\n".join(lines)


def _line(choice: dict[str, Any]) -> str:
    model = choice.get("model")
    using = f" with {model}" if model else ""
    return f"{choice['backend']} on {choice['device']}{using} ({choice['compute_type']})"


def _machine(machine: Machine) -> dict[str, Any]:
    return {
        "system": machine.system,
        "arch": machine.arch,
        "cores": machine.cores,
        "memory_gb": round(machine.memory_gb, 1),
        "python": platform.python_version(),
        "accelerator": machine.accelerator,
        "accelerator_gb": round(machine.accelerator_gb, 1),
        "mlx_on_gpu": machine.mlx_on_gpu,
        "mlx_blas_on_cpu": mlx_runtime.blas_expected(),
    }


def _stage(room: str, candidates: tuple[Choice, ...], options: Options) -> dict[str, Any]:
    """The first candidate whose weights are here, and a gap for each one passed over or replaced."""
    gaps: list[dict[str, str]] = []
    for choice in candidates:
        try:
            files = backends.weights(room, choice, options.model_copy(update={"allow_download": False}))
        except TranscriptionError as error:
            gap = {
                "what": f"{room}/{choice.backend}",
                "why": error.message,
                "fix": error.hint or "name a model that is here",
            }
            if gap not in gaps:
                gaps.append(gap)
            continue
        gaps += [
            {"what": f"{room}/{choice.backend}", "why": warning.message, "fix": "whisperx-mlx models list"}
            for warning in backends.substitutions(files)
        ]
        model = ", ".join(f.name for f in files) or None
        return {
            "choice": {
                "backend": choice.backend,
                "device": choice.device,
                "model": model,
                "compute_type": choice.compute_type,
            },
            "gaps": gaps,
        }
    return {"choice": None, "gaps": gaps}


def _missing_backends(machine: Machine) -> list[dict[str, str]]:
    gaps = []
    for room in backends.ROOMS:
        for name in backends.available(room):
            missing = backends.missing_packages(room, name)
            if missing:
                packages = " ".join(missing)
                gaps.append(
                    {
                        "what": f"{room}/{name}",
                        "why": f"not installed: {packages}",
                        "fix": f"pip install {packages}",
                    }
                )
    if machine.accelerator == "cuda" and not machine.mlx_on_gpu:
        gaps.append(
            {
                "what": "mlx",
                "why": "an NVIDIA GPU is here, and MLX's build is for the CPU",
                "fix": "pip install 'whisperx-mlx-mcp[cuda12]'",
            }
        )
    return gaps


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
