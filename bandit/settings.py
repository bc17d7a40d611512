"""The only reader of the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of one process, read from the environment; command-line options override them.

    >>> Settings(data_dir=Path("somewhere")).poll_seconds
    0.2
    """

    model_config = SettingsConfigDict(
        env_prefix="SEGBANDIT_", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    #: A PostgreSQL 15+ address (postgresql://user@host/name). None: an embedded server in `data_dir`.
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")
    #: Where the embedded database and downloaded data sets live.
    data_dir: Path = Path(".data")
    #: Where shared data sets for tests and benchmarks lie.
    shared_data: Path = Path("../shared/data")
    #: How long the learner and the model refresh sleep when nobody wakes them, in seconds.
    poll_seconds: float = 0.2
    #: The least time between two model versions of a bandit, in seconds.
    publish_seconds: float = 0.2
    #: The most decisions that one transaction of the learner settles.
    settle_batch: int = 2_000
    #: How many model snapshots of a bandit are kept; an older one is folded again from the log when needed.
    keep_snapshots: int = 1_000
    #: Of the older ones one in so many is kept too, from which the others are folded.
    keep_every_snapshot: int = 1_000
    #: Where processes share what they measure (see bandit/metrics.py); `serve` makes a folder of its own.
    metrics_folder: Path | None = Field(default=None, validation_alias="PROMETHEUS_MULTIPROC_DIR")
    #: A bandit that an API process was not asked for in so many seconds is unloaded, until it is asked for.
    idle_seconds: float = Field(default=600.0, gt=0.0)
    #: How much memory the models of an API process may take, in MiB; the bandit longest unused makes room.
    model_memory: float = Field(default=1_200.0, gt=0.0)
    #: Decisions older than so many whole days (UTC) are archived, with their lines of the training log and
    #: their reward events: exported as Parquet, then deleted. None: everything is kept for ever.
    keep_days: int | None = Field(default=None, ge=1, le=36_500)
    #: Where the Parquet files go; None: the folder `archive` in `data_dir`.
    archive_dir: Path | None = None
    #: Connections per API process.
    pool_size: int = 8

    @property
    def archive(self) -> Path:
        """Where the Parquet files go."""
        return (self.archive_dir or self.data_dir / "archive").absolute()
