# Every target makes its virtual environment the first time and uses it again afterwards. Needs python3 >= 3.11 with pip.
# All of them but demo and bench-serve install PyTorch.
#
#   make demo         train, export, check, verify, run, serve: each command printed before it runs
#   make test         style, types and tests
#   make conformance  the long suites, whole
#   make runtimes     measure again what each release of ONNX Runtime can run
#   make fuzz         models and requests changed at random, each for FUZZ_SECONDS=600
#   make bench        speed against PyTorch, torch.onnx and onnx
#   make bench-serve  serving, against FastAPI, MLServer and Triton, which it installs into .bench/ (PEERS= for none)
#   make lint         style only;  `make format` repairs it
#   make clean        remove what the targets made
PYTHON ?= python3
VENV ?= .venv
FUZZ_SECONDS ?= 600
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# of ONNX Runtime; `make runtimes RELEASES=1.33` adds one
RELEASES ?= $(patsubst schemas/runtimes/onnxruntime-%.json.gz,%,$(wildcard schemas/runtimes/*.json.gz))
RUNTIMES := $(RELEASES:%=.runtimes/%/.fetched)

.PHONY: demo test conformance runtimes fuzz bench bench-serve lint format types clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-samples
	$(BIN)/python sample_models/demo.py

test: lint types
	@echo "== tests"
	$(BIN)/python -m pytest -m "not conformance"

conformance: $(VENV)/.installed-dev $(RUNTIMES) .clients/kserve/.fetched .clients/tritonclient/.fetched
	$(BIN)/python -m pytest -m conformance

runtimes: $(RUNTIMES)
	@for release in $(RELEASES); do \
	  [ ! -d .runtimes/$$release/onnxruntime ] || PYTHONPATH=.runtimes/$$release $(BIN)/python schemas/runtimes/dump.py \
	    schemas/runtimes/onnxruntime-$$release.json.gz || exit 1; \
	done

# a folder for each, which stands before the packages of the environment. numpy 2 came after 1.17 and 1.18; a release that
# has no package for this Python is left out
.runtimes/%/.fetched: | $(VENV)/.installed-dev
	@mkdir -p $(@D)
	$(PIP) install --no-deps --target $(@D) "onnxruntime==$*.*" $(if $(filter 1.17 1.18,$*),"numpy<2") || \
	  echo "onnxruntime $* is left out" >&2
	@touch $@

# clients of the server that do not go together with the packages of the environment
.clients/kserve/.fetched: | $(VENV)/.installed-dev
	$(BIN)/python -m venv --without-pip $(@D)
	$(PIP) --python $(@D)/bin/python install kserve || echo "kserve is left out" >&2
	@touch $@

.clients/tritonclient/.fetched: | $(VENV)/.installed-dev
	$(PIP) install --no-deps --target $(@D) tritonclient || echo "the newest tritonclient is left out" >&2
	@touch $@

fuzz: $(VENV)/.installed-dev
	$(BIN)/python tests/fuzzing.py --seconds $(FUZZ_SECONDS)
	$(BIN)/python tests/fuzzing_serving.py --seconds $(FUZZ_SECONDS)

bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/eager.py
	$(BIN)/python benchmarks/export.py
	$(BIN)/python benchmarks/export_torch.py
	$(BIN)/python benchmarks/check.py

# the Python that Triton's Python back end was made for is the system's
TRITON_PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11 /usr/bin/python3))
PEERS ?= fastapi,mlserver,triton
bench-serve: $(VENV)/.installed-client $(VENV)/.installed-serve
	$(BIN)/python benchmarks/serve.py --peers "$(PEERS)" --triton-python "$(TRITON_PYTHON)" $(BENCH_SERVE)

lint: $(VENV)/.installed-dev
	@echo "== style"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# schemas/ and cli/ become parts of the package when it is built, so types are checked where it is installed
types: $(VENV)/.installed-dev
	@echo "== types of the built package"
	@rm -rf build
	$(PIP) install --no-index --no-deps --no-build-isolation --target build/package .
	cd build/package && $(abspath $(BIN))/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p interchange

clean:
	rm -rf .demo .runtimes .clients .bench build .mypy_cache .pytest_cache .ruff_cache .hypothesis interchange.egg-info
	@if [ -f .venv/.made-by-make ]; then rm -rf .venv; fi

# -- the virtual environment: made once, installed into again when pyproject.toml changes --------------------------------
$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@echo "== installing interchange[$*] into $(VENV)"
	$(PIP) install "setuptools>=77"
	$(PIP) install --no-build-isolation --editable ".[$*]"
	@touch $@

$(BIN)/python:
	@echo "== making the virtual environment $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not there, or older than 3.11: name another one with make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "without ensurepip: trying with the pip of $(PYTHON)" >&2; \
	  $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --quiet --python $(VENV)/bin/python install pip; \
	} || { rm -rf $(VENV); echo "no virtual environment: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	@touch $(VENV)/.made-by-make
