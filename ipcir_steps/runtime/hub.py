"""A model hub: what a repository holds at a commit, and its files, continued where an earlier try stopped.

huggingface_hub finds the address, the token (HF_TOKEN, or what `hf auth login` keeps) and the mirror (HF_ENDPOINT).
It begins a file anew after a kill, so the bytes are asked for here, from where they ended.
"""

import contextlib
import dataclasses
import errno
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ipcir_steps.core.errors import ModelError, first_line
from ipcir_steps.core.files import inside, open_part, sha256

OWN = ".cache"  # in a model's directory: unfinished files, and a note of what the others are
LINK = ".same"  # ending of the name of a file that another directory has
CHUNK = 1 << 20  # bytes
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
TRIES = 5  # connections in a row that bring no byte
SECONDS = 60  # without a byte before a connection counts as broken


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """size in bytes. sha256 of large files, blob (the digest of git) of others; a hub may state neither."""

    name: str
    size: int
    sha256: str | None = None
    blob: str | None = None

    @property
    def identity(self) -> str:
        return self.sha256 or self.blob or hashlib.sha256(f"{self.name} {self.size}".encode()).hexdigest()

    def check(self, path: Path) -> str | None:
        """The sha256 of the file at ``path``; None when it is absent or not what the hub describes."""
        if not path.is_file() or path.stat().st_size != self.size:
            return None
        found = sha256(path)
        if self.sha256:
            return found if found == self.sha256 else None
        if self.blob is None:
            return found
        content = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
        return found if blob == self.blob else None


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A repository at a commit, and the directory that its files come into.

    key: the model's in the configuration, for messages; source: owner/name; commit: 40 hexadecimal digits.
    """

    key: str
    source: str
    commit: str
    files: dict[str, RemoteFile]
    directory: Path
    others: tuple[Path, ...] = ()  # directories that hold files of the same commit, for other readers

    def target(self, file: RemoteFile) -> Path:
        return inside(self.directory, file.name)

    def part(self, file: RemoteFile) -> Path:
        """Where the file lies while it is unfinished."""
        return self.directory / OWN / "parts" / file.identity

    def missing(self, file: RemoteFile) -> int:
        """Bytes of the file that are not here yet, by its size alone."""
        places = (self.target(file), self.part(file), *(inside(other, file.name) for other in self.others))
        here = [path.stat().st_size for path in places if path.is_file()]
        return max(0, file.size - max(here, default=0))

    def download(self, file: RemoteFile, told: Callable[[int], None]) -> str:
        """Bring a file into the directory; return its sha256. What is there of it, whole or in part, is kept.

        told: called with each number of new bytes. Raises ModelError when it cannot be had or is not what the hub says.
        """
        target = self.target(file)
        if found := file.check(target):
            return found
        with open_part(self.part(file)) as content:
            if found := file.check(target):  # another process was faster
                self.part(file).unlink(missing_ok=True)
                return found
            part = self.part(file)
            if (found := self._linked(file)) is None:
                found = self._complete(file, content, told)
            else:
                part.unlink()
                part = part.with_suffix(LINK)
            with explained(self.key, str(target)):
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
        return found

    def _linked(self, file: RemoteFile) -> str | None:
        """The sha256 of a file that lies in another directory, linked (or copied) beside the unfinished ones."""
        link = self.part(file).with_suffix(LINK)
        for other in self.others:
            path = inside(other, file.name)
            if found := file.check(path):
                link.unlink(missing_ok=True)
                with explained(self.key, str(link)):
                    try:
                        os.link(path, link)
                    except OSError:  # another file system, or one without links
                        shutil.copyfile(path, link)
                return found
        return None

    def content(self, file: RemoteFile) -> bytes:
        """A small file's. It stays an unfinished one, which a download only has to move, until somebody wants it."""
        for directory in (self.directory, *self.others):
            path = inside(directory, file.name)
            if file.check(path):
                return path.read_bytes()
        with open_part(self.part(file)) as content:
            self._complete(file, content, lambda size: None)
            content.seek(0)
            return content.read()

    def forget_parts(self, files: Iterable[RemoteFile]) -> None:
        """Remove what was begun of other files, such as those of an earlier commit."""
        kept = {file.identity for file in files}
        for part in self.directory.glob(f"{OWN}/parts/*"):
            if part.name not in kept:
                part.unlink(missing_ok=True)

    def _complete(self, file: RemoteFile, content: BinaryIO, told: Callable[[int], None]) -> str:
        what = f"{file.name} of {self.source}@{self.commit}"
        with explained(self.key, what):
            from huggingface_hub import hf_hub_url
            from huggingface_hub.utils import build_hf_headers

            url = hf_hub_url(self.source, file.name, revision=self.commit)
            _append(url, {**build_hf_headers(), "Accept-Encoding": "identity"}, content, file.size, told)
            content.flush()
            os.fsync(content.fileno())
        if found := file.check(self.part(file)):
            return found
        self.part(file).unlink()
        raise ModelError(
            f"model {self.key}: {what} did not arrive as the hub describes it (its digest differs). Fetch it again; "
            "if that does not help, the hub or mirror holds a damaged file."
        )


def open_snapshot(key: str, source: str, revision: str, directory: Path) -> Snapshot:
    """What a repository holds at a revision (commit, tag or branch). Raises ModelError telling why it cannot be had."""
    # Neither who fetches nor with what, and no line for each question to the hub.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    for library in ("httpx", "httpx2"):
        logging.getLogger(library).setLevel(logging.WARNING)
    with explained(key, f"{source}@{revision}"):
        from huggingface_hub import HfApi

        info = HfApi().model_info(source, revision=revision, files_metadata=True, timeout=SECONDS)
    if not re.fullmatch("[0-9a-f]{40}", info.sha or "") or info.siblings is None:
        raise ModelError(f"model {key}: {endpoint()} does not answer as a model hub does. Is HF_ENDPOINT right?")
    entries = {
        entry.rfilename: (entry.size or 0, entry.lfs.sha256 if entry.lfs else None, entry.blob_id)
        for entry in info.siblings
    }
    files = {path: RemoteFile(path, *values) for path, values in entries.items()}
    return Snapshot(key, source, info.sha, files, directory)


def _append(url: str, headers: dict, content: BinaryIO, size: int, told: Callable[[int], None]) -> None:
    """Add the bytes that are missing, in as many connections as it takes."""
    from huggingface_hub import errors
    from huggingface_hub.utils import hf_raise_for_status, http_stream_backoff

    failures = 0
    if content.seek(0, os.SEEK_END) > size:
        content.truncate(0)
    while (start := content.seek(0, os.SEEK_END)) < size:
        asked = {**headers, "Range": f"bytes={start}-"} if start else headers
        problem: Exception = ConnectionError("connections end early")
        try:
            with http_stream_backoff("GET", url, headers=asked, timeout=SECONDS, retry_on_exceptions=()) as response:
                hf_raise_for_status(response)
                if start and response.status_code != 206:  # the server begins anew
                    content.truncate(content.seek(0))
                for chunk in response.iter_bytes(CHUNK):
                    content.write(chunk)
                    told(len(chunk))
        except errors.HfHubHTTPError:
            raise
        except errors.HTTPError as error:  # of the connection
            problem = error
        failures = 0 if content.seek(0, os.SEEK_END) > start else failures + 1
        if failures == TRIES:
            raise problem
        if failures:
            time.sleep(2 ** (failures - 1))


def endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


@contextlib.contextmanager
def explained(key: str, what: str) -> Iterator[None]:
    """Turn what goes wrong between here and a hub into one ModelError with what to do. key: of the model."""
    try:
        yield
    except Exception as error:
        text = _explanation(key, error)
        if text is None:
            raise
        raise ModelError(f"model {key}: {what}: {text}") from error


def _explanation(key: str, error: Exception) -> str | None:
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(key, error)
    if isinstance(error, errors.HFValidationError):
        return f"this is no repository of a hub ({key}.source). Is a local path misspelt?"
    if isinstance(error, OSError) and error.errno in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
    ):
        remedy = "Free disk space or check permissions and run again; what is here is kept."
        return f"cannot be written ({error.strerror}). {remedy}"
    if isinstance(error, ValueError):
        return f"{endpoint()} does not answer as a model hub does. Is HF_ENDPOINT right?"
    if not isinstance(error, (OSError, errors.HTTPError)):
        return None
    return (
        f"{endpoint()} cannot be reached ({first_line(error)}). Run `snakemake prefetch` where there is a network, set"
        f" HF_ENDPOINT to a mirror, or set {key}.source to a local directory; what is here is kept."
    )


def _refusal(key: str, error) -> str:
    """What a hub means by its answer."""
    from huggingface_hub import errors, get_token

    given, status = get_token() is not None, error.response.status_code
    token = "the access token that HF_TOKEN or `hf auth login` gave" if given else "an access token in HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        remedy = f"That of {token} has not." if given else "Then put its access token into HF_TOKEN."
        return f"the repository is gated: an account has to accept its conditions at {endpoint()}. {remedy}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"there is no such revision ({key}.revision)."
    if isinstance(error, errors.EntryNotFoundError):
        return "the hub lists the file and does not have it. Is the mirror in HF_ENDPOINT complete?"
    if status == 401 and given:
        return f"the hub does not accept {token}. Make a new one."
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        needs = f"{token} does not open it" if given else f"it needs {token}"
        return f"{endpoint()} has no such repository ({key}.source), or it is private and {needs}."
    if status == 429:
        return "the hub has had too many requests. Wait some minutes or set HF_TOKEN, and run again; nothing is lost."
    if status >= 500:
        return f"the hub has a fault (status {status}). Run again later; what is here is kept."
    return f"the hub refuses (status {status}). Does {token} give access?"
