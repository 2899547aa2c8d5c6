"""The embedded default: a rendered world and tiny checkpoints."""


rule mini_world:
    """Render the embedded mini world in three official dataset layouts."""
    output:
        directory(f"{MINI}/world"),
    log:
        "logs/mini_world.log",
    benchmark:
        "benchmarks/results/mini_world.tsv"
    conda:
        "../envs/analysis.yaml"
    container:
        container("analysis")
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        seed=CONFIG.seed,
    shell:
        "IPCIR_RULE={rule} ipcir mini world --seed {params.seed} --output {output} 2> {log}"


rule mini_models:
    """Build the tiny checkpoints of the real model classes."""
    output:
        directory(f"{MINI}/models"),
    log:
        "logs/mini_models.log",
    benchmark:
        "benchmarks/results/mini_models.tsv"
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
    shell:
        "IPCIR_RULE={rule} ipcir mini models --seed {params.seed} --output {output} 2> {log}"
