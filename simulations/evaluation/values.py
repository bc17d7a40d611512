"""What an evaluation answers, as one value: for JSON, a terminal (`text`), a page (`html`), a notebook."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from bandit.types import Value
from simulations.diagnostics.diagnosis import Diagnosis
from simulations.evaluation.verdict import Verdict
from simulations.report.notebook import framed


class Estimate(Value, frozen=True, kw_only=True):
    """A policy value, or a difference of two, by one estimator; in units of the reward. None: undefined.

    >>> Estimate(estimator="snips", value=float("nan"), method="delta").value is None
    True
    """

    estimator: str
    value: float | None
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    #: Of the interval.
    method: str
    note: str = ""
    #: Why it must not be relied on; a report whose verdict is a refusal writes it.
    warning: str = ""

    def __post_init__(self) -> None:
        """JSON has no numbers that are not finite, so they are None from the start."""
        for name in ("value", "standard_error", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                msgspec.structs.force_setattr(self, name, None)


class BoostCost(Value, frozen=True, kw_only=True):
    """What boosts cost in reward: value(unboosted) - value(logged), paired on the same rounds."""

    #: For everybody.
    sentence: str
    #: Of `rounds`, those that boosts reshaped.
    boosted: int
    rounds: int
    #: Below zero they earn. None: the log cannot tell.
    cost: Estimate | None
    #: Why it cannot.
    reasons: list[str]
    #: What whoever relies on it must know.
    warnings: list[str]


class Peek(Value, frozen=True, kw_only=True):
    """A confidence sequence after so many rounds."""

    rounds: int
    low: float
    estimate: float
    high: float


class ConfidenceSequence(Value, frozen=True, kw_only=True):
    """An interval that holds after every round at once."""

    #: Of what: "value of the target policy", "target - reference".
    label: str
    method: str
    peeks: list[Peek]
    #: What it is compared with: 0 for a difference, the reference's value for a value.
    compared_with: float | None = None


class Report(Value, frozen=True, kw_only=True):
    """An evaluation of a target policy against a reference, from a log.

    The verdict comes first in JSON too. Where it is a refusal, every estimate carries it as its `warning`.
    `print` gives the terminal's text, a notebook shows the page.
    """

    verdict: Verdict
    log: str
    target: str
    reference: str
    #: Of all intervals.
    level: float
    #: That were used.
    rounds: int
    #: Rows that could not be used, by cause.
    excluded: dict[str, int]
    #: The estimator that was chosen before any result was seen; its difference decides the verdict.
    primary: str
    estimates: list[Estimate]
    #: Of the reference policy.
    reference_estimates: list[Estimate]
    #: Paired: target - reference.
    differences: list[Estimate]
    sequence: ConfidenceSequence | None = None
    #: None: nothing of the log was boosted.
    boosts: BoostCost | None = None
    diagnostics: Diagnosis
    #: None: the reference is the logging policy itself.
    reference_diagnostics: Diagnosis | None = None
    seconds: float
    #: Of software, by name.
    versions: dict[str, str]

    def __post_init__(self) -> None:
        """No number of a refused evaluation goes anywhere without its warning."""
        if self.verdict.refused:
            for name in ("estimates", "reference_estimates", "differences"):
                marked = [_marked(each, self.verdict.sentence) for each in getattr(self, name)]
                msgspec.structs.force_setattr(self, name, marked)

    def to_json(self) -> bytes:
        """Readable; `of_json` gives an equal report back."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)

    @classmethod
    def of_json(cls, text: bytes) -> Report:
        """What `to_json` wrote.

        Raises:
            msgspec.ValidationError: it is not a report; the message names the field.
        """
        return msgspec.json.decode(text, type=cls)

    def to_html(self) -> str:
        """A page that needs nothing else, to be written in UTF-8."""
        from simulations.report.html import to_html

        return to_html(self)

    def __str__(self) -> str:
        from simulations.report.text import to_text

        return to_text(self)

    def _repr_html_(self) -> str:
        return framed(self.to_html(), f"{self.target} against {self.reference}", "42rem")

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))  # where a notebook, or IPython in a terminal, shows no HTML


def _marked(estimate: Estimate, warning: str) -> Estimate:
    return msgspec.structs.replace(estimate, warning=warning)
