# `make demo` and `make test` do all the set-up by themselves, in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test test-slow test-gpu test-tensorrt tensorrt lint clean

help:
	@echo "make demo       set up, then watch Signspot enrol signs and spot them live (no camera needed)"
	@echo "make test       set up, then run the tests (slow ones: make test-slow)"
	@echo "make test-tensorrt   compile every network for TensorRT for RTX (no GPU needed)"
	@echo "make lint       ruff, mypy --strict, import-linter"
	@echo "make clean      remove .venv"

demo: $(VENV)/.runtime
	$(BIN)/signspot demo

test: $(VENV)/.dev
	$(BIN)/pytest

test-slow: $(VENV)/.dev
	$(BIN)/pytest -m slow --timeout 3600

test-gpu: $(VENV)/.dev
	$(BIN)/pytest -m gpu --timeout 3600

tensorrt: $(VENV)/.dev
	$(BIN)/pip install --quiet --editable '.[tensorrt-rtx]'

test-tensorrt: tensorrt
	$(BIN)/pytest -m slow -k tensorrt_rtx tests/engines

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"Signspot needs Python 3.11 or 3.12, this is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# What the live path needs; no torch.
$(VENV)/.runtime: $(BIN)/python pyproject.toml
	$(BIN)/pip install --editable .
	@$(BIN)/python -c 'import cv2' || { echo "OpenCV lacks a system library; on Debian: apt-get install libgl1 libglib2.0-0"; exit 1; }
	@touch $@

# Everything: training, the synthetic signer, linters and tests.
$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/pip install --editable '.[train,synth,dev]'
	@touch $@ $(VENV)/.runtime

clean:
	rm -rf $(VENV)
