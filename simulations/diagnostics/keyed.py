"""Sums for each of many keys, for a limited number of them, mergeable without rounding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec

#: As many actions as one decision may offer; days of nearly three years.
MOST_KEYS = 1_000


class Keyed(msgspec.Struct, frozen=True, kw_only=True):
    """Whole numbers for each key, and their sums over all keys; `a + b` equals the whole in any order.

    Beyond `most` keys, those with the lowest rank stay. Ranks never change, so a key that stays is complete:
    it stayed in every part. What was let go is `total` less what stayed.

    >>> one, two = Keyed.of({"a": (1, 10)}, size=2), Keyed.of({"a": (2, 5), "b": (1, 1)}, size=2)
    >>> (one + two).sums["a"], (one + two).total, one + two == two + one
    ((3, 15), (4, 16), True)
    """

    sums: Mapping[str, tuple[int, ...]]
    total: tuple[int, ...]
    #: Days: the latest stay. Otherwise a hash decides, which prefers no key.
    days: bool = False
    most: int = MOST_KEYS

    @classmethod
    def of(
        cls, sums: Mapping[str, tuple[int, ...]], *, size: int, days: bool = False, most: int = MOST_KEYS
    ) -> Keyed:
        """Of so many numbers a key."""
        total = _added([(0,) * size, *sums.values()])
        return cls(sums=_lowest(sums, days=days, most=most), total=total, days=days, most=most)

    def __add__(self, other: Keyed) -> Keyed:
        """Of both."""
        sums = dict(self.sums)
        for key, numbers in other.sums.items():
            sums[key] = _added([sums[key], numbers]) if key in sums else numbers
        return Keyed(
            sums=_lowest(sums, days=self.days, most=self.most),
            total=_added([self.total, other.total]),
            days=self.days,
            most=self.most,
        )

    @property
    def other(self) -> tuple[int, ...]:
        """The numbers of all keys that were let go."""
        kept = _added([(0,) * len(self.total), *self.sums.values()])
        return tuple(whole - part for whole, part in zip(self.total, kept, strict=True))


def _added(rows: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*rows, strict=True)))


def _lowest(sums: Mapping[str, tuple[int, ...]], *, days: bool, most: int) -> dict[str, tuple[int, ...]]:
    if len(sums) <= most:
        return dict(sums)
    keys: Iterable[str] = sorted(sums, reverse=True) if days else sorted(sums, key=_hash)
    return {key: sums[key] for key in list(keys)[:most]}


def _hash(key: str) -> bytes:
    return blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
