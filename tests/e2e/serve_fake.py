"""The real server whose worker runs without models: ``serve_fake.py ALLOWED_FOLDER [SETTINGS]``, those as JSON."""

import json
import sys
from pathlib import Path

from mcp_server.serve import serve
from mcp_server.settings import Settings

FAKE_WORKER = Path(__file__).parents[1] / "mcp_server" / "fake_worker.py"

serve(
    Settings(
        allow_dirs=(sys.argv[1],),
        worker_command=(sys.executable, str(FAKE_WORKER)),
        cancel_grace_s=1.0,
        **json.loads("".join(sys.argv[2:]) or "{}"),
    )
)
