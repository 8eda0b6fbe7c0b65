"""Settings of MCP clients: what to put where so that a client starts this server, and putting it there.

Places and forms are those of the clients' own documentation; where a client has a command for it, that is shown.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.errors import InvalidArgument, OutputFailed


@dataclass(frozen=True)
class Launch:
    """How a client starts the server. ``command`` is an absolute path: clients start with another PATH."""

    name: str
    command: str
    args: tuple[str, ...]

    @classmethod
    def of(cls, name: str, folders: Sequence[str], options: Sequence[str] = ()) -> Launch:
        """This installation, allowed to read these folders."""
        script = Path(sys.executable).with_name("whisperx-mlx-mcp")
        command, first = (str(script), ()) if script.exists() else (sys.executable, ("-m", "mcp_server"))
        args: list[str] = list(first)
        if folders:
            args += ["--allow-dir", *(str(Path(folder).expanduser().absolute()) for folder in folders)]
        for option in options:
            args += ["--option", option]
        return cls(name, command, tuple(args))

    @property
    def entry(self) -> dict[str, Any]:
        """The form that nearly all clients take."""
        return {"command": self.command, "args": list(self.args)}

    @property
    def words(self) -> str:
        """As a command for a shell."""
        return shlex.join([self.command, *self.args])


@dataclass(frozen=True)
class Client:
    """A client: where its settings lie, and their key for servers. ``command``: its own way to add one."""

    title: str
    path: Callable[[], Path]
    key: str = "mcpServers"
    typed: bool = False  # entries say "type": "stdio"
    toml: bool = False
    command: Callable[[Launch], str] | None = None
    after: str = "Restart the client."

    def entry(self, launch: Launch) -> dict[str, Any]:
        """The server's entry in this client's settings."""
        return {"type": "stdio", **launch.entry} if self.typed else launch.entry

    def rendered(self, launch: Launch) -> str:
        """What has to stand in the settings."""
        if self.toml:
            return _toml(self.key, launch)
        return json.dumps({self.key: {launch.name: self.entry(launch)}}, indent=2, ensure_ascii=False)


def _config(*parts: str) -> Callable[[], Path]:
    """In the platform's folder for settings of desktop programs."""

    def path() -> Path:
        if sys.platform == "darwin":
            return Path.home().joinpath("Library", "Application Support", *parts)
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config").joinpath(*parts)

    return path


def _home(*parts: str) -> Callable[[], Path]:
    return lambda: Path.home().joinpath(*parts)


CLIENTS: dict[str, Client] = {
    "claude-desktop": Client("Claude Desktop", _config("Claude", "claude_desktop_config.json")),
    "claude-code": Client(
        "Claude Code",
        _home(".claude.json"),
        typed=True,
        command=lambda launch: f"claude mcp add --scope user {shlex.quote(launch.name)} -- {launch.words}",
        after="Start a new session; /mcp shows it.",
    ),
    "cursor": Client("Cursor", _home(".cursor", "mcp.json")),
    "vscode": Client("Visual Studio Code", _config("Code", "User", "mcp.json"), key="servers", typed=True),
    "windsurf": Client("Windsurf", _home(".codeium", "windsurf", "mcp_config.json")),
    "gemini": Client("Gemini CLI", _home(".gemini", "settings.json")),
    "codex": Client("Codex", _home(".codex", "config.toml"), key="mcp_servers", toml=True),
}


def client_named(name: str) -> Client:
    """Raises :class:`InvalidArgument` for a client that is not known."""
    if name not in CLIENTS:
        raise InvalidArgument(
            f"no client is called {name!r}",
            hint=f"choose one of {', '.join(CLIENTS)}; any other client takes the JSON of claude-desktop",
        )
    return CLIENTS[name]


def write(client: Client, launch: Launch) -> Path | None:
    """Puts the server into the client's settings; everything else in them stays. Returns the backup, if any.

    Raises :class:`OutputFailed` for settings that cannot be read or written; then they are as they were.
    """
    path = client.path().expanduser()
    path = path.resolve() if path.is_symlink() else path
    try:
        before = path.read_text("utf-8") if path.exists() else None
        after = _with_server(client, launch, before or "")
        if after == before:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        backup = _back_up(path, before)
        _replace(path, after)
    except OSError as error:
        raise OutputFailed(
            f"{path} cannot be written: {error.strerror}", hint="put the text there by hand"
        ) from None
    return backup


def starts_this(client: Client) -> bool:
    """Whether the client's settings name this program; settings that cannot be read do not."""
    try:
        text = client.path().read_text("utf-8")
    except (OSError, UnicodeError):
        return False
    return "whisperx-mlx-mcp" in text or '"mcp_server"' in text


def _with_server(client: Client, launch: Launch, text: str) -> str:
    return _with_toml(client, launch, text) if client.toml else _with_json(client, launch, text)


def _with_json(client: Client, launch: Launch, text: str) -> str:
    try:
        settings = json.loads(text) if text.strip() else {}
        servers = settings.setdefault(client.key, {})
        servers[launch.name] = {**_kept(servers.get(launch.name)), **client.entry(launch)}
    except (ValueError, AttributeError, TypeError):
        raise OutputFailed(
            f"{client.path()} is not in the form that {client.title} writes; it was left as it is",
            hint="mend it, or put the text there by hand",
        ) from None
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def _kept(entry: Any) -> dict[str, Any]:
    """What a user may have added to an older entry, such as ``env``."""
    return {name: value for name, value in (entry or {}).items() if name not in ("command", "args", "type")}


def _with_toml(client: Client, launch: Launch, text: str) -> str:
    """Appended: rewriting would lose comments. An entry that is there already is left to the user."""
    try:
        known = tomllib.loads(text).get(client.key, {})
    except tomllib.TOMLDecodeError:
        raise OutputFailed(
            f"{client.path()} is no TOML; it was left as it is", hint="mend it first"
        ) from None
    wanted = tomllib.loads(_toml(client.key, launch))[client.key][launch.name]
    if known.get(launch.name) == wanted:
        return text
    if launch.name in known:
        raise OutputFailed(
            f"{client.path()} has a server {launch.name!r} already; it was left as it is",
            hint="change it by hand, or use another --name",
        )
    return f"{text.rstrip()}\n\n{_toml(client.key, launch)}".lstrip()


def _toml(key: str, launch: Launch) -> str:
    """JSON strings and arrays of strings are TOML, too."""
    return (
        f"[{key}.{json.dumps(launch.name)}]\n"
        f"command = {json.dumps(launch.command)}\n"
        f"args = {json.dumps(list(launch.args))}\n"
    )


def _back_up(path: Path, before: str | None) -> Path | None:
    if before is None:
        return None
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    backup = path.with_name(f"{path.name}.{stamp}.backup")
    backup.write_text(before, "utf-8")
    backup.chmod(path.stat().st_mode & 0o777)
    return backup


def _replace(path: Path, text: str) -> None:
    """All of it or nothing, with the rights that the file had (a new one: for the owner)."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    part = path.with_name(f".{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
