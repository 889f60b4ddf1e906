# `make demo` and `make test` need nothing but Python 3.11 or newer; everything is installed into .venv.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
PYTEST_ARGS ?=
# Tests use one thread each, so that there may be as many workers as cores; a worker takes half a gigabyte.
WORKERS ?= auto
CLIENTS ?=
BIN := .venv/bin
RUNTIME := .venv/.installed-runtime
DEV := .venv/.installed-dev
DOCS := .venv/.installed-docs
CLUSTER := .venv/.installed-cluster
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
KERNELS := $(wildcard autospace/networks/kernels/*.c autospace/networks/kernels/*.h)
PACKAGED := pyproject.toml setup.py MANIFEST.in README.md LICENSE NOTICE autospace cli spaces

.DEFAULT_GOAL := help
.PHONY: help demo install test test-slow test-clients test-cluster check lint types format golden docs wheel sdist clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(RUNTIME) ## learn a search space on embedded data, in a minute or two on a CPU, and show it
	$(BIN)/autospace evolve --preset demo --seed 0 --out runs/demo --force
	$(BIN)/autospace show runs/demo

install: $(DEV) ## make .venv with everything that development needs

test: $(DEV) ## the tests, without the slow ones; WORKERS=1 for one after the other
	$(BIN)/pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal $(PYTEST_ARGS)

test-slow: $(DEV) ## only the slow tests
	$(BIN)/pytest -m slow $(PYTEST_ARGS)

test-clients: $(DEV) ## the clients of our exports, each in an environment of its own; CLIENTS="nni ray" for some
	$(BIN)/python -m tests.clients.run $(CLIENTS)

test-cluster: $(CLUSTER) ## nodes of a Ray cluster on this machine, one of them killed; installs Ray (250 MB)
	$(BIN)/pytest -n 0 -m "slow or not slow" tests/compute/test_cluster.py tests/compute/test_two_nodes.py tests/compute/test_gpu_workers.py $(PYTEST_ARGS)

check: lint types test ## everything that has to pass before a commit

lint: $(DEV) ## ruff: rules and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## mypy --strict
	@mkdir -p .types/autospace
	@ln -sfn ../../cli .types/autospace/cli
	@ln -sfn ../../spaces .types/autospace/spaces
	$(BIN)/mypy

format: $(DEV) ## let ruff mend and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

golden: $(DEV) ## rewrite tests/golden from what the code does now; read the diff
	AUTOSPACE_GOLDEN=1 $(BIN)/pytest $(PYTEST_ARGS)

docs: $(DOCS) ## build the documentation as a site: build/site/index.html
	@rm -rf build/api && mkdir -p build/api && cp -R autospace build/api/ && cp -R cli spaces build/api/autospace/
	$(BIN)/python -m mkdocs build --strict --quiet
	@echo build/site/index.html

# From a copy: setuptools would pack whatever an earlier build left in build/.
wheel: $(DEV) ## build dist/*.whl
	@mkdir -p dist && rm -f dist/*.whl
	@copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && cp -R $(PACKAGED) "$$copy" \
	  && $(BIN)/python -m pip wheel --quiet --disable-pip-version-check \
	       --no-deps --no-build-isolation --wheel-dir dist "$$copy"
	@ls dist/*.whl

# From a copy, likewise: an autospace.egg-info in the tree would name files that are gone.
sdist: $(DEV) ## build dist/*.tar.gz, with tests and documentation
	@mkdir -p dist && rm -f dist/*.tar.gz
	@copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$$copy" \
	  && dist=$$PWD/dist && python=$$PWD/$(BIN)/python && cd "$$copy" \
	  && $$python -c 'import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])' "$$dist" >/dev/null
	@ls dist/*.tar.gz

clean: ## remove what was built and cached; .venv and runs/ stay
	rm -rf build dist *.egg-info .types .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find autospace cli spaces tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: '$(PYTHON)' is not on the PATH; install Python 3.11 or newer, or name one: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("error: autospace needs Python 3.11 or newer; " \
	  "$(PYTHON) is %d.%d. Name a newer one: make PYTHON=python3.12 ..." % v[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) comes without the venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv

$(RUNTIME): pyproject.toml setup.py constraints.txt $(KERNELS) | $(BIN)/pip
	$(PIP_INSTALL) --editable .
	@touch $@

$(DEV): pyproject.toml setup.py constraints.txt $(KERNELS) | $(BIN)/pip
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $(RUNTIME) $@

$(CLUSTER): pyproject.toml constraints.txt | $(DEV)
	$(PIP_INSTALL) --editable '.[cluster]'
	@touch $@

$(DOCS): pyproject.toml constraints.txt | $(DEV)
	$(PIP_INSTALL) --editable '.[docs]'
	@touch $@
