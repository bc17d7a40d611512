"""Each command of the owner's pages is run as it stands, one after the other, on the demo bandit."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import cloned_database
from tests.processes import serving


def commands(page: str, kind: str = "sh") -> str:
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    return "\n".join(re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL))


COMMANDS = commands("steering.md", "sh steering")
HERO = "/v1/bandits/storefront-hero"
OURS = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONWARNINGS": "error",
    "COLUMNS": "200",
    "EDITOR": "true",  # opens, and changes nothing
}


@pytest.fixture(scope="module")
def steered(server_url: str, template: str) -> dict[str, Any]:
    """What the pages' commands said, the demo bandit afterwards, and its changes, oldest first."""
    with cloned_database(server_url, template) as database_url, serving(database_url) as service:
        environment = os.environ | OURS | {"DATABASE_URL": database_url}

        def run(script: str) -> str:
            done = subprocess.run(
                ["bash", "-euc", script.replace("http://127.0.0.1:8080", service.url)], env=environment,
                capture_output=True, text=True, timeout=400, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            return done.stdout

        run(f"segbandit demo --url {service.url} --visitors 200")
        said = run(COMMANDS)
        explained, alerts = run(commands("explanation.md")), run(commands("alerts.md"))
        with httpx2.Client(base_url=service.url) as http:
            changes = http.get(f"{HERO}/changes").json()["changes"]
            return {
                "said": said, "explained": explained, "alerts": alerts,
                "bandit": http.get(HERO).json(), "changes": changes[::-1],
            }  # fmt: skip


def test_every_command_did_what_it_says(steered: dict[str, Any]) -> None:
    said = steered["said"]
    for expected in (
        "gift-guide is killed in storefront-hero, by configuration 2. The baseline is deal-of-the-day.",
        "storefront-hero is paused: deal-of-the-day alone is served",
        "storefront-hero is in mode online again",
        "Nothing was changed.",
        "actions: added weekend",
        "constraints: added season",
        "boosts: added overstock",
        "No open alerts.",
        "why-this",
        "reward events, made again: the same, bit for bit.",
    ):
        assert expected in said
    assert said.count("Nothing was changed.") == 1, "each other edit changes something"


def test_the_page_on_explanations(steered: dict[str, Any]) -> None:
    said = steered["explained"]
    for expected in (
        '"decision_id":"why-1"',
        '"sentence":"This was chosen ',
        "storefront-hero chose ",
        '"verdict":"Not enough yet: 0 of at least 100 decisions were counted."',
        "Not enough yet: 0 of at least 100 decisions were counted.\n",  # by the command
        '"constraints":[{"name":"careful","actions":["a"],"segments":[],"floor":0.8,',
    ):
        assert expected in said


def test_the_page_on_alerts(steered: dict[str, Any]) -> None:
    assert steered["alerts"].count("No open alerts.") == 2
    assert '"open":[],"past":[]' in steered["alerts"]


def test_every_change_of_the_page_is_recorded_with_its_reason(steered: dict[str, Any]) -> None:
    changes = steered["changes"]
    assert changes[0]["what"] == "created"
    assert [one["what"] for one in changes[1:11]] == [
        "killed", "killed", "revived", "revived", "paused", "resumed",
        "killed", "revived", "paused", "resumed",
    ]  # fmt: skip
    assert {one["what"] for one in changes[11:]} == {"changed"}
    reasons = re.findall(r'--why "(.*?)"', COMMANDS)
    reasons.remove("a look around")  # which changed nothing
    by_command = [one["why"] for one in changes if one["who"] == getpass.getuser()]
    assert by_command == reasons
    versions = [one["config_version"] for one in changes]
    assert versions == sorted(versions), (
        "a candidate of a policy is not in force, so its number is passed over"
    )
    assert any(one["who"] == "ada" for one in changes)


def test_what_the_page_leaves_behind(steered: dict[str, Any]) -> None:
    bandit = steered["bandit"]
    assert (bandit["mode"], bandit["paused"], bandit["baseline_action"]) == ("online", False, "bestsellers")
    assert bandit["killed_actions"] == bandit["killed_segments"] == bandit["boosts"] == []
    assert (bandit["reward_wait"], bandit["exploration_floor"], bandit["novelty"]) == (600.0, 0.02, None)
    assert len(bandit["actions"]) == 5
    (members,) = bandit["constraints"]
    assert members["eligible_if"] == "context.visit.returning"
    shown = steered["said"].rpartition('{"bandit_key"')[2]
    page = json.loads('{"bandit_key"' + shown.partition("\n")[0].partition("storefront-hero:")[0])
    assert [one["why"] for one in page["changes"]] == [
        "tell me of each banner", "not that fast", "fashions change"
    ]  # fmt: skip
