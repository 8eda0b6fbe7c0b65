"""Which paths may be read."""

import os

import pytest

from mcp_server.access import Access
from schemas.errors import FileNotReadable, InvalidArgument


@pytest.fixture
def access(folder):
    return Access((str(folder),))


def refused(access, path):
    with pytest.raises((FileNotReadable, InvalidArgument)) as caught:
        access.check(str(path))
    return caught.value


def test_a_file_inside_is_known_by_its_device_and_inode(access, recording):
    path = recording()
    found = access.check(str(path))
    stat = path.stat()
    assert (found.path, found.identity.device, found.identity.inode) == (path, stat.st_dev, stat.st_ino)


def test_a_changed_file_has_another_version(access, recording):
    path = recording()
    before = access.check(str(path)).version
    path.write_bytes(b"other")
    assert access.check(str(path)).version != before


@pytest.mark.parametrize("form", ["file://{}", "file://localhost{}", ' "{}" ', "{}"])
def test_uris_quotes_and_blanks_around_a_path_are_understood(access, recording, form):
    path = recording("a b")
    assert access.check(form.format(str(path).replace(" ", "%20") if "://" in form else path)).path == path


def test_the_home_folder_may_be_written_as_tilde(recording, folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    path = recording()
    assert Access().check(f"~/{path.name}").path == path


@pytest.mark.parametrize(
    "path",
    ["meeting.m4a", "../meeting.m4a", "", "http://a/b.mp3", "file://elsewhere/b.mp3", "~ana/b.mp3", "/a\0b"],
)
def test_anything_but_an_absolute_path_is_refused_with_the_folders_and_the_hint_on_chats(
    access, folder, path
):
    error = refused(access, path)
    assert error.code == "invalid_argument"
    assert str(folder) in error.hint
    assert "chat" in error.hint


def test_outside_the_answer_is_the_same_whether_or_not_the_file_exists(access, tmp_path):
    there, missing = tmp_path / "there.wav", tmp_path / "missing.wav"
    there.touch()
    first, second = refused(access, there), refused(access, missing)
    assert (first.code, first.message, first.hint) == (second.code, second.message, second.hint)
    assert first.code == "file_not_found"


def test_a_missing_file_inside_gets_that_answer_too(access, tmp_path, folder):
    assert refused(access, folder / "no.wav").to_dict() == refused(access, tmp_path / "no.wav").to_dict()


def test_a_link_that_leads_outside_counts_as_outside(access, folder, tmp_path):
    (tmp_path / "secret.wav").touch()
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    assert refused(access, folder / "link.wav").code == "file_not_found"


def test_a_link_that_stays_inside_is_followed(access, folder, recording):
    path = recording()
    (folder / "link.wav").symlink_to(path)
    assert access.check(str(folder / "link.wav")).path == path


def test_dots_do_not_lead_out(access, folder, tmp_path):
    (tmp_path / "secret.wav").touch()
    assert refused(access, f"{folder}/../secret.wav").code == "file_not_found"


def test_a_folder_whose_name_only_begins_the_same_is_outside(access, tmp_path):
    sibling = tmp_path / "recordings-private"
    sibling.mkdir()
    (sibling / "a.wav").touch()
    assert refused(access, sibling / "a.wav").code == "file_not_found"


def test_a_link_loop_and_a_name_that_is_too_long_are_not_found(access, folder):
    (folder / "loop").symlink_to(folder / "loop")
    assert refused(access, folder / "loop").code == "file_not_found"
    assert refused(access, f"/{'x' * 5000}").code == "file_not_found"


def test_a_folder_and_a_pipe_are_no_recordings_and_nothing_waits(access, folder):
    os.mkfifo(folder / "pipe")
    assert refused(access, folder).code == "not_a_file"
    assert refused(access, folder / "pipe").code == "not_a_file"


def test_a_file_that_the_system_refuses_to_open_is_denied(access, recording, monkeypatch):
    """As macOS does for folders that the client was not given; root can open everything, so it is simulated."""

    def refuse(*_):
        raise PermissionError

    path = recording()
    monkeypatch.setattr(os, "open", refuse)
    assert refused(access, path).code == "access_denied"


def test_by_default_the_home_folder_is_allowed_but_not_what_is_hidden_in_it(folder, recording, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    path = recording()
    hidden = folder / ".cache"
    hidden.mkdir()
    path.with_name(".cache").joinpath("a.wav").touch()
    assert Access().check(str(path)).path == path
    assert refused(Access(), hidden / "a.wav").code == "file_not_found"
    assert Access((str(hidden),)).check(str(hidden / "a.wav"))


def test_a_name_that_only_looks_the_same_is_named_but_never_opened(access, folder):
    """macOS writes a narrow space before PM, which no agent ever types."""
    (folder / "Meeting 2.31\u202fPM.m4a").touch()
    error = refused(access, folder / "Meeting 2.31 PM.m4a")
    assert error.code == "file_not_found"
    assert "Did you mean" in error.hint
    assert "\u202f" in error.hint


def test_names_outside_are_never_told(access, tmp_path):
    (tmp_path / "secret-plan.wav").touch()
    assert "secret-plan" not in refused(access, tmp_path / "secret-plans.wav").hint
