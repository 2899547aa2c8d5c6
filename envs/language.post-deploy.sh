#!/usr/bin/env bash
# Snakemake runs this in the new environment, from the workflow's directory.
set -euo pipefail
# gptqmodel needs a newer packaging than Snakemake allows, which is not in this environment.
constraints=$(mktemp)
sed 's/^packaging==.*/packaging==26.4/' constraints.txt > "$constraints"
pip install --constraint "$constraints" --editable ".[language,llama,quantised]"
rm "$constraints"
