"""The server over HTTP, for suites that speak nothing else: ``serve_http.py PORT ALLOWED_FOLDER``."""

import sys
from pathlib import Path

from mcp_server.server import build
from mcp_server.settings import Settings

FAKE_WORKER = Path(__file__).parents[1] / "mcp_server" / "fake_worker.py"

settings = Settings(
    allow_dirs=(sys.argv[2],), worker_command=(sys.executable, str(FAKE_WORKER)), cancel_grace_s=1.0
)
build(settings)[0].run("streamable-http", port=int(sys.argv[1]))
