"""A catalogue that grows while it is served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from bandit.types import Action, BanditConfig
from simulations.environments.contract import PER_SECOND, Round, bernoulli, configured, randomness

TOPICS = ("sport", "culture", "money")
#: Of the articles in the order they come: topic, and how good it is; a reader's own topic earns three times.
_ARTICLES = (
    ("sport", 0.08), ("culture", 0.08), ("money", 0.06),
    ("money", 0.14), ("sport", 0.16), ("culture", 0.20), ("sport", 0.10), ("money", 0.22),
)  # fmt: skip
#: So many are there from the beginning; the others come at even distances.
FIRST = 3
_OFF_TOPIC = 1.0 / 3.0
_LOYALTY = 0.8


@dataclass(frozen=True)
class NewActions:
    """Readers of three topics, and articles of which new ones, mostly better, keep coming.

    A topic is a feature of the article, so something is known of a new one before it was ever shown.

    >>> stream = list(NewActions().rounds(100, seed=1))
    >>> len(stream[0].actions), len(stream[-1].actions)
    (3, 8)
    """

    limit: ClassVar[None] = None
    name: str = "new-actions"

    @property
    def config(self) -> BanditConfig:
        """See `Environment`; the catalogue is that of the beginning."""
        return configured(_CATALOGUES[0])

    def rounds(self, count: int, seed: int) -> Iterator[Round]:
        """See `Environment`."""
        random = randomness("new actions", seed)
        for index in range(count):
            actions = _CATALOGUES[index * len(_CATALOGUES) // count]
            topic = TOPICS[int(random.random_sample() * len(TOPICS))]
            seen = topic if random.random_sample() < _LOYALTY else TOPICS[int(random.random_sample() * 3)]
            expected = tuple([_earned(article, seen) for article in _ARTICLES[: len(actions)]])
            yield Round(
                at=index / PER_SECOND,
                subject=f"reader-{seed}-{index + 1}",
                context={"last_read": seen, "subscriber": bool(random.random_sample() < 0.3)},
                actions=actions,
                expected=expected,
                settled=expected,
                outcomes=bernoulli(expected, float(random.random_sample())),
            )


def _earned(article: tuple[str, float], last_read: str) -> float:
    topic, quality = article
    # A reader whose topic is not the last one read is as likely of any topic.
    own = _LOYALTY + (1 - _LOYALTY) / 3 if topic == last_read else (1 - _LOYALTY) / 3
    return 3.0 * quality * (own + (1.0 - own) * _OFF_TOPIC)


_ALL = [
    Action(action_id=f"article-{number}", features={"topic": topic})
    for number, (topic, _) in enumerate(_ARTICLES, start=1)
]
_CATALOGUES = [_ALL[:size] for size in range(FIRST, len(_ALL) + 1)]
