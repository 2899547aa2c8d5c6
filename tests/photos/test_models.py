"""Models are loaded once, by one thread at a time, and nobody waits for a model that is not theirs."""

import threading

import pytest

from ipcir_steps.photos.models import Models


def test_a_model_that_is_there_waits_for_none_that_is_loaded():
    models, begun, go = Models(None), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go.wait(20)
        return "captioner"

    assert models.get("clip", lambda: "clip") == "clip"
    threads = [threading.Thread(target=models.get, args=("captioner", slow), daemon=True)]
    threads[0].start()
    assert begun.wait(20)
    done = threading.Event()
    threads.append(threading.Thread(target=lambda: (models.get("clip", pytest.fail), done.set()), daemon=True))
    threads[1].start()
    assert done.wait(20)  # while the other is still loading
    assert models.loaded("captioner") is None and models.unload(idle=3600) == []
    go.set()
    threads[0].join(20)
    assert models.loaded("captioner") == "captioner"
    assert sorted(models.unload(idle=0)) == ["captioner", "clip"] and models.loaded("clip") is None


def test_many_who_ask_at_once_load_it_once_and_never_two_models_side_by_side():
    models, loads, inside = Models(None), [], threading.Semaphore(1)

    def load(role: str) -> str:
        assert inside.acquire(blocking=False)
        loads.append(role)
        threading.Event().wait(0.02)
        inside.release()
        return role

    found = []
    threads = [
        threading.Thread(target=lambda role=role: found.append(models.get(role, lambda: load(role))))
        for role in ("a", "b", "c") * 5
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(loads) == ["a", "b", "c"] and sorted(found) == sorted(("a", "b", "c") * 5)


def test_loading_may_ask_for_another_model_and_a_failure_is_tried_again():
    models = Models(None)
    assert models.get("whole", lambda: models.get("part", lambda: "part") + "s") == "parts"
    with pytest.raises(ZeroDivisionError):
        models.get("broken", lambda: 1 / 0)
    assert models.get("broken", lambda: "mended") == "mended"
