# Everything runs in .venv, made from constraints.txt on first use. PYTHON=python3.12 chooses another interpreter.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
PACKAGES := pneumo_tfds pipeline tuning export benchmarks

.PHONY: help setup train test test-all soak storm mutants lint format web bench docs dist constraints clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## Make the virtual environment and install everything into it

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev,serve]"
	touch $@

train: $(READY)  ## Search, train, evaluate and export; on phantoms with the small network, or: make train ARGS="--source FOLDER"
	$(BIN)/python -m pipeline.train --tune $(or $(ARGS),--model compact --image-size 192 --epochs 10)

test: $(READY)  ## Lint, type-check, and run the tests with coverage
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

test-all: $(READY)  ## The same with the long tests (kills, fuzzing)
	$(MAKE) test ARGS="--long $(ARGS)"

soak: $(READY)  ## The HTTP service under 100,000 requests: no error, and memory that stays as it was
	$(BIN)/pytest tests/export/serve/test_soak.py --long -s $(ARGS)

storm: $(READY)  ## Everything at once under kills, full and failing disks: make storm MINUTES=60 ARGS="--seed 2"
	nice $(BIN)/python tests/storm.py --minutes $(or $(MINUTES),60) $(ARGS)

mutants: $(READY)  ## Mutation testing of splits, evaluation and parity: at least 80 % must be noticed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[mutants]"
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

dist: $(READY)  ## The release files in dist/: a source distribution and a wheel, checked
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

constraints: $(READY)  ## Pin today's versions of all dependencies
	$(BIN)/pip install --quiet uv
	(head -n 1 constraints.txt; $(BIN)/uv pip compile --universal --python-version 3.11 --quiet --no-annotate --no-header \
	  --upgrade --extra dev --extra serve --extra beam --extra gpu --extra mutants pyproject.toml) > constraints.new
	mv constraints.new constraints.txt

clean:  ## Remove the virtual environment and what tools left behind
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.* mutants mutants.log build dist *.egg-info
