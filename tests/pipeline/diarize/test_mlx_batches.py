"""How many windows go through the networks together on MLX."""

from __future__ import annotations

import pytest

from pipeline.diarize.mlx import _windows_at_once


@pytest.mark.parametrize(
    ("device", "gigabytes", "windows"),
    [("cpu", 64, 4), ("metal", 64, 16), ("cuda", 140, 128), ("cuda", 24, 32), ("cuda", 8, 8), ("cuda", 0, 1)],
)
def test_windows_at_once_fit_into_a_third_of_a_gpus_memory(device, gigabytes, windows):
    assert _windows_at_once(device, gigabytes << 30) == windows
