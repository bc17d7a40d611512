"""A storefront's hero banner: five variants, visitors of five hidden personas, known click probabilities.

Nobody sees a visitor's persona, only its traces in the context. What can be known before choosing is the
mixture of the personas given the context (Bayes' rule); a `Visitor` carries the click probabilities of that
mixture, and clicks are drawn from them. So the optimum is what a perfect reader of the context would earn:
reachable, not an oracle's figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bandit.sampling import draw
from bandit.types import Action, Features, Value

_Odds = Mapping[str, float]


class Persona(NamedTuple):
    """A kind of visitor; probabilities of a trace sum to 1."""

    #: Of all visitors, in (0, 1).
    share: float
    #: Click probability on each variant, in the order of VARIANTS.
    clicks: tuple[float, ...]
    #: How it comes and where it lands: trace -> value -> probability.
    traces: Mapping[str, _Odds]


#: One variant for each group of visitors it was made for.
VARIANTS = (
    Action(
        action_id="deal-of-the-day", segment="bargain-hunters", payload={"headline": "Up to 60 % off today"}
    ),
    Action(
        action_id="new-arrivals", segment="trend-setters", payload={"headline": "Just in: the new season"}
    ),
    Action(action_id="members-first", segment="loyal-regulars", payload={"headline": "Welcome back"}),
    Action(action_id="gift-guide", segment="gift-seekers", payload={"headline": "Gifts they will keep"}),
    Action(action_id="bestsellers", segment="window-shoppers", payload={"headline": "What everybody loves"}),
)


def _traces(source: str, landing: str, device: str, returning: float) -> Mapping[str, _Odds]:
    """Weights in one digit each, so that the table below can be read across."""
    return {
        "source": _odds(("email", "search", "social", "direct", "ads"), source),
        "landing": _odds(("sale", "new-in", "account", "gifts", "home"), landing),
        "device": _odds(("phone", "desktop", "tablet"), device),
        "returning": {"yes": returning, "no": 1.0 - returning},
    }


def _odds(values: tuple[str, ...], weights: str) -> _Odds:
    total = sum(int(weight) for weight in weights)
    return {value: int(weight) / total for value, weight in zip(values, weights, strict=True)}


PERSONAS = {
    "bargain-hunters": Persona(0.27, (0.42, 0.06, 0.05, 0.05, 0.11), _traces("52119", "91112", "532", 0.50)),
    "trend-setters": Persona(0.22, (0.05, 0.40, 0.03, 0.05, 0.12), _traces("11911", "19112", "911", 0.35)),
    "loyal-regulars": Persona(0.21, (0.09, 0.08, 0.42, 0.05, 0.11), _traces("81191", "11912", "252", 0.95)),
    "gift-seekers": Persona(0.14, (0.06, 0.04, 0.02, 0.40, 0.10), _traces("19111", "11192", "433", 0.10)),
    "window-shoppers": Persona(0.16, (0.04, 0.04, 0.02, 0.03, 0.15), _traces("13323", "11119", "631", 0.20)),
}
_TRACES = tuple(PERSONAS["bargain-hunters"].traces)
#: Depends on the device alone, so it adds nothing to what the device says.
_SYSTEMS = {"phone": ("ios", "android"), "desktop": ("windows", "macos"), "tablet": ("ios", "android")}


class Visitor(Value, frozen=True, kw_only=True):
    """Somebody about to see the banner."""

    #: Pseudonymous id.
    subject: str
    #: What is known before choosing: some of it tells, some of it is noise.
    context: Features
    #: By action_id, in [0, 1]: the true probability given the context.
    click_probability: dict[str, float]
    #: Uniform in [0, 1); fixed, so the outcome does not hang on when or how often it is asked for.
    luck: float

    def clicks(self, action_id: str) -> bool:
        """Whether this visitor clicks on that variant."""
        return self.luck < self.click_probability[action_id]

    @property
    def optimum(self) -> float:
        """Expected reward of the best choice."""
        return max(self.click_probability.values())

    @property
    def uniform(self) -> float:
        """Expected reward of a uniform choice."""
        return math.fsum(self.click_probability.values()) / len(self.click_probability)


class Storefront:
    """The stream of visitors; the same seed gives the same stream.

    >>> world = Storefront(seed=1)
    >>> visitor = world.visitor()
    >>> visitor == Storefront(seed=1).visitor()
    True
    >>> sorted(visitor.context)
    ['device', 'time', 'visit']
    >>> world.best_fixed
    'deal-of-the-day'
    """

    #: The variants to choose from.
    actions = VARIANTS

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = np.random.RandomState(seed)
        self._count = 0
        #: By action_id: expected reward per visitor, over all visitors; exact.
        self.expected = _mixture({name: persona.share for name, persona in PERSONAS.items()}, PERSONAS)
        #: The best single variant, over all visitors.
        self.best_fixed = max(self.expected, key=self.expected.__getitem__)

    def visitor(self, personas: Mapping[str, Persona] = PERSONAS) -> Visitor:
        """The next visitor; `personas`: as they are by now, where they change."""
        self._count += 1
        persona = personas[self._pick({name: persona.share for name, persona in personas.items()})]
        traces = {trace: self._pick(persona.traces[trace]) for trace in _TRACES}
        return Visitor(
            subject=f"visitor-{self._seed}-{self._count}",
            context=self._context(traces),
            click_probability=_mixture(_posterior(traces, personas), personas),
            luck=self._uniform(),
        )

    def _context(self, traces: Mapping[str, str]) -> Features:
        systems = _SYSTEMS[traces["device"]]
        return {
            "device": {"type": traces["device"], "os": systems[self._below(len(systems))]},
            "visit": {
                "source": traces["source"],
                "landing": traces["landing"],
                "returning": traces["returning"] == "yes",
                "pages_seen": 1 + self._below(6),
            },
            "time": {"hour": self._below(24), "weekend": self._uniform() < 2 / 7},
        }

    def _pick(self, odds: _Odds) -> str:
        return list(odds)[draw(list(odds.values()), self._uniform())]

    def _below(self, count: int) -> int:
        return int(self._uniform() * count)

    def _uniform(self) -> float:
        return float(self._random.random_sample())


def _posterior(traces: Mapping[str, str], personas: Mapping[str, Persona]) -> _Odds:
    """Probability of each persona given its traces, which are independent given the persona."""
    joint = {
        name: persona.share * math.prod(persona.traces[trace][value] for trace, value in traces.items())
        for name, persona in personas.items()
    }
    total = math.fsum(joint.values())
    return {name: weight / total for name, weight in joint.items()}


def _mixture(odds: _Odds, personas: Mapping[str, Persona]) -> dict[str, float]:
    return {
        action.action_id: math.fsum(share * personas[name].clicks[index] for name, share in odds.items())
        for index, action in enumerate(VARIANTS)
    }
