"""Policies by name, as a command line gives them."""

from __future__ import annotations

import csv
import importlib
import sys
from pathlib import Path

import msgspec

from bandit.errors import SetupError
from bandit.types import SHOWN_BESIDE, BanditConfig, PolicySettings
from bandit.vw import check
from simulations.policies import targets as policies
from simulations.policies.targets import (
    Choose,
    Fixed,
    Function,
    Learning,
    SegmentTable,
    Target,
    TheLogged,
    Unboosted,
)

FORMS = """\
logged                  what wrote the log
unboosted               the same without boosts, where the log carries them
uniform                 every action alike
fixed:ACTION[,ACTION]   always this action; where it is not offered, the next one
default                 our default settings, learned along the log
FILE.json               a policy's settings, or a bandit's configuration with all that steers it (as
                        `segbandit bandits show` prints it), learned along the log
FILE.csv                a segment table: columns named like context fields, and a column `action`
MODULE:FUNCTION         a Python callable: (context, actions) -> one probability per action"""


def target(given: str | Choose, reward_range: tuple[float, float]) -> Target:
    """The policy that a name stands for, in one of `FORMS`, or a callable; learning ones begin anew.

    Raises:
        SetupError: it stands for none.

    >>> target("fixed:b,a", (0.0, 1.0)).name
    'fixed:b,a'
    """
    if callable(given):
        return Function(getattr(given, "__name__", type(given).__name__), given)
    return _named(given, reward_range)


def _named(name: str, reward_range: tuple[float, float]) -> Target:
    kind, colon, rest = name.partition(":")
    if name == "logged":
        return TheLogged()
    if name == "unboosted":
        return Unboosted()
    if name == "uniform":
        return policies.uniform()
    if name == "default":
        return Learning(name, PolicySettings(), reward_range)
    if kind == "fixed" and rest:
        return Fixed(*rest.split(","))
    if name.endswith(".json"):
        return _configured(Path(name), reward_range)
    if name.endswith(".csv"):
        return _table(Path(name))
    if kind == "model":
        raise SetupError(f"{name}: expected a bandit whose model this is; name it with --bandit.")
    if colon and rest:
        return _function(name, kind, rest)
    raise SetupError(f"expected a policy, got {name!r}; a policy is one of:\n{FORMS}")


def _configured(path: Path, reward_range: tuple[float, float]) -> Target:
    try:
        data = path.read_bytes()
        fields = msgspec.json.decode(data, type=dict[str, object])
        if "actions" in fields:
            config = {name: value for name, value in fields.items() if name not in SHOWN_BESIDE}
            return policies.of_config(path.stem, msgspec.convert(config, BanditConfig), reward_range)
        settings = msgspec.json.decode(data, type=PolicySettings)
    except (OSError, msgspec.MsgspecError) as error:
        raise SetupError(
            f"{path}: expected a policy's settings, such as {{\"learning_rate\": 0.1}}, or a bandit's "
            f"configuration as JSON, got {error}."
        ) from error
    check(settings)
    return Learning(path.stem, settings, reward_range)


def _table(path: Path) -> Target:
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, restkey="", restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"{path}: expected a segment table as CSV, got {error}.") from error
    if not rows or not all(row.get("action") for row in rows) or any("" in row for row in rows):
        raise SetupError(
            f"{path}: expected a CSV with a header that names context fields and `action`, and as many cells "
            f"in each row, an action among them, got {rows[:1]}. An empty cell means any value."
        )
    rules = [({f: v for f, v in row.items() if f != "action" and v}, row["action"]) for row in rows]
    return SegmentTable(path.stem, rules)


def _function(name: str, module: str, function: str) -> Target:
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module in the folder where the command is run
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise SetupError(
            f"{name}: expected a function in a Python module that can be imported from here, got {error}."
        ) from error
    return Function(name, found)
