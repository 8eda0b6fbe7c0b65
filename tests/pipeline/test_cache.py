"""The stage cache keeps whole results only."""

import json
import os
import stat
import time

import pytest

from pipeline.cache import Cache, NoCache, key_of, write_atomically


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def test_a_result_comes_back(cache):
    cache.put("asr", "k", {"segments": [{"text": "día"}]})
    assert cache.get("asr", "k") == {"segments": [{"text": "día"}]}
    assert cache.get("asr", "other") is None
    assert cache.get("vad", "k") is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_damaged_file_counts_as_none(cache, damage):
    cache.put("asr", "k", {})
    (cache.root / "asr-k.json").write_bytes(damage)
    assert cache.get("asr", "k") is None


def test_only_the_owner_can_read(cache):
    cache.put("asr", "k", {})
    assert stat.S_IMODE(cache.root.stat().st_mode) == 0o700
    assert stat.S_IMODE((cache.root / "asr-k.json").stat().st_mode) == 0o600


def test_nan_is_refused_and_leaves_nothing(cache):
    with pytest.raises(ValueError, match="JSON compliant"):
        cache.put("asr", "k", {"score": float("nan")})
    assert list(cache.root.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_pieces_survive_a_torn_write(cache):
    partial = cache.partial("asr", "k")
    partial.append({"index": 0})
    with partial.path.open("ab") as file:
        file.write(b'{"index": 1, "segm')
    assert [p["index"] for p in partial] == [0]
    partial.append({"index": 2})
    assert [p["index"] for p in partial] == [0, 2]
    partial.clear()
    assert list(partial) == []


def test_pruning_takes_only_what_is_old(cache):
    cache.put("asr", "old", {})
    cache.put("asr", "new", {})
    then = time.time() - 1000
    os.utime(cache.root / "asr-old.json", (then, then))
    assert cache.prune(max_age_s=500) == 1
    assert cache.get("asr", "old") is None
    assert cache.get("asr", "new") == {}


def test_keys_do_not_depend_on_the_order_of_parts():
    assert key_of(a=1, b=[2, None]) == key_of(b=[2, None], a=1)
    assert key_of(a=1) != key_of(a="1")
    assert json.dumps(key_of(a=1)).isascii()


def test_a_run_without_a_cache_leaves_it_alone(cache, tmp_path):
    cache.put("asr", "k", {})
    os.utime(cache.root / "asr-k.json", (0, 0))
    without = NoCache(tmp_path)
    without.put("asr", "other", {})
    assert without.prune() == 0
    assert without.get("asr", "k") is None
    assert [path.name for path in cache.root.glob("*.json")] == ["asr-k.json"]
