"""Open Bandit Pipeline, timed in an environment of its own: `PYTHON -m benchmarks.open_bandit_pipeline ROWS`.

For each line read, `points` or `bootstrap`, it does that once and writes the seconds.
"""

from __future__ import annotations

import sys
import time

from obp.ope import DoublyRobust, InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting

from benchmarks.ope_world import log

RESAMPLES = 1_000


def main() -> None:
    rounds = log(int(sys.argv[1]))
    logged = {
        "reward": rounds.reward,
        "action": rounds.action,
        "pscore": rounds.probability,
        "action_dist": rounds.target_probabilities[:, :, None],
        "position": None,
    }
    model = rounds.predicted_rewards[:, :, None]

    def points() -> None:
        InverseProbabilityWeighting().estimate_policy_value(**logged)
        SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**logged)
        DoublyRobust().estimate_policy_value(**logged, estimated_rewards_by_reg_model=model)

    def bootstrap() -> None:
        DoublyRobust().estimate_interval(
            **logged, estimated_rewards_by_reg_model=model, n_bootstrap_samples=RESAMPLES, random_state=1
        )

    for line in sys.stdin:
        began = time.perf_counter()
        {"points": points, "bootstrap": bootstrap}[line.strip()]()
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
