from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from tests.processes import free_port


def test_an_embedded_database_that_is_killed_comes_back_with_everything_acknowledged(tmp_path: Path) -> None:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port), "--data-dir", str(tmp_path)]
    process = subprocess.Popen(command, env=environment)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as http:
            wait_until_ready(http, 60)
            body = {"bandit_key": "hero", "actions": [{"action_id": "a"}, {"action_id": "b"}]}
            assert http.post("/v1/bandits", json=body).status_code == 201
            made = [http.post("/v1/decisions", json={"bandit_key": "hero"}).json() for _ in range(50)]
            postmaster = int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(postmaster, signal.SIGKILL)
            time.sleep(0.2)
            assert http.post("/v1/decisions", json={"bandit_key": "hero"}).status_code == 503
            wait_until_ready(http, 10)
            assert http.post("/v1/decisions", json={"bandit_key": "hero"}).status_code == 201
            for decision in made:
                logged = http.get(f"/v1/decisions/{decision['decision_id']}").json()
                assert logged["probability"] == decision["probability"]
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_until_ready(http: httpx2.Client, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < until, f"not ready within {seconds} s"
        time.sleep(0.1)
