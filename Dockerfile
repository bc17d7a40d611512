# One image for API, learner and migrations: `docker run IMAGE serve --no-learner | learner | migrate | bandits ...`
# (plain `serve` runs API and learner).
#
# `serve` listens on loopback only, because there are no API keys yet; a published port would not reach it. On
# Linux run it with `--network host`, as compose.yaml does.

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY requirements/build.txt requirements/
RUN python -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY bandit bandit
COPY api api
COPY simulations simulations
COPY cli cli
COPY migrations migrations
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist .

FROM python:3.11-slim AS install
COPY requirements/service.txt /tmp/service.txt
RUN python -m venv /opt/segbandit \
    && /opt/segbandit/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/service.txt
COPY --from=wheel /dist /dist
# pip has nothing to do in the running image.
RUN /opt/segbandit/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl \
    && /opt/segbandit/bin/pip uninstall --yes setuptools pip

FROM python:3.11-slim
RUN groupadd --gid 10001 segbandit \
    && useradd --uid 10001 --gid segbandit --create-home --home-dir /var/lib/segbandit \
        --shell /usr/sbin/nologin segbandit
COPY --from=install /opt/segbandit /opt/segbandit
# Mount a volume at SEGBANDIT_DATA_DIR for what must not be lost: without DATABASE_URL the embedded database, and
# with SEGBANDIT_KEEP_DAYS the archive, unless SEGBANDIT_ARCHIVE_DIR names another place.
ENV PATH=/opt/segbandit/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SEGBANDIT_DATA_DIR=/var/lib/segbandit/data
WORKDIR /var/lib/segbandit
USER 10001
# For `serve` on its default port; switch it off for `learner` and `migrate` (`--no-healthcheck`).
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=3)"]
ENTRYPOINT ["segbandit"]
CMD ["serve"]
