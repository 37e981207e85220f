"""`systemctl reload` of either daemon: done when it is done, failed when it is refused, and what is said then."""

import os
import pathlib

import pytest

from conftest import KEY, KEYS, callback, eventually, run
from test_submitd import API_KEY, sandbox, submitter, write_key  # noqa: F401: fixtures

BAD = pathlib.Path("/etc/scale/scale.conf.d/bad.conf")


def said(unit, before):
    return [e["MESSAGE"] for e in unit.journal(before) if e.get("SYSLOG_IDENTIFIER") == unit.name.removesuffix(".service")]


def refused(unit, *words):
    """A reload fails, the journal has each of these, and so has the first of them the status, until it is mended."""
    pid, before = unit.pid, unit.cursor()
    unit.systemctl("reload", status=1)
    messages = said(unit, before)
    for word in words:
        assert any(m.startswith("Not reloaded") and word in m for m in messages), (word, messages)
    assert not any("/run/" in m for m in messages), messages
    assert unit.pid == pid and unit.get("ActiveState") == "active"
    for _ in range(2):  # the figures of a later moment don't hide it
        text = unit.get("StatusText")
        assert "The last reload was refused" in text and words[0] in text, text
        eventually(lambda: unit.get("StatusText") != text or words[0] in text, "a status")
    assert KEY not in text and "another-made-up" not in text


@pytest.fixture
def mended(receiver):
    yield
    BAD.unlink(missing_ok=True)
    receiver.write_keys(f"live {KEY}\n")
    write_key("live_made_up_key_1")


def test_a_reload_that_is_refused_fails_and_names_what_was_edited(receiver, mended):
    receiver.write_keys(f"live {KEY}\nlive another-made-up-key\n")
    refused(receiver, "/etc/credstore/callback-auth-keys, line 2: this label")
    BAD.write_text("[callback]\nstrict = perhaps\n")
    refused(receiver, "bad.conf, line 2: [callback] strict", "/etc/credstore/callback-auth-keys, line 2: this label")
    assert receiver.post(callback()).status == 200

    BAD.unlink()
    receiver.write_keys(f"live {KEY}\nnext another-made-up-key\n")
    receiver.systemctl("reload")
    assert "refused" not in receiver.get("StatusText")
    assert receiver.post(callback(), key="another-made-up-key").status == 200


def test_a_submitter_that_refuses_says_so(submitter, mended):  # noqa: F811
    write_key("a made up key")
    BAD.write_text("[api]\nrate = fast\nsettle = soon\n")
    refused(submitter, "bad.conf, line 2: [api] rate", "bad.conf, line 3: [api] settle", "/etc/credstore/api-key: ")
    BAD.unlink()
    write_key("live_made_up_key_1")
    submitter.systemctl("reload")
    assert "refused" not in submitter.get("StatusText")


def test_a_reload_says_what_the_daemon_says(receiver, mended):
    """When it returns, what it brought is in force: without waiting, and again and again."""
    for n in range(20):
        receiver.write_keys(f"live {KEY}\nnext made-up-key-number-{n}\n")
        receiver.systemctl("reload")
        assert receiver.post(callback(), key=f"made-up-key-number-{n}").status == 200
        receiver.write_keys("live\n")
        receiver.systemctl("reload", status=1)
        assert receiver.post(callback(), key=f"made-up-key-number-{n}").status == 200


def test_signals_beside_reloads(receiver, mended):
    """Somebody sends SIGHUP all the while: every reload has its answer."""
    for n in range(20):
        os.kill(receiver.pid, 1)
        receiver.systemctl("reload")
        os.kill(receiver.pid, 1)
    assert "refused" not in receiver.get("StatusText")
    assert sorted(os.listdir("/run/scale-callbackd-private")) == ["callback-auth-keys"]


def test_the_copy_is_for_the_daemon_alone(receiver):
    receiver.systemctl("reload")
    copy = pathlib.Path("/run/scale-callbackd-private/callback-auth-keys")
    assert oct(copy.stat().st_mode & 0o7777) == "0o400" and copy.owner() == "scale-callbackd"


def test_by_hand_it_says_what_it_is_for():
    assert "systemctl reload" in run("sh", "-c", "scale-callbackd --reload 2>&1", status=None)
    run("scale-submitd", "--reload", status=64)


@pytest.mark.parametrize("program", ["scale-callbackd", "scale-submitd"])
def test_check_config_names_all_that_keeps_it_from_starting(receiver, mended, program):
    run(program, "--check-config")
    keys = {"scale-callbackd": KEYS, "scale-submitd": API_KEY}[program]
    keys.write_text("not, a key\n")
    BAD.write_text("[store]\npath = /nowhere/scale.db\nmin_fre = 1M\n[reconcile]\ninterval = often\n")
    text = run("sh", "-c", f"{program} --check-config 2>&1; echo status $?")
    for words in ("bad.conf, line 3: there is no setting min_fre", "bad.conf, line 5: [reconcile] interval", str(keys),
                  "status 78"):
        assert words in text, (words, text)
    BAD.write_text("[store]\npath = /nowhere/scale.db\n")
    text = run("sh", "-c", f"{program} --check-config 2>&1; echo status $?")
    for words in ("/nowhere: No such file or directory", str(keys), "status 78"):
        assert words in text, (words, text)
    keys.unlink()
    assert "/etc/credstore/" in run("sh", "-c", f"{program} --check-config 2>&1; echo status $?")
    text = run("scalectl", "-o", "submit.callback_url=https://hooks.example.com/callback", "check-config", status=78)
    assert "there is no key" in text
