PY ?= .venv/bin/python

.PHONY: check test run
check:
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m pytest -q tests/architecture
test:
	./scripts/test
run:
	./scripts/run
