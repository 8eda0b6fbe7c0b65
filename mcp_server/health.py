"""health_check: what is installed, what may be read, what would run, and how each gap is closed."""

from __future__ import annotations

import os
from typing import Any

from anyio import to_thread
from mcp_types import CallToolResult, TextContent
from pydantic import Field

from mcp_server.engine import ask_aside
from mcp_server.service import Service
from mcp_server.version import VERSION
from schemas._frozen import Frozen
from schemas.errors import TranscriptionError
from schemas.options import Options


class Gap(Frozen):
    """Something that is missing, and the one thing to do about it."""

    what: str
    why: str
    fix: str


class Choice(Frozen):
    """What ``auto`` would take for a stage."""

    backend: str
    device: str
    model: str | None = None
    compute_type: str | None = None


class ServerHealth(Frozen):
    """This server and its folders."""

    version: str
    pid: int
    state_dir: str
    log: str
    worker_pid: int | None = Field(
        None, description="None until the first job, and after a time without any."
    )
    unfinished_jobs: int = 0


class Health(Frozen):
    """Without gaps, everything works."""

    ok: bool
    server: ServerHealth
    allowed_folders: tuple[str, ...]
    hidden_folders_allowed: bool
    machine: dict[str, str | int | float | bool] | None = None
    packages: dict[str, str] | None = Field(None, description="Version of each; absent if not installed.")
    plan: dict[str, Choice] | None = Field(None, description="By stage; absent where nothing can do it.")
    gaps: tuple[Gap, ...] = ()


async def check(service: Service) -> CallToolResult:
    """Always answers, whatever is broken."""
    gaps = [*_folder_gaps(service), *await _store_gaps(service)]
    found: dict[str, Any] = {}
    try:
        options = Options.from_flat(**service.settings.defaults)
        found = (
            await ask_aside(service.settings, {"doctor": {"options": options.model_dump(mode="json")}}) or {}
        )
        if not found:
            gaps.append(
                Gap(what="doctor", why="the check of this machine crashed", fix="whisperx-mlx doctor")
            )
    except TranscriptionError as error:
        gaps.append(Gap(what=error.code, why=error.message, fix=error.hint or "see the documentation"))
    health = _health(service, found, gaps)
    text = TextContent(type="text", text="\n".join(_lines(health)))
    return CallToolResult(content=[text], structured_content=health.compact())


def _health(service: Service, found: dict[str, Any], gaps: list[Gap]) -> Health:
    settings, access = service.settings, service.access
    gaps = [*gaps, *(Gap(**gap) for gap in found.get("gaps", ()))]
    plan = {room: Choice(**choice) for room, choice in found.get("plan", {}).items() if choice}
    # a gap that only says that a default was replaced does not keep anything from working
    return Health(
        ok=bool(found) and len(plan) == len(found["plan"]) and not any(gap.what == "store" for gap in gaps),
        server=ServerHealth(
            version=VERSION,
            pid=os.getpid(),
            state_dir=str(settings.state_dir),
            log=str(settings.log),
            worker_pid=service.jobs.worker_pid,
            unfinished_jobs=service.jobs.unfinished,
        ),
        allowed_folders=tuple(str(folder) for folder in access.folders),
        hidden_folders_allowed=bool(settings.allow_dirs),
        machine=_known(found.get("machine")),
        packages=_known(found.get("packages")),
        plan=plan or None,
        gaps=tuple(gaps),
    )


def _known(values: dict[str, Any] | None) -> dict[str, Any] | None:
    return values and {name: value for name, value in values.items() if value is not None}


def _folder_gaps(service: Service) -> list[Gap]:
    return [
        Gap(
            what="allowed folder",
            why=f"{folder} is not there",
            fix="Create it, or name another one with --allow-dir.",
        )
        for folder in service.access.missing
    ]


async def _store_gaps(service: Service) -> list[Gap]:
    try:
        await to_thread.run_sync(service.store.open)
    except TranscriptionError as error:
        return [Gap(what="store", why=error.message, fix=error.hint or "")]
    return []


def _lines(health: Health) -> list[str]:
    server = health.server
    worker = f"worker {server.worker_pid}" if server.worker_pid else "no worker loaded"
    lines = [
        "Everything needed is here." if health.ok else "Something is missing; see the gaps.",
        f"server: version {server.version}, {worker}, {server.unfinished_jobs} unfinished jobs",
        f"state: {server.state_dir}; log: {server.log}",
        "allowed folders: "
        + ", ".join(health.allowed_folders)
        + ("" if health.hidden_folders_allowed else " (without hidden folders)"),
    ]
    for title, values in (("machine", health.machine), ("packages", health.packages)):
        if values:
            lines.append(f"{title}: " + ", ".join(f"{name} {value}" for name, value in values.items()))
    for room, choice in (health.plan or {}).items():
        using = f" with {choice.model}" if choice.model else ""
        precision = f" in {choice.compute_type}" if choice.compute_type else ""
        lines.append(f"plan: {room} by {choice.backend} on {choice.device}{using}{precision}")
    lines += [f"gap: {gap.what}: {gap.why} Fix: {gap.fix}" for gap in health.gaps]
    return lines
