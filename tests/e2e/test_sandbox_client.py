"""The official client that the npm registry has, as it is, against the stand-in: every call, and its own tests."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from harness import BUILD, WAIT

HERE = pathlib.Path(__file__).resolve().parent / "scaleapi"
PACKAGES = ("scaleapi@2.3.2", "mocha@3.5.3", "chai@3.5.0", "async@2.6.4")


@pytest.fixture(scope="module")
def client():
    """The folder with the client, installed once."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("SKIPPED, and so untested: the official client, because npm or node is not installed")
    folder = BUILD.parent / "scaleapi"
    if not (folder / "node_modules/mocha").is_dir():
        folder.mkdir(exist_ok=True)
        (folder / "package.json").write_text("{}")
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES], cwd=folder,
                              capture_output=True, text=True, timeout=10 * WAIT)
        if done.returncode != 0:
            shutil.rmtree(folder)
            pytest.skip(f"SKIPPED, and so untested: the official client, because npm says {done.stderr[-300:]}")
    return folder


def node(client, sandbox, *arguments):
    return subprocess.run(["node", "--require", str(HERE / "redirect.js"), *map(str, arguments)], capture_output=True,
                          text=True, timeout=2 * WAIT, cwd=client,
                          env={**os.environ, "SCALE_CLIENT": str(client), "SCALE_API_URL": sandbox.url,
                               "SCALE_TEST_API_KEY": "test_made_up", "NODE_NO_WARNINGS": "1"})


TYPES = ("Categorization", "Comparison", "Datacollection", "Transcription", "Audiotranscription", "Annotation",
         "Polygonannotation", "Lineannotation", "Pointannotation", "Cuboidannotation", "Segmentannotation")


def test_every_call(client, sandbox):
    done = node(client, sandbox, HERE / "calls.js")
    assert done.returncode == 0, done.stderr
    came = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    result = {name: line["result"] for name, line in came.items()}
    error = {name: line["error"] for name, line in came.items()}

    for type in TYPES:
        task = result[f"create {type}"]
        assert task["status"] == "pending" and task["type"] == type.lower() and task["is_test"] and task["id"], came
        assert error[f"fail {type}"]["code"] == 400 and error[f"fail {type}"]["isException"]
        assert error[f"fail {type}"]["message"].startswith("Please provide ")
    assert result["create Annotation"]["params"]["min_width"] == 30
    assert result["create Transcription"]["params"]["repeatable_fields"] == {"b": "B"}
    assert result["createTask"]["type"] == "categorization"
    assert error["createTask unknown"]["code"] == 404

    assert result["done"]["status"] == "pending" and result["refresh"]["status"] == "completed"
    assert error["cancel done"]["code"] == 500
    assert result["fetchTask"]["metadata"] == {"a": "b"} and result["fetchTask"]["status"] == "pending"
    assert result["cancelTask"]["status"] == "canceled"
    for name in ("fetchTask unknown", "cancelTask unknown"):
        assert (error[name]["code"], error[name]["message"]) == (404, "Task not found")

    assert result["tasks"]["total"] == len(result["tasks"]["docs"]) == len(TYPES) + 3
    assert set(result["tasks"]) == {"docs", "total", "limit", "offset", "has_more"}
    assert [doc["task_id"] for doc in result["tasks filtered"]["docs"]] == [result["open"]["id"]]
    assert error["tasks bad"]["code"] == 400
    assert error["no key"]["code"] == 401


def test_its_own_tests(client, sandbox):
    done = node(client, sandbox, "node_modules/mocha/bin/_mocha", "--reporter", "json",
                "node_modules/scaleapi/test/test_client.js")
    said = json.loads(done.stdout[done.stdout.index("{"):])
    assert said["stats"]["failures"] == 0 and said["stats"]["passes"] >= 25, (said["failures"], done.stderr)
