"""Steps that need no rule of their own: their module says what they read and what they make."""

from ipcir_steps.steps import STEPS

for CARD in [step for step in STEPS.values() if step.wired]:
    MODULE = CARD.load()
    STEM = paths.stem(MODULE.MAKES)

    rule:
        """Run a step as its module says."""
        name:
            CARD.name
        input:
            **MODULE.READS,
        output:
            MODULE.MAKES,
        log:
            f"{paths.LOGS}/{STEM}.log",
        benchmark:
            f"{paths.TIMES}/{STEM}.tsv"
        conda:
            "../envs/analysis.yaml"
        container:
            container("analysis")
        threads: 1
        resources:
            mem_mb=growing(2000),
            runtime=60,
        params:
            rule=CARD.name,
            options=lambda wildcards, input: options(input),
        shell:
            "IPCIR_RULE={params.rule} ipcir {params.rule} {params.options} --output {output} 2> {log}"
