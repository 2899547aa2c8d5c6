"""The errors a person is meant to read. Everything else is a bug and keeps its traceback."""


class IPCIRError(Exception):
    """Base of every expected failure; the command line prints it as one message and exits with 2."""


class InputError(IPCIRError):
    """Bad input, named down to the file, record and field, with what to do about it.

    Example: ``queries.csv: record 3: field 'reference': points outside the dataset root. Use a path below …``
    """

    def __init__(self, problem: str, *, file=None, record=None, field=None, remedy: str | None = None):
        self.file, self.record, self.field, self.problem, self.remedy = file, record, field, problem, remedy
        place = [str(file)] if file is not None else []
        place += [f"record {record}"] if record is not None else []
        place += [f"field '{field}'"] if field is not None else []
        text = ": ".join([*place, problem])
        super().__init__(f"{text.rstrip('.')}. {remedy}" if remedy else text)


class ModelError(IPCIRError):
    """A model or checkpoint is missing, damaged or of the wrong kind."""


class StepFailure(IPCIRError):
    """One query or image cannot be processed; the step records the reason and goes on with the next."""


def first_line(error: BaseException) -> str:
    """What another library's error says, without the pages that may follow; its kind where it says nothing.

    >>> first_line(ValueError("no such key\\nTraceback of a library")), first_line(KeyboardInterrupt())
    ('no such key', 'KeyboardInterrupt')
    """
    return (str(error).splitlines() or [type(error).__name__])[0]
