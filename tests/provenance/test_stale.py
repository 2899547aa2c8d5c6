"""Settings that a record took from the configuration, compared with the files as they are now."""

import yaml

from ipcir_steps.provenance.audit.stale import Configuration


def _record(files, **values):
    return {"configuration": {"configfiles": files, "overrides": {"seed": 5}, "values": values}}


def test_files_are_laid_over_each_other_and_overrides_over_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in (("a.yaml", {"seed": 1, "ranking": {"k": 9, "block": 64}}), ("b.yaml", {"ranking": {"k": 8}})):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    record = _record(["a.yaml", "b.yaml"], seed=1, ranking={"k": 9, "block": 64, "memory_mb": 2048})
    assert Configuration().changes(record) == [("seed", 1, 5), ("ranking.k", 9, 8)]
    # A configuration that is given stands for itself: overrides of the run are none of it.
    assert Configuration(["a.yaml"]).changes(record) == []


def test_steps_run_by_hand_and_lost_files_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configuration = Configuration()
    assert configuration.changes({"configuration": {}}) == configuration.changes(_record([], seed=1)) == []
    assert not configuration.notes
    for _ in range(2):
        assert configuration.changes(_record(["gone.yaml"], seed=1)) == []
    assert configuration.notes == ["gone.yaml is gone: the settings could not be compared with it"]
