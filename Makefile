.PHONY: fmt lint types test bench check

fmt:
	ruff format .
	ruff check --fix .

lint:
	ruff format --check .
	ruff check .

types:
	mypy

test:
	pytest -n 4 --dist worksteal

bench:
	python -m bench

check: lint types test
