# Everything runs in .venv, made from requirements/dev.txt on first use. PYTHON=python3.12 chooses another interpreter.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
LOCKED := $(BIN)/pip install --quiet --require-hashes --requirement

.PHONY: help setup train test test-all fuzz soak storm mutants lint format web bench docs dist constraints locks clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## Make the virtual environment and install everything into it

$(READY): pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv .venv
	$(LOCKED) requirements/pip.txt
	$(LOCKED) requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

train: $(READY)  ## Search, train, evaluate and export; on phantoms with the small network, or: make train ARGS="--source FOLDER"
	$(BIN)/python -m pipeline.train --tune $(or $(ARGS),--model compact --image-size 192 --epochs 10 --max-trials 6)

test: $(READY)  ## Lint, type-check, and run the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

test-all: $(READY)  ## The same with the long tests (kills, fuzzing) and with coverage, which makes tests slower
	$(MAKE) test ARGS="--long --cov --cov-report=term:skip-covered $(ARGS)"
	$(MAKE) fuzz MINUTES=0.1 ARGS=

fuzz: $(READY)  ## Coverage-guided fuzzing of every reader, an hour a target: make fuzz MINUTES=5 ARGS="-k dicom"
	$(LOCKED) requirements/tools.txt
	$(BIN)/python tests/fuzz/coverage_guided.py --minutes $(or $(MINUTES),60) $(ARGS)

soak: $(READY)  ## The HTTP service under 100,000 requests: no error, and memory that stays as it was
	$(BIN)/pytest tests/export/serve/test_soak.py --long -s $(ARGS)

storm: $(READY)  ## Everything at once under kills, full and failing disks: make storm MINUTES=60 ARGS="--seed 2"
	nice $(BIN)/python tests/storm.py --minutes $(or $(MINUTES),60) $(ARGS)

mutants: $(READY)  ## Mutation testing of splits, evaluation and parity: at least 80 % must be noticed
	$(LOCKED) requirements/tools.txt
	rm -rf mutants
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/mutmut run > mutants.log 2>&1 \
	  || { tail -n 40 mutants.log; exit 1; }
	$(BIN)/python tests/mutants.py

lint: $(READY)  ## Only lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

web: $(READY)  ## The browser page: make web ARGS=runs/NAME/model.onnx
	npm ci --silent --prefix export/web
	$(BIN)/python -m export.web $(ARGS)

bench: $(READY)  ## Every stage against its peers and its limit
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(READY)  ## The documentation as a site in site/; fails on a broken link (make docs ARGS=--verbose)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

dist: $(READY)  ## The release files in dist/: a source distribution and a wheel, checked, and a bill of materials
	rm -rf build dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*
	$(BIN)/python requirements/inventory.py bill > dist/pneumo.cdx.json

COMPILE = $(BIN)/uv pip compile --universal --python-version 3.11 --quiet --no-annotate --no-header
LOCK = $(COMPILE) --constraint constraints.txt --generate-hashes

constraints: $(READY)  ## Pin today's versions of all dependencies, then lock the files of these versions by their hashes
	$(BIN)/pip install --quiet uv
	(head -n 1 constraints.txt; $(COMPILE) pyproject.toml --upgrade \
	  --extra dev --extra serve --extra beam --extra gpu --extra mutants --extra fuzz) > constraints.new
	mv constraints.new constraints.txt
	$(MAKE) locks

locks: $(READY)  ## Lock the files of the versions in constraints.txt
	$(BIN)/pip install --quiet uv
	echo pip | $(LOCK) - > requirements/pip.txt
	echo setuptools | $(LOCK) pyproject.toml - --extra train > requirements/train.txt
	echo setuptools | $(LOCK) pyproject.toml - --extra serve --extra dicom > requirements/serve.txt
	echo setuptools | $(LOCK) pyproject.toml - --extra dev --extra serve > requirements/dev.txt
	echo setuptools | $(LOCK) pyproject.toml - --extra mutants --extra fuzz > requirements/tools.txt

clean:  ## Remove the virtual environment and what tools left behind
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.* mutants mutants.log .fuzz build dist *.egg-info
