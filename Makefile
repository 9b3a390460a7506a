# Two commands for everybody: `make demo` and `make test`. Both build .venv first.

PYTHON ?= python3
BIN := .venv/bin
JOB ?= jobs/demo.toml
MINUTES ?= 60
SECONDS ?= 60

.PHONY: setup demo test test-long torture fuzz lint docs clean

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "rrl_batch needs Python 3.11, 3.12 or 3.13; name one: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[test]'
	@touch $@

demo: setup
	$(BIN)/rrl-batch run $(JOB)

# with its bytecode kept, whatever the environment says: a hundred processes import the package
test: export PYTHONDONTWRITEBYTECODE =
test: setup
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal

test-long: setup
	$(BIN)/python -m pytest -m long

torture: setup
	$(BIN)/python tests/torture/torture.py --minutes $(MINUTES)

fuzz: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python tests/hostile/fuzz.py --seconds $(SECONDS)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: setup
	$(BIN)/python docs/reference.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[docs]'
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv work site
