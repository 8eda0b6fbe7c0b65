"""Settings of clients, printed and written."""

import json
import stat
import tomllib

import pytest

from mcp_server import __main__ as entry
from mcp_server import clients
from mcp_server.clients import CLIENTS, Launch
from mcp_server.commands import COMMANDS, config
from schemas.errors import OutputFailed


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


@pytest.fixture
def launch():
    return Launch.of("meetings", ["~/Recordings", "/data/zwei Ordner"])


def servers(client):
    text = client.path().read_text("utf-8")
    return (tomllib.loads(text) if client.toml else json.loads(text))[client.key]


def test_the_command_is_absolute_and_so_are_the_folders(launch, home):
    assert launch.command.startswith("/")
    start = launch.args.index("--allow-dir")
    assert launch.args[start + 1 :] == (f"{home}/Recordings", "/data/zwei Ordner")


@pytest.mark.parametrize("name", CLIENTS)
def test_what_is_printed_is_what_is_written_into_a_new_file(name, launch):
    client = CLIENTS[name]
    assert clients.write(client, launch) is None
    printed = client.rendered(launch)
    shown = (tomllib.loads(printed) if client.toml else json.loads(printed))[client.key]
    assert servers(client) == shown
    assert shown["meetings"]["command"] == launch.command
    assert shown["meetings"]["args"] == list(launch.args)
    assert stat.S_IMODE(client.path().stat().st_mode) == 0o600
    assert clients.starts_this(client)


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if not client.toml])
def test_settings_that_are_there_are_kept_and_backed_up(name, launch):
    client = CLIENTS[name]
    before = {"theme": "dunkel", client.key: {"other": {"command": "x"}, "meetings": {"env": {"A": "1"}}}}
    client.path().parent.mkdir(parents=True, exist_ok=True)
    client.path().write_text(json.dumps(before))
    client.path().chmod(0o640)
    backup = clients.write(client, launch)
    assert json.loads(backup.read_text()) == before
    after = json.loads(client.path().read_text())
    assert after["theme"] == "dunkel"
    assert after[client.key]["other"] == {"command": "x"}
    assert after[client.key]["meetings"]["env"] == {"A": "1"}
    assert after[client.key]["meetings"]["command"] == launch.command
    assert stat.S_IMODE(client.path().stat().st_mode) == 0o640
    assert clients.write(client, launch) is None  # nothing to change: no second backup
    assert len(list(client.path().parent.glob("*.backup"))) == 1


def test_comments_in_toml_are_kept_and_another_entry_of_that_name_is_not_touched(launch):
    client = CLIENTS["codex"]
    client.path().parent.mkdir(parents=True)
    client.path().write_text('# mine\nmodel = "x"\n[mcp_servers.other]\ncommand = "y"\n')
    clients.write(client, launch)
    assert client.path().read_text().startswith("# mine\n")
    assert set(servers(client)) == {"other", "meetings"}
    assert clients.write(client, launch) is None
    with pytest.raises(OutputFailed):
        clients.write(client, Launch.of("meetings", ["/elsewhere"]))


@pytest.mark.parametrize("name", ["claude-desktop", "codex"])
@pytest.mark.parametrize("text", ["{broken", "[]", '{"mcpServers": 3}'])
def test_settings_that_cannot_be_understood_are_left_alone(name, text, launch):
    client = CLIENTS[name]
    client.path().parent.mkdir(parents=True, exist_ok=True)
    client.path().write_text(text)
    if client.toml and text == "[]":
        text = "[=]"
        client.path().write_text(text)
    with pytest.raises(OutputFailed):
        clients.write(client, launch)
    assert client.path().read_text() == text


def test_a_link_to_settings_elsewhere_stays_a_link(launch, home):
    client = CLIENTS["cursor"]
    client.path().parent.mkdir(parents=True)
    (home / "dotfiles.json").write_text("{}")
    client.path().symlink_to(home / "dotfiles.json")
    clients.write(client, launch)
    assert client.path().is_symlink()
    assert "meetings" in servers(client)


def test_the_command_line_prints_writes_and_refuses(capsys):
    assert config(["claude-desktop", "--allow-dir", "/r"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["mcpServers"]["meetings"]["args"][-2:] == ["--allow-dir", "/r"]
    assert config(["claude-code"]) == 0
    assert capsys.readouterr().out.startswith("claude mcp add --scope user meetings -- /")
    assert config(["cursor", "--write", "--name", "notes"]) == 0
    assert "notes" in servers(CLIENTS["cursor"])
    assert config(["emacs"]) == 2
    assert "claude-desktop" in capsys.readouterr().err


def test_the_commands_are_reached_from_the_front_door(capsys, monkeypatch):
    assert set(entry._COMMANDS) == set(COMMANDS)
    with pytest.raises(SystemExit) as ended:
        entry.main(["config", "cursor"])
    assert ended.value.code == 0
    assert "mcpServers" in capsys.readouterr().out


def test_doctor_tells_of_the_machine_the_folders_and_the_clients(capsys, launch):
    clients.write(CLIENTS["cursor"], launch)
    CLIENTS["codex"].path().parent.mkdir()
    COMMANDS["doctor"]([])
    out = capsys.readouterr().out
    assert "machine   " in out
    assert "recordings " in out
    assert "Cursor starts this server" in out
    assert "whisperx-mlx-mcp config codex --write" in out
