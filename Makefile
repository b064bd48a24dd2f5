# `make demo` and `make test` do everything on a machine that has only Python 3.10 or newer and make.
# Variables: PYTHON (interpreter that makes .venv), VENV, JOBS (test processes),
#            TORCH_INDEX (an index of CPU builds of torch, where the one that uv knows cannot be reached).

PYTHON      ?= python3
VENV        ?= .venv
JOBS        ?= 2
TORCH       := 2.13.0
TORCH_INDEX ?=

BIN    := $(VENV)/bin
PINS   := Resources/Constraints
PIP    := $(BIN)/python -m pip --disable-pip-version-check install -qq --no-deps
HASHED := $(PIP) --require-hashes --requirement

.PHONY: demo test lint types audit constraints clean

demo: $(VENV)/.demo-ready
	@$(BIN)/synthfoundation demo

test: $(VENV)/.test-ready lint types
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) -m "not slow and not real_data"

lint: $(VENV)/.test-ready
	@$(BIN)/ruff check --quiet .

types: $(VENV)/.test-ready
	@$(BIN)/mypy

# Known vulnerabilities of the pinned packages; asks a server, so it is no part of the tests.
audit: $(VENV)/.test-ready
	@$(PIP) --constraint $(PINS)/uv.txt uv
	@$(BIN)/uv tool run pip-audit --disable-pip --no-deps --requirement $(PINS)/dev.txt

# Every package is pinned and checked by its hash, and nothing else is installed. Only of torch does Linux get a
# build for the CPU, without gigabytes of CUDA, that has its hash from the index it comes from: the configured
# index may have a build marked +cpu; else uv knows where torch publishes them. Elsewhere every build is one.
$(VENV)/.torch-ready: $(PINS)/torch.txt $(PINS)/uv.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || { echo "Making $(VENV) (once, a few minutes)"; $(PYTHON) -m venv $(VENV); }
	@if [ "$$(uname -s)" != Linux ]; then $(HASHED) $(PINS)/torch.txt; \
	elif [ -n "$(TORCH_INDEX)" ]; then $(PIP) --index-url $(TORCH_INDEX) torch==$(TORCH); \
	else $(PIP) torch==$(TORCH)+cpu 2>/dev/null || { $(HASHED) $(PINS)/uv.txt && $(BIN)/uv pip install --quiet \
	    --python $(BIN)/python --no-deps --torch-backend cpu torch==$(TORCH); } || \
	    { echo "No CPU build of torch $(TORCH) was found; give an index that has one: make TORCH_INDEX=URL"; exit 1; }; fi
	@touch $@

$(VENV)/.demo-ready: $(VENV)/.torch-ready $(PINS)/cli.txt pyproject.toml
	@$(HASHED) $(PINS)/cli.txt
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.test-ready: $(VENV)/.demo-ready $(PINS)/dev.txt
	@echo "Installing what the tests need"
	@$(HASHED) $(PINS)/dev.txt
	@touch $@

# Renew the pins (needs uv): for every platform and Python, torch and its CUDA packages apart. The pins of the
# command line are those of the tests, as far as it needs them.
COMPILE := uv pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header --generate-hashes
APART   := awk '/^[a-z]/ {skip = /^(torch==|nvidia-|cuda-|triton)/} !skip'

constraints:
	@echo 'torch==$(TORCH)' > $(VENV)/torch.in; echo 'setuptools>=77' > $(VENV)/build.in
	@$(COMPILE) --upgrade --constraint $(VENV)/torch.in --extra dev pyproject.toml $(VENV)/build.in > $(VENV)/dev.txt
	@$(COMPILE) --constraint $(VENV)/dev.txt --extra cli pyproject.toml $(VENV)/build.in | $(APART) > $(PINS)/cli.txt
	@$(APART) $(VENV)/dev.txt > $(PINS)/dev.txt
	@$(COMPILE) --no-deps $(VENV)/torch.in > $(PINS)/torch.txt
	@echo "uv==$$(uv --version | cut -d ' ' -f 2)" | $(COMPILE) --no-deps - > $(PINS)/uv.txt

clean:
	@rm -rf $(VENV) build *.egg-info
