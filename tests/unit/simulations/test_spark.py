"""On a Spark cluster of two cores: the very report that a local log gives."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from msgspec.structs import replace
from pyarrow import parquet

from bandit.errors import InvalidInputError, SetupError
from bandit.policy import VwPolicy
from bandit.types import PolicySettings, SquareCB
from bandit.vw import Model
from simulations.evaluation.evaluate import ESTIMATORS, evaluate
from simulations.evaluation.values import Report
from simulations.logs.parquet import ParquetLog
from simulations.logs.spark import SparkLog
from simulations.policies.targets import Fixed, Function, Learning, SegmentTable, Static, Target
from tests.unit.simulations.varied_log import ACTIONS, logged, odd_preference, varied_log

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROUNDS = 1_000
ANY_OFFERED = f"fixed:{','.join(reversed(ACTIONS))}"
LOGGERS = {"morning": "uniform", "evening": ANY_OFFERED}


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        missing = "Spark needs Java 17, and there is no java here"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "America/New_York")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "301")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


def shuffled(spark: SparkSession, table: pa.Table, parts: int) -> DataFrame:
    return spark.createDataFrame(table).orderBy("decision_id").repartition(parts)


def local(folder: Path, table: pa.Table) -> ParquetLog:
    parquet.write_table(table, folder / "log.parquet")
    return ParquetLog(folder / "log.parquet")


def said(report: Report) -> bytes:
    """All but what tells the two apart, and the sequence, which needs an order."""
    return replace(report, log="", seconds=0.0, sequence=None).to_json()


def trained() -> Target:
    """A saved model version."""
    settings = PolicySettings()
    model = Model.untrained(settings)
    for row in logged(varied_log(300, seed=7)):
        model.learn(model.labelled(row.context, row.actions, row.chosen, row.reward, row.probability))
    data = model.to_bytes()
    saved = Model.read_only(data, hashlib.sha256(data).hexdigest(), settings)
    return Static("model:7", VwPolicy(saved, SquareCB(), learned=300))


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_any_cut_gives_the_local_report(spark: SparkSession, tmp_path: Path, parts: int) -> None:
    table = varied_log(ROUNDS)
    policy = Function("odd", odd_preference)
    expected = evaluate(local(tmp_path, table), policy)
    found = evaluate(SparkLog(shuffled(spark, table, parts)), policy)
    assert found.rounds == ROUNDS
    assert found.sequence is None
    assert said(found) == said(expected)


@pytest.mark.parametrize(
    ("target", "estimators"),
    [
        ("uniform", ("dr", "ips", "mips")),
        (ANY_OFFERED, ESTIMATORS),
        (SegmentTable("by-device", [({"device": "phone"}, "a3")], default="a0"), ("mrdr", "snips")),
        ("tests.unit.simulations.varied_log:odd_preference", ("balanced_ips", "sg_dr", "clipped_dr")),
        (trained(), ("dr", "replay:bound=1e6")),
    ],
)
def test_any_policy_and_estimator_gives_the_local_report(
    spark: SparkSession, tmp_path: Path, target: str | Target, estimators: Sequence[str]
) -> None:
    table = varied_log(ROUNDS)

    def report(log: ParquetLog | SparkLog) -> Report:
        return evaluate(log, target, against="uniform", estimators=estimators, loggers=LOGGERS)

    assert said(report(SparkLog(shuffled(spark, table, 3)))) == said(report(local(tmp_path, table)))


def test_subjects_with_several_rounds_and_bad_rows_give_the_local_report(
    spark: SparkSession, tmp_path: Path
) -> None:
    table = varied_log(ROUNDS, subjects=150, bad=40)
    expected = evaluate(local(tmp_path, table), ANY_OFFERED, exclude=True)
    found = evaluate(SparkLog(shuffled(spark, table, 5)), ANY_OFFERED, exclude=True)
    assert sum(found.excluded.values()) == 40
    assert found.estimates[0].method.endswith("by subject")
    assert said(found) == said(expected)


def test_a_file_that_spark_reads_itself_gives_the_local_report(spark: SparkSession, tmp_path: Path) -> None:
    log = local(tmp_path, varied_log(ROUNDS))
    frame = spark.read.parquet(str(tmp_path / "log.parquet"))
    assert said(evaluate(SparkLog(frame), "uniform")) == said(evaluate(log, "uniform"))
    assert [row.decision_id for chunk in SparkLog(frame).chunks() for row in chunk.rows] == [
        row.decision_id for chunk in log.chunks() for row in chunk.rows
    ]


def test_parts_without_rows_change_nothing(spark: SparkSession) -> None:
    frame = spark.createDataFrame(varied_log(3)).repartition(7)
    assert evaluate(SparkLog(frame), "uniform", estimators=["ips"]).rounds == 3


def test_bad_rows_are_refused_by_numbers_that_spark_finds_again(spark: SparkSession) -> None:
    from pyspark.sql import functions

    frame = shuffled(spark, varied_log(50, bad=1), 4)
    with pytest.raises(InvalidInputError, match="1 of 50 rows cannot be used") as refused:
        evaluate(SparkLog(frame), "uniform")
    numbered = frame.withColumn("number", functions.monotonically_increasing_id())
    (bad,) = numbered.where("chosen = 99").collect()
    assert f"1 row: {bad.number}." in refused.value.message


def test_rewards_outside_the_declared_range_are_bad_rows_in_every_part(spark: SparkSession) -> None:
    frame = shuffled(spark, varied_log(50), 3)
    paid = frame.where("reward > 0").count()
    log = SparkLog(frame, reward_range=(-1.0, 0.0))
    assert evaluate(log, "uniform", exclude=True).excluded == {"reward outside the range": paid}
    assert sum(len(chunk.problems) for chunk in log.chunks()) == paid > 0


def test_a_log_without_rows_is_refused(spark: SparkSession) -> None:
    frame = spark.createDataFrame(varied_log(3)).where("chosen > 100")
    with pytest.raises(InvalidInputError, match="expected rounds in the log, got none"):
        evaluate(SparkLog(frame), "uniform")


@pytest.mark.parametrize("column", ["reward", "decision_id"])
def test_a_missing_column_is_named(spark: SparkSession, column: str) -> None:
    with pytest.raises(SetupError, match=f"expected the column '{column}'"):
        SparkLog(spark.createDataFrame(varied_log(3)).drop(column))


def test_what_a_policy_raises_on_a_worker_arrives_as_it_is(spark: SparkSession) -> None:
    frame = shuffled(spark, varied_log(50), 2)
    with pytest.raises(InvalidInputError, match="expected one of the actions offered in row") as raised:
        evaluate(SparkLog(frame), Fixed("unheard-of"))
    assert raised.value.target == "fixed:unheard-of"
    assert "java" not in str(raised.value).lower()


def test_policies_that_learn_along_the_log_are_refused(spark: SparkSession) -> None:
    log = SparkLog(spark.createDataFrame(varied_log(50)))
    with pytest.raises(InvalidInputError, match="come in no order"):
        evaluate(log, Learning("default", PolicySettings(), (0.0, 1.0)))


def test_a_pickled_model_predicts_the_same() -> None:
    policy, rows = trained(), logged(varied_log(100))
    again: Target = pickle.loads(pickle.dumps(policy))  # noqa: S301 our own bytes
    assert [again.distribution(row) for row in rows] == [policy.distribution(row) for row in rows]
