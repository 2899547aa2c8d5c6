# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
# The demo's models are tiny: more threads per process only make them wait for each other.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false
export HF_HUB_OFFLINE := 1

# Tests that share something expensive stay on one of so many workers.
WORKERS ?= 2
PARALLEL := --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder

.PHONY: demo demo-check serve test test-all lint mini-benchmarks mini mini-test mini-balance integration rehearsal clean

demo: $(READY)  ## the main job on the embedded default: every step, real model classes, one table
	snakemake --cores 2 results/mini_twins_metrics.json results/browser/mini_twins
	ipcir results --show results/mini_twins_metrics.json
	@echo "Open results/browser/mini_twins/index.html to see every query. To ask one yourself: make serve"

demo-check: demo  ## fails when a metric of the demo is lower than the recorded one by more than its noise
	ipcir mini check --results results/mini_twins_metrics.json --reference mini_world/weights/mini_twins.reference.json

PHOTOS := resources/mini/world/mini_circo/COCO2017_unlabeled/unlabeled2017
serve: $(READY)  ## search the mini world's pictures on a page: click one, type what should be different, move sliders
	snakemake --cores 2 --quiet all -- resources/mini/world resources/mini/models
	ipcir index $(PHOTOS) --index resources/mini/index --stack mini
	ipcir serve $(PHOTOS) --index resources/mini/index --stack mini

mini-benchmarks: $(READY)  ## every baseline on all three embedded benchmarks, with figures
	snakemake --cores 2 all --configfile configs/all_baselines.yaml

mini: $(READY)  ## train every model of the mini world from scratch (hours; resumes), measure it and the test world
	snakemake --cores 2 results/mini_held_out.json results/mini_test_metrics.json \
	  --configfile configs/mini_evaluation.yaml --config mini_weights=resources/mini/weights
	ipcir results --show results/mini_test_metrics.json

mini-test: $(READY)  ## the test world with the shipped models: fails when a metric dropped by more than its noise
	snakemake --cores 2 results/mini_test_metrics.json --configfile configs/mini_evaluation.yaml
	ipcir mini check --results results/mini_test_metrics.json

mini-balance: mini-test  ## the rules that balance each query, on that world with wrong proxies mixed in
	python -m dev.benchmarks.balance --judge --hold captions --output results/mini_balance.json

test: $(READY)  ## every part of the workflow, in about five minutes on two cores
	pytest -q $(PARALLEL)

test-all: $(READY)  ## these, and what takes long: photographs, integration, a real language model where it is installed
	pytest -q -rs $(PARALLEL) -m 'slow or not slow'

integration: $(READY)  ## kill the workflow, damage it, run it under Slurm and in containers, where these are installed
	pytest -q -rs -m slow tests/integration

# One photograph that is there after the installation; any other will do: make rehearsal PHOTO=mine.jpg
PHOTO ?= $(shell $(BIN)/python -c 'import matplotlib.cbook as c; print(c.get_sample_data("grace_hopper.jpg", asfileobj=False))')
rehearsal: export OMP_NUM_THREADS := $(shell nproc)
rehearsal: $(READY)  ## every step once at the published size, random weights (hours, 20 GB of disk, 22 GB of memory; resumes)
	python -m dev.rehearsal --photo '$(PHOTO)' --gallery docs/images --directory rehearsal
	python -m dev.rehearsal.table --directory rehearsal

lint: $(READY)
	ruff check .
	ruff format --check .
	snakefmt --check .
	snakemake --lint

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch==2.14.1 torchvision==0.29.1
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[analysis,vision,language,diffusion,workflow,provenance,photos,test]'
	touch $@

clean:  ## results, logs and the rendered mini world; not the installation
	rm -rf results provenance logs resources/cache resources/mini resources/manifests benchmarks/results .snakemake
