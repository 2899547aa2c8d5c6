#!/usr/bin/env bash
# Snakemake runs this in the new environment, from the workflow's directory.
set -euo pipefail
pip install --constraint constraints.txt --editable ".[language]"
