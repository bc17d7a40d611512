"""Why a decision came out as it did, as a value, and in one sentence for the person concerned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from bandit.types import ServedMode, Side, Value

Reshaper = Literal["boost", "constraint", "novelty", "newcomers", "exploration_floor"]
#: The sentence names so many fields at most, and none that spoke for it less than this share of the first.
_MOST_NAMED, _LEAST_SHARE = 3, 0.1
_LONGEST_VALUE = 60
_TO_LEARN = "This was chosen by chance, to learn how well it does."
#: What has a lower probability is there mostly by chance.
_MOSTLY = 0.5
_OWNERS = "those who run this service"
_WHY: dict[Reshaper, str] = {
    "boost": f"{_OWNERS} want it to be shown more at the moment",
    "constraint": f"{_OWNERS} have set how often it is shown",
    "novelty": "it was not shown here lately",
    "newcomers": "it is new and is being tried",
}


class Moved(Value, frozen=True, kw_only=True):
    """What one field did to the score of the chosen action, beside that of the other one."""

    #: As it was sent, dots between levels; of the chosen action: `action.segment`, `action.features.topic`.
    feature: str
    side: Side = "context"
    #: A string, number or boolean; of a list each item stands by itself.
    value: Any
    #: The chosen action's score less the other one's, and of that what is gone when the field is left out.
    moved_by: float


class Reshaped(Value, frozen=True, kw_only=True):
    """What one part of the configuration did to the probability of the chosen action."""

    kind: Reshaper
    #: Of the boost or constraint.
    name: str | None = None
    #: The probability, less what it would have been without this part.
    moved_by: float


class Compared(Value, frozen=True, kw_only=True):
    """Another action that was offered."""

    action_id: str
    score: float


class Explanation(Value, frozen=True, kw_only=True):
    """Why a decision came out as it did. Effects need not add up: fields, and rules, work together."""

    decision_id: str
    bandit_key: str
    action_id: str
    segment: str | None
    #: One plain sentence that can be shown to the person concerned.
    sentence: str = ""
    mode: ServedMode
    model_version: int
    config_version: int
    #: With which the action was drawn.
    probability: float
    #: Whether a more probable action was passed over.
    explored: bool
    #: Whether the caller chose, and told what it chose.
    chosen_by_caller: bool
    #: How many actions could be chosen, of how many; constraints and the request excluded the rest.
    offered: int
    actions: int
    #: Before boosts, and before all that reshapes what the policy wants. Null: the model had no say.
    probability_without_boosts: float | None = None
    probability_by_policy: float | None = None
    #: Whether the policy wanted nothing more than this action, and whether it wanted all of them alike.
    favoured: bool = False
    alike: bool = False
    reshaped_by: list[Reshaped] = []
    #: What the model expected of the action, in units of the reward; for bag, cover and regcb, which expect
    #: nothing of a single action, the policy's probability. Null: the model had no say.
    score: float | None = None
    #: The baseline action; where that was chosen or not offered, the best one of the others. Null: no other.
    compared_with: Compared | None = None
    #: What the whole context moved (score - the other score): what is gone without any of it.
    context_moved_by: float = 0.0
    #: What moved (score - the other score), most first; exact, by leaving each field out in the very model
    #: that chose, as if it had not been sent. That also changes the weight of those that are left, and a
    #: context of 65 fields is no wide one any more without any of them.
    features: list[Moved] = []


def sentence(found: Explanation, nameable: Sequence[str] | None = None) -> str:
    """The explanation for the person concerned: no jargon, and of the context only what spoke for the action.

    `nameable`: fields that may be named, each with all below it; None: all. It is text, not HTML: values are
    in it as they were sent.

    >>> asked = dict(decision_id="d", bandit_key="hero", action_id="a", segment=None, model_version=1,
    ...              config_version=1, probability=0.9, explored=False, chosen_by_caller=False, actions=2)
    >>> asked["context_moved_by"] = 0.1
    >>> sentence(Explanation(**asked, mode="online", offered=2, favoured=True, features=[
    ...     Moved(feature="device.os", value="ios", moved_by=0.1)]))
    'This was chosen because it best suits what is known here: device os: ios.'
    >>> sentence(Explanation(**asked, mode="online", offered=2, favoured=True, features=[
    ...     Moved(feature="device.os", value="ios", moved_by=0.1)]), ["visit"])
    'This was chosen because it best suits what is known here.'
    >>> sentence(Explanation(**asked, mode="paused", offered=2))
    'This is the standard choice, because choosing for each person is paused at the moment.'
    """
    if found.chosen_by_caller:
        return "This was chosen elsewhere, and is only recorded here."
    if found.offered == 1:
        return "This was the only one that could be shown."
    match found.mode:
        case "apprentice":
            return "This is the standard choice, because nothing is chosen for each person yet."
        case "logging_only":
            return "This is the standard choice, because choices are made elsewhere and only recorded here."
        case "paused":
            return "This is the standard choice, because choosing for each person is paused at the moment."
        case "fallback":
            return (
                "This is the standard choice, because choosing for each person did not work at that moment."
            )
        case "online":
            return _chosen(found, nameable)


def _chosen(found: Explanation, nameable: Sequence[str] | None) -> str:
    raised = max(found.reshaped_by, key=lambda one: one.moved_by, default=None)
    if raised is not None and raised.moved_by <= 0.0:
        raised = None
    if found.alike and raised is None:
        return "This was chosen by chance, because nothing speaks for one choice more than for another now."
    by_itself = found.favoured and not found.alike
    if raised is not None and raised.kind == "exploration_floor" and not by_itself:
        return _TO_LEARN
    if found.explored and not by_itself:
        if raised is not None and raised.moved_by >= found.probability / 2:
            return f"This was chosen by chance; it comes up more often because {_WHY[raised.kind]}."
        return _TO_LEARN
    if not by_itself:
        why = _WHY[raised.kind] if raised else f"{_OWNERS} have set rules for what is shown"
        if found.probability < _MOSTLY:
            return f"This was chosen by chance; it comes up more often because {why}."
        return f"This was chosen because {why}."
    return f"This was chosen {_for_itself(found, nameable)}{_also(raised)}."


def _for_itself(found: Explanation, nameable: Sequence[str] | None) -> str:
    """Why the policy wanted nothing more than this, and whether that was mostly chance all the same."""
    # What was excluded may do better, and may have been excluded for whom it is for.
    narrowed = found.offered < found.actions
    if _mostly_chance(found):
        how = f"by chance among several{' that could be shown here' if narrowed else ''}, of which it"
    else:
        how = "because, of what could be shown here, it" if narrowed else "because it"
    spoke = list(_spoke_for(found))
    if not spoke or found.context_moved_by <= 0.0:
        return f"{how} is expected to do best{'' if narrowed else ' in general, whoever it is for'}"
    named = [_in_words(one) for one in spoke if nameable is None or _among(one.feature, nameable)]
    return f"{how} best suits what is known here" + (f": {_listed(named)}" if named else "")


def _mostly_chance(found: Explanation) -> bool:
    """Whether exploration, the policy's own and the floor's, left it less than `_MOSTLY`."""
    by_floor = sum(one.moved_by for one in found.reshaped_by if one.kind == "exploration_floor")
    return found.probability_by_policy is not None and found.probability_by_policy + by_floor < _MOSTLY


def _among(feature: str, nameable: Sequence[str]) -> bool:
    return any(feature == field or feature.startswith(f"{field}.") for field in nameable)


def _also(raised: Reshaped | None) -> str:
    return f", and because {_WHY['boost']}" if raised is not None and raised.kind == "boost" else ""


def _spoke_for(found: Explanation) -> Iterator[Moved]:
    """What is known of the person that spoke most for the action."""
    spoke = [one for one in found.features if one.side == "context" and one.moved_by > 0.0]
    for one in spoke[:_MOST_NAMED]:
        if one.moved_by >= _LEAST_SHARE * spoke[0].moved_by:
            yield one


def _in_words(one: Moved) -> str:
    name = " ".join(one.feature.replace(".", " ").replace("_", " ").split())
    value = one.value
    if isinstance(value, bool):
        return f"{name}: {'yes' if value else 'no'}"
    if isinstance(value, str):
        text = " ".join(value.split())
        return f"{name}: {text}" if 0 < len(text) <= _LONGEST_VALUE else name
    # A fraction is rarely something that people know of themselves.
    return f"{name}: {int(value)}" if float(value).is_integer() else name


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else "; ".join(parts[:-1]) + " and " + parts[-1]
