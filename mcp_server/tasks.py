"""The Tasks extension (``io.modelcontextprotocol/tasks``, SEP-2663): jobs as tasks, for clients that declare it.

A task is a job under its job_id: ``get_job``, ``list_jobs`` and ``cancel_job`` know it, it outlives client and
server, and another client that asks for the same joins it. Work that is done at once is answered at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from mcp import MCPError
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.server import require_client_extension
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, CallToolRequestParams, CallToolResult, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from mcp_server.job import JobView
from mcp_server.service import Service
from schemas.errors import NotFound
from schemas.jobs import UNFINISHED
from schemas.options import OPERATIONS

IDENTIFIER = "io.modelcontextprotocol/tasks"
POLL_MS = 2_000
TTL_MS = 7 * 24 * 3600 * 1000


class TaskParams(RequestParams):
    """What every method of the extension takes; answers of a user are never asked for."""

    task_id: str = Field(alias="taskId", max_length=128)


class Tasks(Extension):
    """Turns a call that is still running into a task, and serves ``tasks/get``, ``/cancel`` and ``/update``."""

    identifier = IDENTIFIER

    def __init__(self, service: Service) -> None:
        self._service = service

    async def intercept_tool_call(self, params: CallToolRequestParams, ctx: Any, call_next: Any) -> Any:
        """Does not wait for heavy work where the client takes a task instead."""
        if params.name not in OPERATIONS or not _declared(ctx):
            return await call_next(ctx)
        params.arguments = {**(params.arguments or {}), "wait_s": 0}
        result = await call_next(ctx)
        content = getattr(result, "structured_content", None) or {}
        if content.get("status") not in UNFINISHED:
            return result
        view = await self._service.jobs.view(content["job_id"])
        return {**_task(view), "resultType": "task"}

    def methods(self) -> Sequence[MethodBinding]:
        """For the stateless protocol alone: the earlier one has tasks of another kind."""
        versions = frozenset(MODERN_PROTOCOL_VERSIONS)
        handlers = {"tasks/get": self._get, "tasks/cancel": self._cancel, "tasks/update": self._update}
        return [MethodBinding(method, TaskParams, handler, versions) for method, handler in handlers.items()]

    async def _get(self, ctx: Any, params: TaskParams) -> dict[str, Any]:
        view = await self._view(ctx, params)
        task = _task(view)
        if task["status"] == "completed":
            result: CallToolResult = await self._service.present(view)
            task["result"] = result.model_dump(by_alias=True, mode="json", exclude_none=True)
        elif task["status"] == "failed":
            task["error"] = {"code": INTERNAL_ERROR, "message": "interrupted: call the tool again to go on"}
        return {**task, "resultType": "complete"}

    async def _cancel(self, ctx: Any, params: TaskParams) -> dict[str, Any]:
        view = await self._view(ctx, params)
        await self._service.jobs.cancel(view.record.id)
        return {}

    async def _update(self, ctx: Any, params: TaskParams) -> dict[str, Any]:
        await self._view(ctx, params)
        return {}

    async def _view(self, ctx: Any, params: TaskParams) -> JobView:
        require_client_extension(ctx, IDENTIFIER)
        try:
            return await self._service.jobs.view(params.task_id)
        except NotFound as error:
            raise MCPError(code=INVALID_PARAMS, message=f"{error.code}: {error.message}") from None


def _declared(ctx: Any) -> bool:
    capabilities = ctx.session.client_capabilities
    extensions = capabilities.extensions if capabilities else None
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and IDENTIFIER in (extensions or {})


# A tool's own error is a completed task whose result is that error; "failed" is for what never got to an answer.
_STATUS = {
    "queued": "working",
    "running": "working",
    "completed": "completed",
    "failed": "completed",
    "cancelled": "cancelled",
    "interrupted": "failed",
}


def _task(view: JobView) -> dict[str, Any]:
    job = view.record
    left = "" if view.eta_s is None else f", about {view.eta_s:.0f} s left"
    return {
        "taskId": job.id,
        "status": _STATUS[job.status],
        "statusMessage": f"{job.stage} {job.fraction:.0%}{left}" if job.unfinished else job.status,
        "createdAt": _utc(job.created_at),
        "lastUpdatedAt": _utc(job.finished_at or datetime.now(UTC).timestamp()),
        "ttlMs": TTL_MS,
        "pollIntervalMs": POLL_MS,
    }


def _utc(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
