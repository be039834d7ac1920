# handgrad: `make reproduce` runs every experiment, `make test` proves the code.
# Each target sets up what it needs: a virtual environment in .venv, pinned by constraints.txt.
# Every tool is called through Python: its own script cannot start where the path has a blank.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
# What is compiled when the package is installed.
ENGINE := hatch_build.py src/handgrad/engine/build.py $(wildcard src/handgrad/engine/csrc/*)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: reproduce test sanitize wide valgrind lint bench docs clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@echo "make reproduce [ARGS=...]  run the assignment's experiments (ARGS=\"--profile smoke\" for a first look)"
	@echo "make test [ARGS=...]       run the tests (ARGS go to pytest)"
	@echo "make sanitize [ARGS=...]   run the engine's tests with address and undefined-behaviour sanitizers"
	@echo "make wide [ARGS=...]       run the engine's tests with vectors as wide as AVX-512's"
	@echo "make valgrind              run networks of every layer under valgrind, where it is installed"
	@echo "make lint                  ruff, mypy and the import rules"
	@echo "make bench [ARGS=...]      time training against PyTorch, JAX and scikit-learn"
	@echo "make docs                  build the site in docs/_build/html"
	@echo "make clean                 remove the virtual environment and caches"

# The stamps make a second call quick: they are older than what they were built from only after a change.
$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "handgrad needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt $(ENGINE)
	@echo "Setting up $(VENV) ..."
	$(PIP) -e ".[cifar,fetch,report,torch]"
	@touch $@

$(VENV)/dev.stamp: $(VENV)/python.stamp pyproject.toml constraints.txt $(ENGINE)
	@echo "Setting up $(VENV) with the development tools ..."
	$(PIP) -e ".[dev]"
	@# For the report's accessibility test, which says so when it is skipped.
	@npm install --silent --no-save --no-audit --no-fund --fetch-timeout=20000 --fetch-retries=1 --prefix $(VENV)/npm axe-core@4.14.1 2>/dev/null || true
	@touch $@ $(VENV)/run.stamp

$(VENV)/bench.stamp: $(VENV)/dev.stamp
	@echo "Setting up $(VENV) with the benchmark's peers ..."
	$(PIP) -e ".[bench]"
	@touch $@

reproduce: $(VENV)/run.stamp
	@$(BIN)/python -m handgrad reproduce $(ARGS)

test: $(VENV)/dev.stamp
	@$(BIN)/python -m pytest $(ARGS)

# The sanitized engine takes the place of the installed one while its tests run.
SANITIZED := $(addprefix tests/engine/test_,products.py blocks.py engine.py)
SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
ALONE := $(BIN)/python -m pytest -p no:xdist -o addopts="-q -p no:cacheprovider --capture=sys"
sanitize: $(VENV)/dev.stamp
	@[ -e "$$($${CC:-cc} -print-file-name=libasan.so 2>/dev/null)" ] || \
	  { echo "make sanitize: $${CC:-cc} brings no address sanitizer here; skipped"; exit 0; }; \
	HANDGRAD_CFLAGS="$(SANITIZE) -Wall -Wextra -Werror" $(BIN)/python src/handgrad/engine/build.py $(VENV)/sanitized && \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 LD_PRELOAD="$$($${CC:-cc} -print-file-name=libasan.so) $$($${CC:-cc} -print-file-name=libubsan.so)" \
	  HANDGRAD_LIBRARIES=$(VENV)/sanitized $(ALONE) $(SANITIZED) $(ARGS)

# The loops of AVX-512, sixteen numbers a vector, on whatever processor this is.
wide: $(VENV)/dev.stamp
	@HANDGRAD_CFLAGS="-Wno-psabi -DVECTOR_BYTES=64 -DTALL=14 -DWIDE=16" $(BIN)/python src/handgrad/engine/build.py $(VENV)/wide
	@HANDGRAD_LIBRARIES=$(VENV)/wide $(ALONE) $(SANITIZED) $(ARGS)

# Reports of the interpreter and of NumPy are not ours.
valgrind: $(VENV)/dev.stamp
	@command -v valgrind >/dev/null || { echo "make valgrind: there is no valgrind here; skipped"; exit 0; }; \
	HANDGRAD_CFLAGS="-g" $(BIN)/python src/handgrad/engine/build.py $(VENV)/traced >/dev/null && \
	PYTHONMALLOC=malloc HANDGRAD_LIBRARIES=$(VENV)/traced \
	  valgrind -q --log-file=$(VENV)/valgrind.log $(BIN)/python tools/engine_for_valgrind.py && \
	$(BIN)/python tools/engine_for_valgrind.py --reports $(VENV)/valgrind.log

bench: $(VENV)/bench.stamp
	@$(BIN)/python -m handgrad bench $(ARGS)

docs: $(VENV)/dev.stamp
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(VENV)/dev.stamp
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@$(BIN)/python -c 'from importlinter.cli import lint_imports_command as lint; lint()'

clean:
	rm -rf $(VENV) docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
