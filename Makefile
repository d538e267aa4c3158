# Everything a newcomer needs. `make setup` once, or let the other targets do it.
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' >/dev/null 2>&1 && echo python3.12 || echo python3.11)
BIN := .venv/bin

.PHONY: setup example test check lock clean

setup: .venv/.done

.venv/.done: locks/parley.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' locks/parley.lock)"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r locks/parley.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	touch $@

example: setup
	$(BIN)/parley replay examples/monday.broadcasts.jsonl --speed max --targets pt --out out

test: setup
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--extra embedded --group dev pyproject.toml -o locks/parley.lock

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
