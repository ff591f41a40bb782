# Two commands need nothing but Python 3.11+, make and a package index: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CLIP ?= sample_videos/highway_cut_in.mp4
OUT ?= out/demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint types e2e e2e-where-possible screenshots ui bench clean

help:  ## what can be made
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "roadlens: '$(PYTHON)' is not here; install Python 3.11 or newer, or name yours: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "roadlens: $$($(PYTHON) --version) is too old, 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "roadlens: this Python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "making $(VENV)"; $(PYTHON) -m venv $(VENV)

# Installed again only when what it depends on changes.
$(VENV)/run.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing roadlens (a minute or two the first time)"
	@$(PIP) --editable . || { echo "roadlens: the installation failed; is a package index reachable? See the lines above."; exit 1; }
	@touch $@

# torch comes alone and first: its exact version is pinned, so that no later line replaces it by a larger build.
$(VENV)/dev.stamp: $(VENV)/run.stamp
	@echo "installing what the tests need"
	@$(PIP) torch && $(PIP) --editable '.[train,eval,mcap,dev]' || { echo "roadlens: the installation failed; see the lines above."; exit 1; }
	@touch $@

demo: $(VENV)/run.stamp  ## run the main job on a sample clip
	@$(BIN)/roadlens run $(CLIP) --out $(OUT) --overwrite

test: $(VENV)/dev.stamp  ## all tests
	@$(BIN)/python -m pytest -m 'not e2e' --numprocesses 2 --dist worksteal

test-fast: $(VENV)/dev.stamp  ## the tests that take under 10 s each
	@$(BIN)/python -m pytest -m 'not slow and not e2e'

# chromium, installed where this user may; the last line says what to do where not.
CHROMIUM := command -v chromium || command -v chromium-browser || command -v google-chrome || \
	{ [ "$$(id -u)" = 0 ] && command -v apt-get && apt-get update -qq && apt-get install -y -qq chromium; }
NO_CHROMIUM := "chromium is not here and cannot be installed by this user; on Debian: sudo apt-get install chromium"

e2e: $(VENV)/dev.stamp  ## the page in a real browser (installs chromium where it may); pictures in out/screenshots
	@{ $(CHROMIUM); } >/dev/null 2>&1 || { echo "roadlens: "$(NO_CHROMIUM); exit 1; }
	@$(PIP) --editable '.[live]' playwright
	@$(BIN)/python -m pytest -m e2e

e2e-where-possible:  ## as e2e; where chromium is missing and cannot be installed it says so and is content
	@if { $(CHROMIUM); } >/dev/null 2>&1; then $(MAKE) --no-print-directory e2e; else echo "roadlens: no browser tests: "$(NO_CHROMIUM); fi

screenshots: $(VENV)/dev.stamp  ## every place of the page in both themes and widths; the README's pictures too
	@{ $(CHROMIUM); } >/dev/null 2>&1 || { echo "roadlens: "$(NO_CHROMIUM); exit 1; }
	@$(PIP) --editable '.[live]' playwright
	@ROADLENS_PICTURES=docs/pictures $(BIN)/python -m pytest tests/test_e2e_screenshots.py

lint: $(VENV)/dev.stamp  ## ruff: style and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/dev.stamp  ## mypy
	@$(BIN)/mypy

ui: $(VENV)/run.stamp  ## open the page
	@$(BIN)/roadlens ui

bench: $(VENV)/run.stamp  ## stage times on this machine
	@$(BIN)/roadlens bench

clean:  ## remove the environment and all output
	rm -rf $(VENV) out runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
