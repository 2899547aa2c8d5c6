"""The models of a stack: loaded when they are first asked for, unloaded when nobody has asked for a while."""

import argparse
import gc
import logging
import threading
import time
from collections.abc import Callable

from ipcir_steps.photos.stack import Stack, asked_for, warn_of_toys


class Models:
    """What each role has loaded. One thread at a time loads, as libraries set what holds for the whole process
    meanwhile; nobody else waits for it. Who uses a model for long holds its own reference."""

    def __init__(self, chosen: Stack):
        self.stack = chosen
        self._loaded: dict[str, object] = {}
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()
        self._loading = threading.RLock()

    def get(self, role: str, load: Callable[[], object]):
        """What ``load`` returns, which is not None, kept under ``role``."""
        found = self._kept(role)
        if found is None:
            with self._loading:
                found = self._kept(role)
                if found is None:
                    found = load()
                    with self._lock:
                        self._loaded[role], self._used[role] = found, time.monotonic()
        return found

    def _kept(self, role: str):
        with self._lock:
            if role in self._loaded:
                self._used[role] = time.monotonic()
            return self._loaded.get(role)

    def loaded(self, role: str):
        """What is kept under ``role``; None where nothing is."""
        with self._lock:
            return self._loaded.get(role)

    def encoder(self, tower: str):
        """The "image" or "text" tower of the CLIP model (seek.embeddings.clip.Encoder); the other is not loaded. A
        language model is both, and is loaded once."""
        other = self._kept(f"clip {'text' if tower == 'image' else 'image'}")
        return other if hasattr(other, "joint") else self.get(f"clip {tower}", lambda: self._encoder(tower))

    def _encoder(self, tower: str):
        from ipcir_steps.seek.embeddings.clip import load_encoder

        chosen = self.stack
        backbone = chosen.config.clip[chosen.backbone]
        architecture = backbone.architecture or chosen.config.embeddings.architecture
        settings = chosen.config.embeddings.model_copy(update={"architecture": architecture})
        return load_encoder(chosen.clip(), settings, (tower,))

    def differ(self, identity: dict) -> bool:
        """Whether features with this identity were made by another model or encoder, or from pictures prepared
        otherwise."""
        from ipcir_steps.core.manifests import load_manifest

        settings = self.stack.config.embeddings
        reading = settings.reading.model_dump(mode="json")
        mine = load_manifest(self.stack.clip()).digest, settings.ratio, settings.encoder, reading
        # A model that is prepared for by its own processor has no ratio, one with two towers no way of reading.
        theirs = identity.get("digest"), identity.get("ratio", settings.ratio), identity.get("encoder", "torch")
        if (*theirs, identity.get("reading", reading)) != mine:
            return True
        padded = "ratio" in identity
        return padded != {"auto": padded, "target_pad": True, "model": False}[settings.preprocessing]

    def unload(self, idle: float) -> list[str]:
        """Let go of the models that nobody asked for in the last ``idle`` seconds; their roles."""
        with self._lock:
            old = [role for role, used in self._used.items() if time.monotonic() - used >= idle]
            for role in old:
                del self._loaded[role], self._used[role]
        if old:
            gc.collect()
            _empty_cache()
        return old


def _empty_cache() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def opened(args: argparse.Namespace) -> Models:
    """The models of ``--stack``; bounds pictures by ``--megapixels``; libraries' chatter is not for this terminal."""
    from ipcir_steps.photos import pictures

    logging.getLogger().setLevel(logging.WARNING)
    for name in ("photos", "ipcir_steps.seek.embeddings"):
        logging.getLogger(name).setLevel(logging.INFO)
    pictures.prepare(args.megapixels)
    chosen = asked_for(args)
    if not args.stack:
        warn_of_toys(chosen, args.folder)
    return Models(chosen)
