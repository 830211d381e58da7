# Every target makes its virtual environment the first time and uses it again afterwards. Needs python3 >= 3.11 with pip.
# All of them but demo install PyTorch.
#
#   make demo         train, export, check, verify, run: each command printed before it runs
#   make test         style, types and tests
#   make conformance  the long suites, whole
#   make bench        speed against PyTorch, torch.onnx and onnx
#   make lint         style only;  `make format` repairs it
#   make clean        remove what the targets made
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test conformance bench lint format types clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-samples
	$(BIN)/python sample_models/demo.py

test: lint types
	@echo "== tests"
	$(BIN)/python -m pytest -m "not conformance"

conformance: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m conformance

bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/eager.py
	$(BIN)/python benchmarks/export.py
	$(BIN)/python benchmarks/export_torch.py

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
	rm -rf .demo build .mypy_cache .pytest_cache .ruff_cache .hypothesis interchange.egg-info
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
