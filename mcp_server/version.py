"""The version of the installed distribution."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("whisperx-mlx-mcp")
except PackageNotFoundError:  # run from a checkout
    VERSION = "0+checkout"
