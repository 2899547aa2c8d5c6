"""The embedded default: a rendered world and tiny trained checkpoints; how they are trained and judged."""

from mini_world.training import NEEDS, TRAININGS

TWINS = {"queries": 200, "gallery": 1200, "datasets": ["twins"]}
TEST = {"seed": CONFIG.seed + 2, "queries": 400, "gallery": 4000}
# The rendered worlds: queries and gallery of each val part, benchmarks. Those named val choose lambda.
WORLDS = {
    "world": {
        "seed": CONFIG.seed,
        "queries": 40,
        "gallery": 300,
        "datasets": ["cirr", "circo", "fashioniq"],
    },
    "twins": TWINS | {"seed": CONFIG.seed},
    "val_twins": TWINS | {"seed": CONFIG.seed + 1},
    "val_world": {
        "seed": CONFIG.seed + 1,
        "queries": 200,
        "gallery": 2000,
        "datasets": ["circo"],
    },
    "test_world": TEST | {"datasets": ["circo"]},
    "test_sets": TEST | {"datasets": ["cirr"]},
}
CURVE = f"{MINI}/weights/{{training}}.curve.jsonl"  # written last by a training
TRAINED = CONFIG.mini_weights == f"{MINI}/weights"


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
        rule="mini_world",
        taken=from_config("seed"),
        command="world",
        options=lambda wildcards: options(WORLDS[wildcards.world]),
    shell:
        "IPCIR_RULE={params.rule} IPCIR_CONFIG={params.taken:q} ipcir mini {params.command} {params.options}"
        " --output {output} 2> {log}"


use rule mini_world as mini_models with:
    """Build the tiny checkpoints of the real model classes from the shipped weights or from newly trained ones."""
    input:
        expand(CURVE, training=TRAININGS) if TRAINED else [],
    output:
        directory(f"{MINI}/models"),
    log:
        "logs/mini/models.log",
    benchmark:
        "benchmarks/results/mini/models.tsv"
    resources:
        mem_mb=growing(1800),
        runtime=30,
    params:
        rule="mini_models",
        taken=from_config("seed", "mini_weights"),
        command="models",
        options=options({}, seed=CONFIG.seed, weights=CONFIG.mini_weights),


use rule mini_world as mini_pool with:
    """Render the pictures that all training runs share."""
    output:
        f"{MINI}/training/pool.npy",
    log:
        "logs/mini/pool.log",
    benchmark:
        "benchmarks/results/mini/pool.tsv"
    params:
        rule="mini_pool",
        command="pool",
        options=lambda wildcards, input: options(input, seed=CONFIG.seed),


rule mini_training:
    """Train one model of the mini world from scratch; a killed run resumes."""
    input:
        pool=f"{MINI}/training/pool.npy",
        needs=lambda wildcards: expand(
            CURVE, training=NEEDS.get(wildcards.training, ())
        ),
    output:
        CURVE,
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
        taken=from_config("seed"),
        work=lambda wildcards, input: Path(input.pool).parent,
        weights=lambda wildcards, output: Path(output[0]).parent,
    shell:
        "IPCIR_RULE=mini_training IPCIR_CONFIG={params.taken:q} OMP_NUM_THREADS={threads}"
        " ipcir mini train {wildcards.training} --seed {params.seed} --work {params.work} --weights {params.weights} 2> {log}"


use rule mini_world as mini_held_out with:
    """Measure every model of the mini world on pictures that no training run has seen."""
    input:
        models=f"{MINI}/models",
    output:
        "results/mini_held_out.json",
    log:
        "logs/mini/held_out.log",
    benchmark:
        "benchmarks/results/mini/held_out.tsv"
    resources:
        mem_mb=growing(4000),
        runtime=60,
    params:
        rule="mini_held_out",
        command="evaluate",
        options=lambda wildcards, input: options(input, seed=CONFIG.seed),
