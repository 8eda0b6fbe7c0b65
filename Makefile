# `make demo` and `make test` each work alone on a fresh machine with Python 3.11 to 3.13, pip and make.
# Everything goes into .venv; models go into the user's cache folder (WHISPERX_MLX_CACHE names another one).

.PHONY: help demo test lint bench-asr bench-align bench-diarize setup setup-dev weights bundle cuda12 cuda13 requirements \
	schemas clean

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3
LOCK := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-annotate

# uv is some ten times faster; where it is missing or cannot reach the registry, pip does the same.
install = { [ -x $(BIN)/uv ] && $(BIN)/uv pip install --python $(BIN)/python $(1); } \
	|| $(BIN)/python -m pip install --disable-pip-version-check $(1)

help:
	@echo "make demo   transcribe the meeting that comes with the project, through the MCP server"
	@echo "make test   run the tests"
	@echo "make lint   check style and schemas"
	@echo "make setup  install everything that it takes to run, with starter models"
	@echo "make cuda13 MLX for an NVIDIA GPU with a CUDA 13 driver (cuda12: with an older one)"
	@echo "make bundle the server as a bundle for Claude Desktop, dist/whisperx-mlx-mcp.mcpb"
	@echo "make clean  remove .venv and what was made here (models stay in the user's cache folder)"

demo: setup
	@$(BIN)/python examples/demo.py

test: setup-dev weights
	$(BIN)/python -m pytest $(ARGS)

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m schemas.generate --check

bench-asr: setup-dev weights
	$(BIN)/python bench/asr.py $(ARGS)

bench-diarize: setup-dev weights
	$(BIN)/python bench/diarize.py $(ARGS)

bench-align: setup-dev weights
	$(BIN)/python bench/align.py $(ARGS)

setup: $(VENV)/.installed weights

setup-dev: $(VENV)/.installed-dev

weights: $(VENV)/.installed
	@$(BIN)/whisperx-mlx models pull starter

# MLX for an NVIDIA GPU (Linux); its library takes the place of the CPU's.
cuda12 cuda13: setup
	$(BIN)/python -m pip uninstall -q -y mlx-cpu
	@$(call install,"mlx[$@]==$$($(BIN)/python -c 'from importlib.metadata import version as v; print(v("mlx"))')")

# The environment: pip comes from the machine where Python has no ensurepip.
$(VENV)/.created:
	@for python in $(PYTHONS); do \
		if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
			set -ex; \
			$$python -m venv $(VENV) || { $$python -m venv --without-pip $(VENV) \
				&& $$python -m pip --python $(BIN)/python install -q pip; }; \
			touch $@; exit 0; \
		fi; \
	done; \
	echo "Python 3.11, 3.12 or 3.13 is needed; name it with: make PYTHON=/path/to/python" >&2; exit 1

$(VENV)/.build: $(VENV)/.created requirements/uv.txt requirements/build.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.txt \
		|| echo "uv could not be installed; going on with pip" >&2
	@$(call install,-q --require-hashes -r requirements/build.txt)
	@touch $@

$(VENV)/.installed: $(VENV)/.build requirements/base.txt pyproject.toml
	@echo "Installing what it takes to run; the first time this fetches some gigabytes (mostly torch) ..."
	@$(call install,--require-hashes -r requirements/base.txt)
	@$(call install,-q --no-deps --no-build-isolation -e .)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements/dev.txt requirements/cpwer.txt
	@echo "Installing what it takes to test ..."
	@$(call install,--require-hashes -r requirements/dev.txt)
	@$(call install,-q --require-hashes -r requirements/cpwer.txt) \
		|| echo "meeteval needs a C++ compiler: the tests that score speakers' words are left out" >&2
	@touch $@

# Newer versions of everything: `make requirements UPGRADE=--upgrade`.
requirements: $(VENV)/.build
	$(BIN)/$(LOCK) $(UPGRADE) requirements/uv.in -o requirements/uv.txt
	$(BIN)/$(LOCK) $(UPGRADE) requirements/build.in -o requirements/build.txt
	$(BIN)/$(LOCK) $(UPGRADE) pyproject.toml --extra cpu --extra dev -o requirements/dev.txt
	$(BIN)/$(LOCK) $(UPGRADE) requirements/cpwer.in -c requirements/dev.txt -o requirements/cpwer.txt
	$(BIN)/$(LOCK) pyproject.toml --extra cpu -c requirements/dev.txt -o requirements/base.txt

schemas: $(VENV)/.installed
	$(BIN)/python -m schemas.generate

bundle: setup
	@$(BIN)/python packaging/bundle.py dist/whisperx-mlx-mcp.mcpb

clean:
	rm -rf $(VENV) out .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
