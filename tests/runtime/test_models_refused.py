"""Fetching: what a hub, a network or a disk refuses is one message each."""

import json
import shutil

import pytest

from tests.runtime.fetching import models, refused


def test_a_gated_model_needs_a_token_which_goes_nowhere_else(small, tmp_path):
    small.gated.add("me/model")
    assert "the repository is gated: an account has to accept its conditions at http://127.0.0.1" in refused(
        small, tmp_path
    )
    assert "That of the access token that HF_TOKEN" in refused(small, tmp_path, token="hf_other")
    done = models(small, tmp_path, token="hf_right")
    assert done.returncode == 0, done.stderr
    assert small.tokens == {"hub": {None, "hf_other", "hf_right"}, "storage": {None}}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hf_right" not in written and "hf_right" not in done.stderr


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (
            404,
            {"X-Error-Code": "RepoNotFound"},
            "has no such repository (stacks.NAME.models.m.source), or it is private",
        ),
        (
            401,
            {},
            "(stacks.NAME.models.m.source), or it is private and it needs an access token in HF_TOKEN",
        ),
        (404, {}, "has no such repository"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "there is no such revision (stacks.NAME.models.m.revision)"),
        (403, {}, "the hub refuses (status 403). Does an access token in HF_TOKEN give access?"),
        (429, {}, "the hub has had too many requests. Wait some minutes or set HF_TOKEN"),
        (503, {}, "the hub has a fault (status 503). Run again later"),
    ],
)
def test_each_refusal_is_one_message(small, tmp_path, status, headers, expected):
    small.status["me/model"] = (status, headers)
    message = refused(small, tmp_path)
    assert "model stacks.NAME.models.m: me/model@main: " in message and expected in message


def test_a_token_that_is_no_longer_valid_is_told(small, tmp_path):
    small.status["me/model"] = (401, {"X-Error-Message": "Invalid credentials in Authorization header"})
    message = refused(small, tmp_path, token="hf_old")
    assert "the hub does not accept the access token that HF_TOKEN or `hf auth login` gave. Make a new one" in message
    assert "hf_old" not in message


def test_other_ways_to_fail_are_one_message_too(small, tmp_path):
    assert "me/other@main: http://127.0.0.1" in refused(small, tmp_path, "me/other")
    assert "there is no such revision" in refused(small, tmp_path, revision="v2")
    of_a_rule = refused(small, tmp_path, "me/other", "--key", "stacks.published.models.llm")
    assert "has no such repository (stacks.published.models.llm.source)" in of_a_rule
    assert "is no repository of a hub (stacks.NAME.models.m.source). Is a local path misspelt?" in refused(
        small, tmp_path, "a/b/c"
    )
    assert "needs a pinned revision" in refused(small, tmp_path, revision="")
    small.repositories["me/empty"] = {"README.md": b""}
    assert "me/empty holds no model.safetensors" in refused(small, tmp_path, "me/empty")
    small.page = "<html>please log in to the hotel's network</html>"
    assert "does not answer as a model hub does. Is HF_ENDPOINT right?" in refused(small, tmp_path)


def test_a_mirror_without_the_file_is_told(small, tmp_path):
    small.absent.add(("me/model", "model.safetensors"))
    message = refused(small, tmp_path)
    assert "model.safetensors of me/model@" in message and "Is the mirror in HF_ENDPOINT complete?" in message


def test_without_a_network_the_remedy_is_told(small, tmp_path):
    small.address = "http://127.0.0.1:9"
    message = refused(small, tmp_path)
    assert "http://127.0.0.1:9 cannot be reached" in message
    assert "Run `snakemake prefetch` where there is a network, set HF_ENDPOINT to a mirror" in message


def test_a_disk_that_is_too_small_is_told_before(small, tmp_path):
    small.sizes["me/model", "model.safetensors"] = 10**18
    message = refused(small, tmp_path)
    assert "1000000.0 TB are to be fetched and only" in message and "Free disk space" in message
    assert ("me/model", "model.safetensors") not in small.sent


def test_files_from_elsewhere_are_neither_used_nor_removed(small, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/added_tokens.json").write_text("{}")
    assert "holds files that are not among those of me/model" in refused(small, tmp_path)
    assert (tmp_path / "m/added_tokens.json").exists()
    shutil.rmtree(tmp_path / "m")
    assert models(small, tmp_path).returncode == 0


@pytest.mark.parametrize("name", ["../outside.safetensors", "/tmp/outside.safetensors", "a/../../outside.safetensors"])
def test_no_path_of_a_hub_leads_out_of_the_directory(small, tmp_path, name):
    index = json.dumps({"weight_map": {"a": name}}).encode()
    small.repositories["me/model"] = {"config.json": b"{}", "model.safetensors.index.json": index, name: b"evil"}
    assert "leaves the directory" in refused(small, tmp_path)
    assert not list(tmp_path.rglob("*outside*"))
