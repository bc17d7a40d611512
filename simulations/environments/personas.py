"""The storefront's visitors as an environment: they stay as they are, or drift, or leave unclear traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from bandit.types import BanditConfig
from simulations.environments.contract import PER_SECOND, Round, bernoulli, configured
from simulations.environments.storefront import PERSONAS, VARIANTS, Persona, Storefront

#: Drift begins and ends at these shares of the stream.
DRIFT_FROM, DRIFT_TO = 0.3, 0.7
_CONFIG = configured(VARIANTS)


@dataclass(frozen=True)
class Personas:
    """Five hidden personas, each with a banner that it likes.

    >>> one = next(Personas().rounds(1, seed=1))
    >>> len(one.actions), max(one.expected) > min(one.expected)
    (5, True)
    """

    limit: ClassVar[None] = None
    name: str = "personas"
    #: Shares and tastes move, until each persona likes what another one liked before.
    drift: bool = False
    #: With this probability a trace of a visitor is replaced by a random one.
    blur: float = 0.0

    @property
    def config(self) -> BanditConfig:
        """See `Environment`."""
        return _CONFIG

    def rounds(self, count: int, seed: int) -> Iterator[Round]:
        """See `Environment`."""
        world = Storefront(seed)
        blurred = {name: _blurred(persona, self.blur) for name, persona in PERSONAS.items()}
        for index in range(count):
            visitor = world.visitor(drifted(blurred, index / count) if self.drift else blurred)
            expected = tuple(visitor.click_probability.values())
            yield Round(
                at=index / PER_SECOND,
                subject=visitor.subject,
                context=visitor.context,
                actions=_CONFIG.actions,
                expected=expected,
                settled=expected,
                outcomes=bernoulli(expected, visitor.luck),
            )


def drifted(personas: Mapping[str, Persona], progress: float) -> dict[str, Persona]:
    """The personas at `progress`, a share of the stream.

    Each is on its way to the clicks of the next one and to the share of the one before; so who comes, who
    likes what, and which action is best for all of them together change.

    >>> drifted(PERSONAS, 1.0)["bargain-hunters"].clicks == PERSONAS["trend-setters"].clicks
    True
    """
    moved = min(max((progress - DRIFT_FROM) / (DRIFT_TO - DRIFT_FROM), 0.0), 1.0)
    all_of_them = list(personas.values())

    def between(old: float, new: float) -> float:
        return (1.0 - moved) * old + moved * new

    return {
        name: Persona(
            between(old.share, all_of_them[place - 1].share),
            tuple(map(between, old.clicks, all_of_them[(place + 1) % len(all_of_them)].clicks)),
            old.traces,
        )
        for place, (name, old) in enumerate(personas.items())
    }


def _blurred(persona: Persona, blur: float) -> Persona:
    traces = {
        trace: {value: (1.0 - blur) * odds + blur / len(table) for value, odds in table.items()}
        for trace, table in persona.traces.items()
    }
    return persona._replace(traces=traces)
