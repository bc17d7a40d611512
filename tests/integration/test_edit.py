"""`segbandit bandits edit` and the owner's other commands, on a real database, with real editors."""

from __future__ import annotations

import asyncio
import getpass
import json
import re
import stat
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner, Result

from bandit.errors import ConflictError, InvalidInputError, SegbanditError, SetupError
from cli.main import app
from tests.conftest import Step
from tests.integration.helpers import create, decide
from tests.integration.test_branches import DULL
from tests.integration.test_changes import changes
from tests.integration.test_learner import TERMINAL, play


async def bandits(
    url: str, *arguments: str, editor: Path | None = None, answers: str | None = None
) -> Result:
    """A command in a thread, for it brings an event loop of its own."""
    environment: dict[str, str | None] = {
        "DATABASE_URL": url,
        "COLUMNS": "200",
        "VISUAL": None,
        "EDITOR": str(editor) if editor else None,
    }
    return await asyncio.to_thread(
        CliRunner().invoke, app, ["bandits", *arguments], env=environment, input=answers
    )


async def now(client: httpx2.AsyncClient) -> dict[str, Any]:
    return dict((await client.get("/v1/bandits/hero")).json())


def written_editor(folder: Path, *steps: str) -> Path:
    """An editor that does one step each time it is opened: Python that changes `config`, or `text`."""
    path = folder / "editor"
    path.write_text(
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys\n"
        "file, count = pathlib.Path(sys.argv[-1]), pathlib.Path(__file__ + '.count')\n"
        "opened = int(count.read_text()) if count.exists() else 0\n"
        "count.write_text(str(opened + 1))\n"
        "text = file.read_text()\n"
        "config = None if 'not json' in text else json.loads(text)\n"
        f"exec({list(steps)!r}[opened])\n"
        "file.write_text(text if config is None else json.dumps(config))\n"
        "os.utime(file, (2e9, 2e9))  # saved later than it was opened, however fast\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def kept(ran: Result) -> dict[str, Any]:
    """What was written in an editor, out of the file that the command named."""
    found = re.search(r"What you wrote is kept in (.*)\.$", ran.output, re.MULTILINE)
    assert found, ran.output
    text = Path(found[1]).read_text()
    Path(found[1]).unlink()
    return dict(json.loads(text))


async def test_what_was_changed_in_the_editor_is_in_force(
    client: httpx2.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    before = await create(client)
    editor = written_editor(tmp_path, "config['mode'] = 'apprentice'; config['novelty'] = {'share': 0.2}")
    ran = await bandits(database_url, "edit", "hero", "--why", "a test", editor=editor)
    assert ran.exit_code == 0, ran.output
    assert 'mode: "online" -> "apprentice"' in ran.output
    assert "Configuration 2 is in force" in ran.output
    after = await now(client)
    differing = {name for name in after if after[name] != before[name]}
    assert differing == {"mode", "novelty", "config_version", "newest_version"}
    newest = (await changes(client))[0]
    assert (newest["who"], newest["why"], newest["what"]) == (getpass.getuser(), "a test", "changed")


async def test_what_was_not_changed_does_nothing(
    client: httpx2.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    before = await create(client)
    for editor in (written_editor(tmp_path, "pass", "pass"), Path("true")):
        ran = await bandits(database_url, "edit", "hero", editor=editor)
        assert (ran.exit_code, ran.output) == (0, "Nothing was changed.\n")
    ran = await bandits(database_url, "edit", "hero", "--set", "mode=online", "--set", "reward_wait=600")
    assert (ran.exit_code, ran.output) == (0, "Nothing was changed.\n")
    assert await now(client) == before
    assert len(await changes(client)) == 1


async def test_what_cannot_be_goes_back_into_the_editor(
    client: httpx2.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    await create(client)
    steps = [
        "config = None; text = 'not json'",
        "text = text.replace('not json', json.dumps({'mode': 'offline'}))",
        "config['mode'] = 'online'; config['default_reward'] = 2",
        "config = {'mode': 'apprentice'}",
    ]
    editor = written_editor(tmp_path, *steps)
    ran = await bandits(database_url, "edit", "hero", editor=editor, answers="y\ny\ny\n")
    assert ran.exit_code == 0, ran.output
    for said in ("body: expected JSON", "mode: ", "default_reward: expected a number within", "apprentice"):
        assert said in ran.output
    found = await now(client)
    assert (found["mode"], found["default_reward"], found["config_version"]) == ("apprentice", 0.0, 2)


async def test_who_gives_up_changes_nothing(
    client: httpx2.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    before = await create(client)
    editor = written_editor(tmp_path, "config['mode'] = 'offline'")
    ran = await bandits(database_url, "edit", "hero", editor=editor, answers="n\n")
    assert ran.exit_code == 1
    assert "Go on editing?" in ran.output
    assert kept(ran)["mode"] == "offline"
    assert await now(client) == before


@pytest.mark.parametrize("editor", ["false", "no-such-editor", "vi '"])
async def test_an_editor_that_fails_changes_nothing(
    client: httpx2.AsyncClient, database_url: str, editor: str
) -> None:
    before = await create(client)
    ran = await bandits(database_url, "edit", "hero", "--editor", editor)
    assert isinstance(ran.exception, SetupError)
    assert "Nothing was changed." in ran.exception.message
    assert await now(client) == before


async def test_bytes_that_are_no_text_are_refused(
    client: httpx2.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    before = await create(client)
    patch = tmp_path / "patch.json"
    patch.write_bytes(b'{"mode": "\xff"}')
    ran = await bandits(database_url, "edit", "hero", "--file", str(patch))
    assert isinstance(ran.exception, InvalidInputError)
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\ncat {patch} > "$1"; touch -d 2040-01-01 "$1"\n')
    editor.chmod(0o755)
    ran = await bandits(database_url, "edit", "hero", editor=editor, answers="n\n")
    assert ran.exit_code == 1
    assert "segbandit: " in ran.output
    assert await now(client) == before


async def test_without_an_editor_it_says_what_to_do(client: httpx2.AsyncClient, database_url: str) -> None:
    await create(client)
    ran = await bandits(database_url, "edit", "hero")
    assert isinstance(ran.exception, SegbanditError)
    assert "--set FIELD=JSON or --file" in ran.exception.message


async def test_single_fields_and_files(client: httpx2.AsyncClient, database_url: str, tmp_path: Path) -> None:
    await create(client)
    patch = tmp_path / "patch.json"
    patch.write_text(json.dumps({"reward_wait": 60, "terminal_kinds": ["buy"]}))
    assignments = [
        "mode=apprentice", "novelty.share=0.2", "actions.b.enabled=false", 'actions.d={"segment": "new"}',
        "actions.c=null", "actions.a.features.price=0.5",
    ]  # fmt: skip
    options = [option for one in assignments for option in ("--set", one)]
    ran = await bandits(database_url, "edit", "hero", "--file", str(patch), *options, "--who", "ada")
    assert ran.exit_code == 0, ran.output
    assert "actions: added d, removed c, changed a, b" in ran.output
    found = await now(client)
    assert (found["reward_wait"], found["terminal_kinds"], found["mode"]) == (60.0, ["buy"], "apprentice")
    assert found["novelty"]["share"] == 0.2
    assert [(a["action_id"], a["enabled"], a["segment"]) for a in found["actions"]] == [
        ("a", True, "one"), ("b", False, "two"), ("d", True, "new"),
    ]  # fmt: skip
    assert found["actions"][0]["features"] == {"price": 0.5}
    assert (await changes(client))[0]["who"] == "ada"


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("mode", "expected FIELD=JSON"),
        ("mode.x=1", 'within "online"'),
        ("terminal_kinds.0=buy", "set the whole of it"),
        ("speed=1", "is it misspelt?"),
        ("mode=offline", "mode: "),
        ("actions.b=7", "actions"),
        ("actions.bb.enabled=false", "that are there (a, b, c), got 'bb'; to add it"),
        ("constraints.season.floor=0.1", "that are there (none), got 'season'"),
        ("boosts.sale.multiplier=2", "that are there (none), got 'sale'"),
        ("exploration_floor=0", "exploration_floor: "),
    ],
)
async def test_what_cannot_be_set_is_refused(
    client: httpx2.AsyncClient, database_url: str, assignment: str, said: str
) -> None:
    before = await create(client)
    ran = await bandits(database_url, "edit", "hero", "--set", assignment)
    assert isinstance(ran.exception, SegbanditError)
    assert said in ran.exception.message
    assert await now(client) == before


async def test_nobodys_change_is_overwritten(
    client: httpx2.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    """While the editor is open somebody else changes the bandit."""
    await create(client)
    command = [sys.executable, "-m", "cli.main", "bandits", "pause", "hero"]
    editor = written_editor(
        tmp_path, f"import subprocess; subprocess.run({command!r}, check=True); config['mode'] = 'apprentice'"
    )
    ran = await bandits(database_url, "edit", "hero", editor=editor)
    assert isinstance(ran.exception, ConflictError)
    assert "somebody changed it meanwhile" in ran.exception.message
    assert kept(ran)["mode"] == "apprentice"
    found = await now(client)
    assert (found["paused"], found["mode"]) == (True, "online")
    assert [one["what"] for one in await changes(client)] == ["paused", "created"]


async def test_a_policy_becomes_a_candidate_and_the_command_says_so(
    client: httpx2.AsyncClient, database_url: str, learn: Step
) -> None:
    await create(client, **TERMINAL)
    await play(client, 5)
    await learn()
    rate = DULL["learning_rate"]
    ran = await bandits(database_url, "edit", "hero", "--set", f"policy.learning_rate={rate}")
    assert ran.exit_code == 0, ran.output
    assert "learned beside the live one first" in ran.output
    assert (await now(client))["candidate"]["policy"]["learning_rate"] == rate
    ran = await bandits(database_url, "edit", "hero", "--set", "policy.relearn=2")
    policy = (await now(client))["candidate"]["policy"]
    assert (policy["learning_rate"], policy["relearn"]) == (rate, 2), "on top of what was asked for last"
    for assignment in ("policy.relearn=8", "policy.learning_rate=0.04"):
        ran = await bandits(database_url, "edit", "hero", "--set", assignment)
        assert "Configuration" in ran.output, "set back, it is a change, though not of what is in force"
    assert (await now(client))["candidate"] is None


async def test_the_switches_and_what_they_say(client: httpx2.AsyncClient, database_url: str) -> None:
    await create(client)
    for arguments, said in [
        (("pause", "hero", "--why", "odd [figures]"), "is paused: a alone is served, by configuration 2."),
        (("pause", "hero"), "by configuration 2."),
        (("resume", "hero"), "hero is in mode online again, by configuration 3."),
        (("kill", "hero", "a"), "a is killed in hero, by configuration 4. The baseline is b."),
        (("kill", "hero", "--segment", "tow"), "no such segment: only what requests bring is meant by it. "
                                               "Did you mean two?"),
        (("revive", "hero", "a"), "a is not killed in hero, by configuration 6. The baseline is a."),
        (("archive", "hero"), "hero is out of service"),
    ]:  # fmt: skip
        ran = await bandits(database_url, *arguments)
        assert ran.exit_code == 0, ran.output
        assert said in ran.output
    ran = await bandits(database_url, "changes", "hero")
    whats = ["archived", "revived", "killed", "killed", "resumed", "paused", "created"]
    rows = [line for line in ran.output.splitlines() if line.startswith("│")]
    assert [row.split("│")[3].strip() for row in rows] == whats
    assert "odd [figures]" in rows[5]
    assert "killed_actions: added a" in rows[3]
    assert "archived" in (await bandits(database_url, "list")).output


async def test_a_paused_bandit_is_listed_as_such(client: httpx2.AsyncClient, database_url: str) -> None:
    await create(client)
    await bandits(database_url, "pause", "hero")
    await bandits(database_url, "kill", "hero", "b")
    assert "paused, 1 killed" in (await bandits(database_url, "list")).output
    assert (await decide(client))["mode"] in ("paused", "online"), "the other process hears of it in a moment"


@pytest.mark.parametrize("how", ["kill", "revive"])
async def test_what_to_kill_must_be_one_thing(database_url: str, how: str) -> None:
    for arguments in ([], ["a", "--segment", "one"]):
        ran = await bandits(database_url, how, "hero", *arguments)
        assert ran.exit_code == 2
        assert "expected an action's id or --segment" in ran.output


async def test_what_callers_write_is_shown_and_not_obeyed(
    client: httpx2.AsyncClient, database_url: str
) -> None:
    nasty = "\x1b]0;owned\x07 \u202e \x9b2J"
    await create(client, actions=[{"action_id": "a"}, {"action_id": f"b{nasty}"}])
    made = await decide(client, context={f"field{nasty}": f"value{nasty}"})
    await client.patch("/v1/bandits/hero", json={"mode": "apprentice", "who": f"me{nasty}", "why": nasty})
    outputs = [
        await bandits(database_url, *arguments)
        for arguments in (("changes", "hero"), ("show", "hero"), ("kill", "hero", f"b{nasty}"))
    ]
    outputs.append(
        await asyncio.to_thread(
            CliRunner().invoke, app, ["explain", made["decision_id"]], env={"DATABASE_URL": database_url}
        )
    )
    for ran in outputs:
        assert ran.exit_code == 0, ran.output
        assert not set(nasty.replace(" ", "")) & set(ran.output) - set("]0;owned2J")
    assert r"\u001b]0;owned\u0007 \u202e \u009b2J" in outputs[2].output


async def test_names_that_the_catalogue_does_not_have_are_said(
    client: httpx2.AsyncClient, database_url: str
) -> None:
    await create(client)
    floor = 'constraints.season={"actions": ["b", "bb"], "segments": ["one", "oen"], "floor": 0.01}'
    ran = await bandits(database_url, "edit", "hero", "--set", floor)
    assert ran.exit_code == 0, ran.output
    assert (
        "The catalogue has no action bb (constraints.season), segment oen (constraints.season)" in ran.output
    )
    ran = await bandits(database_url, "edit", "hero", "--set", "reward_wait=60")
    assert "The catalogue has no" not in ran.output, "said once"
    ran = await bandits(database_url, "edit", "hero", "--set", "actions.b=null")
    assert "The catalogue has no action b (constraints.season)" in ran.output


async def test_changes_at_80_columns_show_what_changed(client: httpx2.AsyncClient, database_url: str) -> None:
    await create(client)
    said = "alerts.action_share: null -> 0.05"
    ran = await bandits(database_url, "edit", "hero", "--set", "alerts.action_share=0.05")
    assert f"hero: {said}." in ran.output
    environment = {"DATABASE_URL": database_url, "COLUMNS": "80"}
    ran = await asyncio.to_thread(CliRunner().invoke, app, ["bandits", "changes", "hero"], env=environment)
    rows = [line.split("│") for line in ran.output.splitlines() if line.startswith("│")]
    assert said.replace(" ", "") in "".join(row[6] for row in rows).replace(" ", "")


async def test_what_show_prints_is_taken_as_a_file(
    client: httpx2.AsyncClient, database_url: str, learn: Step, tmp_path: Path
) -> None:
    await create(client, reward_wait=600, **TERMINAL)
    await play(client, 5)
    await learn()
    await client.patch("/v1/bandits/hero", json={"policy": DULL})
    before, file = await now(client), tmp_path / "hero.json"
    assert before["candidate"] is not None, "a policy asked for, not yet in force"
    shown = await bandits(database_url, "show", "hero")
    file.write_text(shown.output)
    ran = await bandits(database_url, "edit", "hero", "--file", str(file))
    assert (ran.exit_code, ran.output) == (0, "Nothing was changed.\n")
    assert await now(client) == before
    file.write_text(shown.output.replace('"reward_wait": 600.0', '"reward_wait": 60.0'))
    ran = await bandits(database_url, "edit", "hero", "--file", str(file))
    assert "hero: reward_wait: 600.0 -> 60.0." in ran.output
    file.write_text(shown.output.replace('"reward_wait": 600.0', '"reward_wait": 30.0'))
    ran = await bandits(database_url, "edit", "hero", "--file", str(file))
    assert isinstance(ran.exception, ConflictError), "it was changed since the file was written"
    assert (await now(client))["reward_wait"] == 60.0
    await create(client, bandit_key="other")
    ran = await bandits(database_url, "edit", "other", "--file", str(file))
    assert "reward_wait: 600.0 -> 30.0" in ran.output, "of another bandit, whose versions mean nothing here"
