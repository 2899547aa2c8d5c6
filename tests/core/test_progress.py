"""Progress in a log: a line now and then, with what is left."""

from ipcir_steps.core import progress


def test_a_log_gets_a_line_each_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Progress("drawing", total=100, done=20) as bar:
        for _ in range(4):
            now[0] += 45
            bar.advance(10, failed=now[0] == 45, loss=0.5)
    assert capsys.readouterr().err.splitlines() == [
        "drawing: 40 of 100, about 4 min left, failed 1, loss 0.5",
        "drawing: 60 of 100, about 3 min left, failed 1, loss 0.5",
    ]


def test_short_work_is_silent(capsys):
    with progress.Progress("drawing", total=3) as bar:
        for _ in range(3):
            bar.advance()
    assert capsys.readouterr().err == ""
