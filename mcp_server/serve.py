"""Running the server on stdin and stdout, and its end."""

from __future__ import annotations

import os
import signal
import sys

import anyio
from mcp.server import MCPServer

from mcp_server.server import build
from mcp_server.service import Service
from mcp_server.settings import Settings


def serve(settings: Settings) -> None:
    """Returns when stdin closes. SIGTERM and SIGINT end the process."""
    server, service = build(settings)
    anyio.run(_serve, server, service)
    os.dup2(2, 1)  # nothing that is still in a buffer may reach the client


async def _serve(server: MCPServer, service: Service) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_on_signal, service)
        await server.run_stdio_async()
        tasks.cancel_scope.cancel()


async def _end_on_signal(service: Service) -> None:
    """Ends at once: the thread that reads stdin cannot be woken, so an orderly return would wait for it."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            service.jobs.end()
            sys.stderr.flush()
            os._exit(0)
