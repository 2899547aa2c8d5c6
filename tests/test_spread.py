"""Tests that share something expensive share a worker; whole workflows have one of their own."""

import threading
import time

import pytest

from tests.spread import scope


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("tests/core/test_files.py::test_paths_stay_inside[../x.png]", "tests/core/test_files.py"),
        ("tests/evaluate/reporting/test_tables.py::test_tables_of_a_run", "finished"),
        ("tests/workflow/test_workflow.py::test_every_figure_is_made_and_verified", "drawn"),
        ("tests/workflow/test_workflow.py::test_every_target_has_a_plan[all]", None),
        ("tests/integration/test_faults.py::test_a_really_full_disk", "integration"),
    ],
)  # fmt: skip
def test_scopes(nodeid, expected):
    assert scope(nodeid) == (expected or nodeid)


def test_what_is_shared_is_made_once_and_again_after_a_failure(once):
    made = []

    def fails(directory):
        directory.mkdir()
        raise OSError

    def make(directory):
        directory.mkdir()  # fails if what the failed maker left were there
        time.sleep(0.05)
        made.append(directory)

    with pytest.raises(OSError):
        once("shared_once", fails)
    threads = [threading.Thread(target=once, args=("shared_once", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [once("shared_once", make)] and made[0].is_dir()
