"""The bench of long recordings runs all that the backends run but the networks."""

from __future__ import annotations

import sys

import pytest
from bench_modules import loaded


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_everybody_is_found_without_networks(mode, monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["long_diarization.py", "--hours", "0.1", "--speakers", "4", "--mode", mode]
    )
    loaded("long_diarization").main()
    assert "\n4 speakers, " in capsys.readouterr().out
