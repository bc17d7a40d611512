"""Many policies side by side by one log, ranked with intervals that hold for the one that looks best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version

import msgspec
from threadpoolctl import threadpool_limits

from bandit.errors import InvalidInputError
from bandit.types import PolicySettings, Value
from bandit.vw import check
from simulations.estimators.named import DECISIVE, WITHOUT_MODEL
from simulations.estimators.named import estimator as estimator_named
from simulations.evaluation.asked import check_asked
from simulations.evaluation.fitting import fitted
from simulations.evaluation.values import Estimate
from simulations.intervals.rewarded import Usual
from simulations.logs.rows import Log
from simulations.logs.scan import Scan, usable
from simulations.logs.total import Distributed, total
from simulations.policies.targets import Target
from simulations.processes import run_all
from simulations.sweeping.candidates import Candidate, built_in, candidate
from simulations.sweeping.ranking import Ranked, estimate, ranked
from simulations.sweeping.replay import Replay, Replayed

#: What is done, how many rows of it so far, and of how many; None: that is not known yet.
Progress = Callable[[str, int, int | None], None]
#: Of those that may decide, these need what a sweep does not have.
_NOT_HERE = ("mrdr", "balanced_ips")
_RANKING = tuple(name for name in DECISIVE if name not in _NOT_HERE)


class Sweep(Value, frozen=True, kw_only=True):
    """What came of it; the candidates that look best come first, those that cannot be judged last."""

    #: What may be said, for everybody.
    sentence: str
    log: str
    reference: str
    #: Of the reference, with an interval of its own.
    reference_value: Estimate
    #: At which all intervals of a column hold together.
    level: float
    #: At which each interval was made for that, and would be made by Bonferroni.
    value_level: float
    difference_level: float
    bonferroni_level: float
    #: By which values are estimated.
    estimator: str
    rounds: int
    #: Rows that were not used, by cause.
    excluded: dict[str, int]
    candidates: list[Ranked]
    seconds: float
    #: Of software, by name.
    versions: dict[str, str]

    def to_json(self) -> bytes:
        """Readable."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


def sweep(
    log: Log,
    candidates: Sequence[Candidate | PolicySettings | str | Target] | None = None,
    *,
    against: str | Target = "logged",
    estimator: str = "dr",
    level: float = 0.95,
    learn_first: float = 0.0,
    exclude: bool = False,
    workers: int | None = None,
    progress: Progress = lambda *_: None,
) -> Sweep:
    """Replay each candidate along the log, and rank them by what they would have earned.

    Candidates are settings, names as `evaluate` takes them, or policies; default: `candidates.built_in`. Each
    begins anew, and each round is predicted before it is learned. `against`: what all are compared with. Of
    the first rounds, a share of `learn_first`, policies only learn. `workers`: processes, default one per
    core; 1: none but this one, and the log need not be one that can be sent to others. Policies given as
    objects are replayed in this process. Each process reads the log in constant memory.

    Raises:
        InvalidInputError: rows cannot be used and `exclude` is not set, or candidates, estimator or log are
            none that can be compared.
        SetupError: the log or a policy cannot be read.

    >>> from simulations.environments.catalogue import environment
    >>> from simulations.logs.memory import MemoryLog
    >>> from simulations.simulation.runs import logged
    >>> from bandit.policy import UniformPolicy
    >>> log = MemoryLog(list(logged(environment("personas"), UniformPolicy(), rounds=2_000, seed=1)))
    >>> found = sweep(log, ["uniform", "fixed:deal-of-the-day", "fixed:new-arrivals"], workers=1)
    >>> found.candidates[0].name
    'fixed:deal-of-the-day'
    """
    started = time.monotonic()
    check_asked(log, level=level, learn_first=learn_first)
    if isinstance(log, Distributed):
        raise InvalidInputError(
            "log: expected one that is read in its order, since candidates learn along it, got one whose "
            "parts come in none; read it on one machine.",
            target="log",
        )
    tried = _checked(built_in() if candidates is None else [candidate(each) for each in candidates])
    with threadpool_limits(1, "blas"):
        replay, scan = _prepared(log, tried, candidate(against), estimator, learn_first, exclude, progress)
        replayed = _all(replay, tried, workers, scan.rounds, progress)
        ranking = ranked(
            tried,
            replayed,
            level=level,
            reward_range=log.reward_range,
            excluded=sum(scan.unusable.values()),
        )
    first = replayed[0]
    left_out = {"learned before the evaluation": first.left_out} if first.left_out else {}
    return Sweep(
        sentence=_said(ranking.candidates, replay.against.name),
        log=log.name,
        reference=replay.against.name,
        reference_value=estimate(
            first.reference, first.reference.running.value, first.reference.interval(level)
        ),
        level=level,
        value_level=ranking.value_level,
        difference_level=ranking.difference_level,
        bonferroni_level=ranking.bonferroni_level,
        estimator=replay.estimator.name,
        rounds=first.diagnosis.rounds,
        excluded={**scan.unusable, **left_out},
        candidates=ranking.candidates,
        seconds=time.monotonic() - started,
        versions={name: version(name) for name in ("segbandit", "numpy", "scipy", "vowpalwabbit")},
    )


def _prepared(
    log: Log,
    tried: Sequence[Candidate],
    against: Candidate,
    estimator: str,
    learn_first: float,
    exclude: bool,
    progress: Progress,
) -> tuple[Replay, Scan]:
    if estimator.partition(":")[0] not in _RANKING:
        raise InvalidInputError(
            "estimator: expected one that can rank many candidates, unbiased or self-normalized "
            f"({', '.join(_RANKING)}), got {estimator!r}.",
            target="estimator",
        )
    found = estimator_named(estimator)
    scan = usable(
        total(log, Scan.of, Scan(), lambda rows: progress("reading the log", rows, None)), exclude=exclude
    )
    reward_range = log.reward_range or (scan.lowest, scan.highest)
    # Each is made once here, so that a wrong one is refused before any is replayed.
    ends = [_learned_until(each, reward_range) for each in [*tried, against]]
    model = None
    if estimator.partition(":")[0] not in WITHOUT_MODEL:
        model = fitted(
            log, reward_range, progress=lambda rows: progress("fitting the reward model", rows, scan.rounds)
        )
    replay = Replay(
        log=log,
        reward_range=reward_range,
        against=against,
        estimator=found,
        model=model,
        clustered=scan.subjects.repeated,
        usual=Usual(*scan.usual),
        learn_first=int(learn_first * scan.rounds),
        learned_until=max((end for end in ends if end is not None), default=None),
    )
    return replay, scan


def _learned_until(given: Candidate, reward_range: tuple[float, float]) -> datetime | None:
    if isinstance(given.policy, PolicySettings):
        check(given.policy)
        return None
    return given.target(reward_range).learned_until


def _all(
    replay: Replay, tried: Sequence[Candidate], workers: int | None, rounds: int, progress: Progress
) -> list[Replayed]:
    """Each candidate replayed, in their order; objects stay in this process, where they were made."""
    here = [index for index, each in enumerate(tried) if isinstance(each.policy, Target)]
    there = [index for index in range(len(tried)) if index not in here]
    if isinstance(replay.against.policy, Target):
        workers = 1

    def told(before: int) -> Callable[[int], None]:
        return lambda done: progress("replaying candidates", before * rounds + done, len(tried) * rounds)

    found = dict(zip(there, run_all(replay, [tried[i] for i in there], workers, told(0)), strict=True))
    found |= zip(here, run_all(replay, [tried[i] for i in here], 1, told(len(there))), strict=True)
    return [found[index] for index in range(len(tried))]


def _checked(tried: list[Candidate]) -> list[Candidate]:
    names = [each.name for each in tried]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not tried or twice:
        got = f"{', '.join(twice)} twice" if twice else "none"
        raise InvalidInputError(
            f"candidates: expected one or more, all with different names, got {got}.",
            target="candidates",
        )
    return tried


def _said(candidates: Sequence[Ranked], reference: str) -> str:
    """Of the winner, and how sure it is that it is one."""
    usable = [each for each in candidates if each.rank is not None]
    if not usable:
        return "This log cannot tell what any of the candidates is worth: do not use these figures."
    first, rivals = usable[0], sum(each.may_be_best for each in usable) - 1
    if len(usable) == 1:
        said = f"{first.name} is the only candidate that this log can judge."
    elif rivals == 0:
        said = f"{first.name} is shown to be the best."
    else:
        others = "another one" if rivals == 1 else f"{rivals} others"
        said = f"{first.name} looks best, but {others} of {len(usable)} may be better."
    return f"{said} Against {reference}: {first.verdict.outcome}."
