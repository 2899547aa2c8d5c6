"""The embedded default: a rendered world and tiny trained checkpoints; how they are trained and judged."""

from mini_world.training import NEEDS, TRAININGS

# Worlds of the mini dataset: seed, queries and gallery of each val part, datasets. The last two choose lambda and test.
WORLDS = {
    "world": (CONFIG.seed, 40, 300, ["cirr", "circo", "fashioniq"]),
    "val_world": (CONFIG.seed + 1, 200, 2000, ["circo"]),
    "test_world": (CONFIG.seed + 2, 400, 4000, ["circo"]),
}


def world_options(wildcards):
    seed, queries, gallery, datasets = WORLDS[wildcards.world]
    return f"--seed {seed} --queries {queries} --gallery {gallery} --datasets {' '.join(datasets)}"


def trained_curves():
    """The learning curve, written last, of every model that is trained anew; nothing where weights are given."""
    if CONFIG.mini_weights != f"{MINI}/weights":
        return []
    return expand(f"{MINI}/weights/{{training}}.curve.jsonl", training=TRAININGS)


def training_needs(wildcards):
    needs = NEEDS.get(wildcards.training, ())
    return expand(f"{MINI}/weights/{{training}}.curve.jsonl", training=needs)


def parent_of_input(wildcards, input):
    return Path(input[0]).parent


def parent_of_output(wildcards, output):
    return Path(output[0]).parent


rule mini_world:
    """Render the embedded mini world, or an evaluation world, in the official dataset layouts."""
    output:
        directory(f"{MINI}/{{world}}"),
    log:
        "logs/mini/{world}.log",
    benchmark:
        "benchmarks/results/mini/{world}.tsv"
    wildcard_constraints:
        world="|".join(WORLDS),
    conda:
        "../envs/diffusion.yaml"
    container:
        container("diffusion")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        options=world_options,
    shell:
        "IPCIR_RULE=mini_world ipcir mini world {params.options} --output {output} 2> {log}"


rule mini_models:
    """Build the tiny checkpoints of the real model classes from the shipped weights or from newly trained ones."""
    input:
        trained_curves(),
    output:
        directory(f"{MINI}/models"),
    log:
        "logs/mini/models.log",
    benchmark:
        "benchmarks/results/mini/models.tsv"
    conda:
        "../envs/diffusion.yaml"
    container:
        container("diffusion")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=30,
    params:
        seed=CONFIG.seed,
        weights=f"--weights {CONFIG.mini_weights}" if CONFIG.mini_weights else "",
    shell:
        "IPCIR_RULE=mini_models ipcir mini models --seed {params.seed} {params.weights} --output {output} 2> {log}"


rule mini_pool:
    """Render the pictures that all trainings share."""
    output:
        f"{MINI}/training/pool.npy",
    log:
        "logs/mini/pool.log",
    benchmark:
        "benchmarks/results/mini/pool.tsv"
    conda:
        "../envs/diffusion.yaml"
    container:
        container("diffusion")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        seed=CONFIG.seed,
    shell:
        "IPCIR_RULE=mini_pool ipcir mini pool --seed {params.seed} --output {output} 2> {log}"


rule mini_training:
    """Train one model of the mini world from scratch; a killed training goes on where it was."""
    input:
        pool=f"{MINI}/training/pool.npy",
        needs=training_needs,
    output:
        f"{MINI}/weights/{{training}}.curve.jsonl",
    log:
        "logs/mini/training/{training}.log",
    benchmark:
        "benchmarks/results/mini/training/{training}.tsv"
    wildcard_constraints:
        training="|".join(TRAININGS),
    conda:
        "../envs/diffusion.yaml"
    container:
        container("diffusion")
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=240,
    params:
        seed=CONFIG.seed,
        work=parent_of_input,
        weights=parent_of_output,
    shell:
        "IPCIR_RULE=mini_training OMP_NUM_THREADS={threads} ipcir mini train {wildcards.training} --seed {params.seed}"
        " --work {params.work} --weights {params.weights} 2> {log}"


rule mini_held_out:
    """Measure every model of the mini world on pictures that no training has seen."""
    input:
        f"{MINI}/models",
    output:
        "results/mini_held_out.json",
    log:
        "logs/mini/held_out.log",
    benchmark:
        "benchmarks/results/mini/held_out.tsv"
    conda:
        "../envs/diffusion.yaml"
    container:
        container("diffusion")
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=60,
    params:
        seed=CONFIG.seed,
    shell:
        "IPCIR_RULE=mini_held_out ipcir mini evaluate --models {input} --seed {params.seed} --output {output} 2> {log}"
