"""How the tests of ``ipcir models`` fetch a small model from a hub on loopback."""

FILES = {"config.json": b'{"width": 8}\n', "model.safetensors": bytes(range(256)) * 400, "README.md": b"a card"}
WANTED = ("config.json", "model.safetensors")


def words(directory, source="me/model", *more, revision="main", role="vision", name="m"):
    options = {"--name": name, "--source": source, "--revision": revision, "--role": role}
    options |= {"--directory": directory / name, "--output": directory / f"{name}.json"}
    return [str(word) for option in options.items() for word in option] + [str(word) for word in more]


def models(hub, directory, *more, token=None, **options):
    return hub.fetch(*words(directory, *more, **options), home=directory / "home", token=token)


def refused(hub, directory, *more, **options):
    """The one message of a fetch that must fail."""
    done = models(hub, directory, *more, **options)
    assert done.returncode == 2 and not (directory / "m.json").exists(), done.stderr
    [message] = [line for line in done.stderr.splitlines() if line.startswith("ipcir models: error: ")]
    assert "Traceback" not in done.stderr
    return message
