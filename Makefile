# `make demo` and `make test` do everything on a machine that has only Python 3.10 or newer and make.
# Variables: PYTHON (interpreter that makes .venv), VENV, JOBS (test processes),
#            TORCH_INDEX (an index of CPU builds of torch, where the one that uv knows cannot be reached).

PYTHON      ?= python3
VENV        ?= .venv
JOBS        ?= 2
TORCH       := 2.13.0
TORCH_INDEX ?=

BIN  := $(VENV)/bin
PIP  := $(BIN)/python -m pip --disable-pip-version-check install -qq --constraint constraints.txt

.PHONY: demo test lint constraints clean

demo: $(VENV)/.demo-ready
	@$(BIN)/synthfoundation demo

test: $(VENV)/.test-ready lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) -m "not slow and not real_data"

lint: $(VENV)/.test-ready
	@$(BIN)/ruff check --quiet .

# A CPU torch, without the gigabytes of CUDA that Linux gets by default: the configured index may have a
# build marked +cpu; else uv, which knows where torch publishes them. Elsewhere every build is a CPU build.
$(VENV)/.torch-ready: constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || { echo "Making $(VENV) (once, a few minutes)"; $(PYTHON) -m venv $(VENV); }
	@if [ "$$(uname -s)" != Linux ]; then $(PIP) torch==$(TORCH); \
	elif [ -n "$(TORCH_INDEX)" ]; then $(PIP) --index-url $(TORCH_INDEX) torch==$(TORCH); \
	else $(PIP) torch==$(TORCH)+cpu 2>/dev/null || { $(PIP) uv && $(BIN)/uv pip install --quiet \
	    --python $(BIN)/python --constraint constraints.txt --torch-backend cpu torch==$(TORCH); } || \
	    { echo "No CPU build of torch $(TORCH) was found; give an index that has one: make TORCH_INDEX=URL"; exit 1; }; fi
	@touch $@

$(VENV)/.demo-ready: $(VENV)/.torch-ready pyproject.toml
	@$(PIP) --editable '.[cli]'
	@touch $@

$(VENV)/.test-ready: $(VENV)/.demo-ready
	@echo "Installing what the tests need"
	@$(PIP) --editable '.[dev]'
	@touch $@

# Renew the pins (needs uv): one file for every platform and Python, without torch's CUDA packages.
constraints:
	@{ echo "uv==$$(uv --version | cut -d ' ' -f 2)"; \
	  echo 'torch==$(TORCH)' | uv pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header \
	    --upgrade --constraint - --extra cli --extra train --extra dev pyproject.toml; \
	} | grep -vE '^(nvidia-|cuda-|triton)' > constraints.txt.new
	@mv constraints.txt.new constraints.txt

clean:
	@rm -rf $(VENV) build *.egg-info
