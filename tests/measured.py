"""What stands at /metrics, read as Prometheus reads it."""

from __future__ import annotations

import math

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Measured:
    """One reading."""

    def __init__(self, text: str) -> None:
        self._samples: list[Sample] = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all series with this name and these labels; 0.0 if there is none."""
        return sum(s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        """The values of the series with this name, by one of their labels."""
        return {s.labels[label]: s.value for s in self._samples if s.name == name}

    def quantile(self, histogram: str, share: float) -> float:
        """The upper bound of the bucket in which this share of what was observed ends."""
        buckets = {float(le): count for le, count in self.by(f"{histogram}_bucket", "le").items()}
        return min(le for le, count in buckets.items() if count >= share * buckets[math.inf])
