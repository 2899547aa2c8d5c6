"""Files for the benchmarks' servers: what they hold, and the rules by which a server refuses one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query


@dataclasses.dataclass(frozen=True)
class ServerFile:
    """One JSON file, ``{query id: [images]}`` beside the entries of ``head``.

    kind: its name in messages. length: images listed per query. counts: {number of queries: split} of the published
    splits. head: entries that say what the file is. keeps_reference: a query's own reference may be listed.
    image_sets: only the members of each query's image set are listed.
    image: (image name, where) -> None, raises InputError(**where) where the server would not know the image.
    whole: (answers, file) -> None, raises InputError where the answers do not fit together.
    written: an image name as it stands in the file.
    """

    kind: str
    length: int
    counts: Mapping[int, str]
    image: Callable[[object, dict], None]
    head: Mapping[str, str] = dataclasses.field(default_factory=dict)
    keeps_reference: bool = True
    image_sets: bool = False
    whole: Callable[[dict, object], None] = lambda answers, file: None
    written: Callable[[str], object] = str

    def content(self, rankings: Mapping[str, Sequence[str]], queries: Sequence[Query]) -> dict:
        """The file's content. Raises InputError for a query without a ranking, or with too few set members in it."""
        content: dict = dict(self.head)
        for query in queries:
            names = self._names(rankings, query)[: self.length]
            content[query.query_id] = [self.written(name) for name in names]
        return content

    def _names(self, rankings, query: Query) -> list[str]:
        if query.query_id not in rankings:
            remedy = "The servers refuse incomplete files: rank every query."
            raise InputError("has no ranking", record=query.query_id, remedy=remedy)
        names = [str(name) for name in rankings[query.query_id]]
        if not self.keeps_reference:
            names = [name for name in names if name != query.reference]
        if self.image_sets:
            members = set(query.group or ())
            names = [name for name in names if name in members]
            if len(names) < min(self.length, len(members)):
                raise InputError(
                    f"the ranking holds {len(names)} members of the image set, {self.length} are needed",
                    record=query.query_id, remedy="Give rankings of the image sets with --subset.",
                )  # fmt: skip
        return names

    def check(self, content: dict, file, queries: Sequence[Query] | None, gallery: set[str] | None) -> str:
        """Raises InputError telling the first problem of a file's content; returns what it is, in words."""
        answers = {key: value for key, value in content.items() if key not in self.head}
        for query_id, images in answers.items():
            self._check_answer(query_id, images, gallery, {"file": file, "record": query_id})
        self.whole(answers, file)
        self._check_queries(answers, queries, file)
        for query in queries or ():
            self._check_query(answers[query.query_id], query, {"file": file, "record": query.query_id})
        length = len(next(iter(answers.values())))
        return f"{self.kind} file: {len(answers)} queries, {length} images each"

    def _check_answer(self, query_id: str, images, gallery: set[str] | None, where: dict) -> None:
        if not query_id.isdecimal() or str(int(query_id)) != query_id:
            raise InputError("is not a query id (a plain number)", **where)
        if not isinstance(images, list):
            raise InputError(f"holds a {type(images).__name__}, not a list of images", **where)
        expected = self.length
        if gallery is not None:  # a small data set cannot fill the list; a reference left out takes one place
            expected = min(expected, len(gallery) - (not self.keeps_reference))
        if len(images) < expected:
            raise InputError(f"lists too few images ({len(images)}, needs {expected})", **where)
        if len(images) > expected:
            raise InputError(f"lists too many images ({len(images)}, takes {expected})", **where)
        seen = set()
        for image in images:
            check_name(image, where)
            self.image(image, where)
            name = str(image)
            if name in seen:
                raise InputError(f"lists {name} twice", **where)
            if gallery is not None and name not in gallery:
                raise InputError(f"lists {name}, which is not in the gallery", **where)
            seen.add(name)

    def _check_queries(self, answers: dict, queries: Sequence[Query] | None, file) -> None:
        if queries is None:
            if len(answers) not in self.counts:
                counts = " or ".join(f"{count} ({split})" for count, split in self.counts.items())
                remedy = "Give --queries for another split."
                raise InputError(f"answers {len(answers)} queries; the splits have {counts}", file=file, remedy=remedy)
            return
        known = {query.query_id for query in queries}
        for query_id in answers:
            if query_id not in known:
                raise InputError("is not a query of this split", file=file, record=query_id)
        absent = [query.query_id for query in queries if query.query_id not in answers]
        if absent:
            raise InputError(f"{len(absent)} queries are not answered, the first is {absent[0]}", file=file)

    def _check_query(self, images: list, query: Query, where: dict) -> None:
        if not self.keeps_reference and query.reference in images:
            remedy = "Remove references before writing."
            raise InputError(f"lists the query's own reference {query.reference}", **where, remedy=remedy)
        if self.image_sets and query.group:
            for name in images:
                if name not in query.group:
                    raise InputError(f"lists {name}, which is not in the query's image set", **where)


def check_name(image, where: dict) -> None:
    """Raises InputError for what no server takes for an image."""
    if isinstance(image, bool) or not isinstance(image, str | int):
        raise InputError(f"lists a {type(image).__name__} in place of an image name", **where)
    name = str(image)
    if not name:
        raise InputError("lists an empty image name", **where)
    if "/" in name or name.lower().endswith((".jpg", ".jpeg", ".png")):
        raise InputError(f"lists the file {name!r} in place of an image name", **where)


def kind_of(content: dict, files: Sequence[ServerFile], file) -> ServerFile:
    """Which of the known files this is, by its head. Raises InputError where the head is incomplete or unknown."""
    headed = [one for one in files if one.head and one.head.keys() & content.keys()]
    if not headed:
        plain = [one for one in files if not one.head]
        if not plain:
            key, value = next(iter(files[0].head.items()))
            raise InputError("is missing", file=file, field=key, remedy=f'Add "{key}": "{value}".')
        return plain[0]
    for key in headed[0].head:
        values = list(dict.fromkeys(one.head[key] for one in headed if key in one.head))
        if key not in content:
            asked = " or ".join(f'"{value}"' for value in values)
            raise InputError("is missing", file=file, field=key, remedy=f'Add "{key}": {asked}.')
        if content[key] not in values:
            takes = " or ".join(map(repr, values))
            raise InputError(f"is {content[key]!r}; the server takes {takes}", file=file, field=key)
    return next(one for one in headed if all(content.get(key) == value for key, value in one.head.items()))
