"""A chat model behind an OpenAI-compatible server: vLLM, llama.cpp, SGLang or a hosted one."""

import concurrent.futures
import email.utils
import json
import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx

from ipcir_steps.config.language import LLM
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import InputError, ModelError, StepFailure
from ipcir_steps.core.files import digest, seed
from ipcir_steps.imagine.llm import Group
from ipcir_steps.imagine.llm.pictures import Picture, identity, messages

T = TypeVar("T")
LARGEST_ANSWER = 4_000_000  # bytes
FIRST_PAUSE = 0.5  # seconds, doubled after each failed attempt
logging.getLogger("httpx").setLevel(logging.WARNING)  # a line per request otherwise


class _Again(Exception):
    """This attempt failed; pause: seconds that the server asks to wait, None when it does not say."""

    def __init__(self, problem: str, pause: float | None = None):
        super().__init__(problem)
        self.pause = pause


class Textless(ValueError):
    """An answer of the right form without a text."""


def text_of(answer: dict) -> str:
    """The text of an answer. Raises Textless, or what ``Server.ask`` asks again for."""
    text = answer["choices"][0]["message"]["content"]
    if not isinstance(text, str):
        raise Textless("the answer has no text")
    return text


class Server:
    """Backend over ``POST {base_url}/chat/completions``.

    Each answer is cached as it arrives. Connection errors, time-outs, 408, 409, 429, 5xx and damaged answers are
    tried again with growing pauses (or the server's Retry-After), ``settings.attempts`` times in all; then the query
    is a StepFailure. Any other refusal (wrong key, unknown model) stops the step with ModelError.
    The key is read from the environment variable ``settings.key_variable`` and is only ever sent, never stored.
    ready: called before each attempt, may raise ModelError; identity: what tells the served model from others, where
    its name does not.
    """

    def __init__(
        self,
        settings: LLM,
        cache: Cache,
        key: str | None = None,
        identity: list | None = None,
        ready: Callable[[], None] = lambda: None,
    ):
        for field in ("base_url", "served_model"):
            if not getattr(settings, field):
                raise InputError("is needed by the openai backend", file="--settings", field=field)
        self.settings, self.cache, self.tokens = settings, cache, 0
        self.width, self.together = 4 * settings.concurrency, False
        sampling = [settings.temperature, settings.top_p, settings.max_new_tokens, settings.response_format]
        self.digest = digest(["openai", *(identity or [settings.served_model]), *sampling])
        self._ready, key = ready, key or os.environ.get(settings.key_variable)
        self._client = httpx.Client(
            base_url=settings.base_url.rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(settings.timeout, connect=min(10, settings.timeout)),
            limits=httpx.Limits(max_connections=settings.concurrency),
            trust_env=not settings.server,  # no proxy leads to a server of one's own
        )

    def answer(self, groups: Sequence[Group]) -> list[list[str] | StepFailure]:
        """Requests of all groups run side by side; the first failure of a group is its result."""
        with concurrent.futures.ThreadPoolExecutor(self.settings.concurrency) as pool:
            futures = [
                [
                    pool.submit(self._one, c, seed(group.seed, i), group.schema, group.picture)
                    for i, c in enumerate(group.conversations)
                ]
                for group in groups
            ]
            try:
                return [self._collect(asked) for asked in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    @staticmethod
    def _collect(asked) -> list[str] | StepFailure:
        try:
            return [future.result() for future in asked]
        except StepFailure as failure:
            return failure

    def _one(self, conversation, request_seed: int, schema: dict | None, picture: Picture | None) -> str:
        key = [self.digest, digest([conversation, schema, *identity(picture)]), request_seed]
        cached = self.cache.get(key)
        if cached is not None:
            return cached
        body = {
            "model": self.settings.served_model,
            "messages": messages(conversation, picture),
            "temperature": self.settings.temperature,
            "top_p": self.settings.top_p,
            "max_tokens": self.settings.max_new_tokens,
            "seed": request_seed % 2**31,
            **self.format(schema),
        }
        text = self._persist(body, text_of)
        self.cache.put(key, text)
        return text

    def format(self, schema: dict | None) -> dict:
        """How a schema is sent in a request."""
        if schema is None or self.settings.response_format == "none":
            return {}
        if self.settings.response_format == "json_object":
            return {"response_format": {"type": "json_object", "schema": schema}}
        form = {"name": "answer", "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": form}}

    def ask(self, body: dict, read: Callable[[dict], T] = text_of) -> T:
        """What ``read`` makes of the answer to one request, by default its text; body: messages and limits, beside the
        model's name.

        ``read`` may raise LookupError, TypeError, ValueError or AttributeError for what is no such answer, which is
        then asked for again. Raises StepFailure when all attempts fail.
        """
        return self._persist({"model": self.settings.served_model, **body}, read)

    def _persist(self, body: dict, read: Callable[[dict], T]) -> T:
        for attempt in range(1, self.settings.attempts + 1):
            self._ready()
            try:
                return self._post(body, read)
            except _Again as again:
                if attempt == self.settings.attempts:
                    raise StepFailure(f"no answer after {attempt} attempts, the last: {again}") from None
                pause = FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
                time.sleep(min(self.settings.longest_wait, pause if again.pause is None else again.pause))
        raise AssertionError("attempts is at least 1")

    def _post(self, body: dict, read: Callable[[dict], T]) -> T:
        """One attempt, over within ``settings.timeout`` however slowly the server drips."""
        deadline = time.monotonic() + self.settings.timeout
        content = b""
        try:
            with self._client.stream("POST", "chat/completions", json=body) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if time.monotonic() > deadline:
                        raise _Again(f"no whole answer within {self.settings.timeout} s")
                    if len(content) > LARGEST_ANSWER:
                        raise _Again("the answer is too large")
        except httpx.TimeoutException:
            raise _Again(f"no answer within {self.settings.timeout} s") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise _Again(f"{type(error).__name__}: {error}") from None
        except httpx.InvalidURL as error:
            raise InputError(str(error), file="--settings", field="base_url") from error
        status = response.status_code
        if status in (408, 409, 429) or status >= 500:
            raise _Again(f"status {status}", _retry_after(response.headers.get("retry-after")))
        if status != 200:
            detail = content[:300].decode("utf-8", "replace")
            raise ModelError(f"{self.settings.base_url} refused the request with status {status}: {detail}")
        try:
            answer = json.loads(content)
            self.tokens += int((answer.get("usage") or {}).get("completion_tokens") or 0)
            return read(answer)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise _Again(str(error) if isinstance(error, Textless) else "the answer is no chat completion") from None


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, a number or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
