"""The examples of docs/constraints.md are accepted as they stand, and one after the other too."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from api.schemas import BanditPatch
from bandit.catalogue import checked
from bandit.types import Action, BanditConfig

PAGE = Path(__file__).parents[2] / "docs" / "constraints.md"
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
CATALOGUE = BanditConfig(
    actions=[
        Action(action_id="base"),
        Action(action_id="summer", segment="bargain-hunters"),
        Action(action_id="new-in", segment="trend-setters"),
    ]
)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_accepted(example: str) -> None:
    patch = msgspec.json.decode(example, type=BanditPatch)
    fields = {name: getattr(patch, name) for name in msgspec.json.decode(example)}
    config = checked(msgspec.structs.replace(CATALOGUE, **fields))
    assert config != checked(CATALOGUE)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 7
