"""A chat model that is shown pictures, through vLLM in this process."""

import functools
from pathlib import Path

from ipcir_steps.config.verification import Chat
from ipcir_steps.core.files import dumps
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.imagine.llm.continuous import VLLM
from ipcir_steps.verify.pictures import Images, messages
from ipcir_steps.verify.words import NO, YES, telling_tokens


class InProcess:
    """``chat.Engine`` over ``vllm.LLM``. One request at a time and without what earlier ones left in the engine's cache
    of prompts, so that no answer depends on another. Question and tokens that count are those of ``chat.Local``.
    """

    side_by_side = 1

    def __init__(self, settings: Chat, manifest: Manifest):
        # Nothing is sampled: vLLM is spared the nucleus.
        self._path, self._longest = Path(manifest.path), settings.max_new_tokens
        self._engine = VLLM(settings.model_copy(update={"top_p": 1.0}), self._path)
        how = [settings.dtype, settings.max_new_tokens, settings.context_length, settings.engine]
        self.identity = ["vllm", manifest.digest, *how]

    @functools.cached_property
    def _words(self) -> dict[str, list[int]]:
        return telling_tokens(self._engine.loaded.get_tokenizer(), self._path)

    def odds(self, pictures: Images, text: str) -> float:
        import torch

        tokens = self._words[YES] + self._words[NO]
        [told] = self._asked(pictures, text, max_tokens=1, logprob_token_ids=tokens).logprobs
        yes, no = (torch.tensor([told[t].logprob for t in self._words[w]]).double().logsumexp(0) for w in (YES, NO))
        return float(yes - no)

    def answer(self, pictures: Images, text: str, schema: dict) -> str:
        _ = self._engine.loaded  # where vLLM is missing, this says so
        from vllm.sampling_params import StructuredOutputsParams

        from ipcir_steps.imagine.llm.grammar import ebnf

        rules = StructuredOutputsParams(grammar=ebnf(dumps(schema)))
        return self._asked(pictures, text, max_tokens=self._longest, structured_outputs=rules).text

    def _asked(self, pictures: Images, text: str, **how):
        """The likeliest answer, of vLLM's class. Raises ModelError where vLLM refuses the prompt."""
        from vllm import SamplingParams

        [answer] = self._engine.chat([messages(pictures, text)], [SamplingParams(temperature=0, **how)])
        return answer
