"""Real images: built, tested, verified and refused by ``ipcir containers``; the workflow inside them, same bytes.

The images of the model families take minutes and gigabytes, so they are used where they have been built (in
``containers/``, or in the directory IPCIR_IMAGES); a tiny one is built here each time.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ipcir_steps.cli import main
from ipcir_steps.runtime import containers
from ipcir_steps.runtime import leases as devices

ROOT = Path(__file__).parents[2]
IMAGES = Path(os.environ.get("IPCIR_IMAGES", ROOT / "containers"))
DEFINITION = """Bootstrap: {{ BOOTSTRAP }}
From: {{ BASE }}

%arguments
    BOOTSTRAP=docker
    BASE=nowhere

%files
    package /package

%post
    echo built > /made

%test
    read word < /made
    [ "$word" = built ]

%labels
    org.opencontainers.image.title tiny
"""

pytestmark = pytest.mark.timeout(6 * 3600)


@pytest.fixture(scope="module")
def apptainer():
    for name in ("apptainer", "singularity"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.fixture
def tiny(apptainer, tmp_path, monkeypatch):
    """A repository with one small definition, and a base directory that holds a shell."""
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "base"
    for name in ("bin", "lib", "lib64", "usr/lib", "proc", "sys", "dev", "tmp", "etc", "root", "run", "var/tmp"):
        (base / name).mkdir(parents=True, exist_ok=True)
    libraries = re.findall(r"/\S+", subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True).stdout)
    for file in ["/bin/sh", *libraries]:
        (base / file.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, base / file.lstrip("/"))
    (tmp_path / "containers").mkdir()
    (tmp_path / "package").mkdir()
    (tmp_path / "package/step.py").write_text("step = 1\n")
    (tmp_path / "containers/tiny.def").write_text(DEFINITION)
    return ["containers", "build", "--bootstrap", "localimage", "--base", str(base)]


def test_build_check_and_refuse(tiny, capsys):
    assert main(tiny) == 0
    assert "containers/tiny.sif: built" in capsys.readouterr().out
    inside = subprocess.run(
        ["apptainer", "exec", "containers/tiny.sif", "/bin/sh", "-c", "read word < /made; echo $word"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert inside.stdout == "built\n", inside.stderr
    assert main(["containers", "check"]) == 0
    Path("package/step.py").write_text("step = 2\n")
    assert main(["containers", "check"]) == 1
    assert "package/step.py changed since it was built" in capsys.readouterr().out
    assert main(tiny) == 0 and main(["containers", "check"]) == 0
    with open("containers/tiny.sif", "r+b") as image:
        image.seek(-1, os.SEEK_END)
        last = image.read(1)
        image.seek(-1, os.SEEK_END)
        image.write(bytes([last[0] ^ 1]))
    assert main(["containers", "check"]) == 1
    assert "the image has changed since it was built" in capsys.readouterr().out


def test_a_build_that_fails_leaves_no_image(tiny, capsys):
    Path("containers/tiny.def").write_text(DEFINITION.replace("echo built > /made", "exit 3"))
    assert main(tiny) == 2
    assert "containers/tiny.def: could not be built" in capsys.readouterr().err
    assert [path.name for path in Path("containers").iterdir()] == ["tiny.def"]
    Path("containers/tiny.def").write_text(DEFINITION.replace("= built ]", "= other ]"))
    assert main(tiny) == 2  # its own test fails
    assert not Path("containers/tiny.sif").exists()


def test_the_workflow_in_containers(apptainer, make_workspace, undisturbed, tmp_path):
    """Every step inside the images, none outside; a lease of a device is seen from inside as from outside."""
    names = containers.families(ROOT / "containers")
    reasons = [
        containers.stale(IMAGES / f"{name}.sif", ROOT / f"containers/{name}.def", ROOT, trust_time=True)
        for name in names
    ]
    if any(reasons):
        pytest.skip(f"the images of the model families are not built ({next(filter(None, reasons))})")
    workspace = make_workspace(tmp_path / "work")
    workspace.records = False  # each would hash an image of gigabytes
    (workspace.directory / "containers").symlink_to(IMAGES)
    for name in ("pyproject.toml", "constraints.txt", "ipcir_steps"):
        (workspace.directory / name).symlink_to(ROOT / name)
    leased = IMAGES / "analysis.sif"
    inside = ["apptainer", "exec", leased, "ipcir", "devices", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES; sleep 3"]
    environment = os.environ | {devices.LISTED: "g0,g1"}
    jobs = [subprocess.Popen(inside, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(job.communicate()[0] for job in jobs) == ["g0\n", "g1\n"]
    workspace.snakemake("--profile", "profiles/apptainer", "--apptainer-args", f"--nv --bind {ROOT},{IMAGES}", cores=4)
    assert workspace.results() == undisturbed.results()
    assert not (workspace.directory / "seen.txt").exists()  # the host's command was never called
