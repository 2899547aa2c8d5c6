"""LinCIR (Gu et al., CVPR 2024): SEARLE's network and sentences, trained on language only."""

from ipcir_steps.seek.baselines.searle import text_features

__all__ = ["text_features"]
