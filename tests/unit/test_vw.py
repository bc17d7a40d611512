from __future__ import annotations

import hashlib

import pytest

from bandit import vw
from bandit.errors import InvalidInputError, ModelRefusedError
from bandit.types import PolicySettings


@pytest.mark.parametrize(
    "argument",
    [
        "--final_regressor=/tmp/x", "-f", "--daemon", "--port=1",
        "--power_t", "--l2=1e-6", "--l1=1e-6", "--power_t=0 --daemon", "--power_t=x;y",
        "--bit_precision=30", "power_t=1", "--cache_file=/tmp/x", "", "--coin=1", "--predictions=/tmp/x",
    ],
)  # fmt: skip
def test_only_listed_arguments_pass(argument: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        vw.check(PolicySettings(vw_arguments=[argument]))
    assert refused.value.target == "policy.vw_arguments[0]"


def test_listed_arguments_reach_vw() -> None:
    settings = PolicySettings(vw_arguments=["--power_t=0.4", "--bit_precision=12"])
    model = vw.Model.untrained(settings)
    assert "--power_t=0.4" in vw.arguments(settings)
    model.close()


@pytest.mark.parametrize(
    "arguments", [["--ftrl_alpha=e"], ["--coin", "--ftrl"], ["--ftrl", "--ftrl_alpha=0"]]
)
def test_what_vw_itself_refuses_is_refused_at_once(arguments: list[str]) -> None:
    with pytest.raises(InvalidInputError, match="refusal") as refused:
        vw.check(PolicySettings(vw_arguments=arguments))
    assert refused.value.target == "policy"


def test_changed_bytes_are_refused_before_vw_sees_them() -> None:
    model = vw.Model.untrained(PolicySettings())
    data = model.to_bytes()
    model.close()
    sha256 = hashlib.sha256(data).hexdigest()
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(ModelRefusedError):
            vw.Model.from_bytes(bytes(changed), sha256, PolicySettings())
    with pytest.raises(ModelRefusedError):
        vw.Model.from_bytes(data[:-1], sha256, PolicySettings())


def test_a_prediction_that_is_no_distribution_is_refused() -> None:
    model = vw.Model.untrained(PolicySettings())
    with pytest.raises(ModelRefusedError, match="expected 2 finite expected rewards"):
        model.expected_rewards(["shared |c x:1", "|a a\n|a b", "|a c"])
    model.close()
