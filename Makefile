# The environment is made from the lock files on first use and kept in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo serve bench-serving test lint format openapi lock clean

demo: $(VENV)/.runtime
	$(BIN)/python examples/demo.py

serve: $(VENV)/.runtime
	@exec $(BIN)/luthier serve

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench-serving: $(VENV)/.runtime
	$(BIN)/python benchmarks/serving.py

openapi: $(VENV)/.runtime
	$(BIN)/luthier openapi openapi.yaml

# Newer versions of everything within the ranges of pyproject.toml.
lock:
	uv pip compile pyproject.toml --python-version 3.11 --generate-hashes --no-header --upgrade -q -o requirements.lock
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes --no-header --upgrade -q -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf $(VENV) .luthier

$(VENV)/.runtime: requirements.lock pyproject.toml
	@echo "Making $(VENV) from requirements.lock; TensorFlow makes this take a minute or two."
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
