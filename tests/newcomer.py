"""`make run` as a newcomer sees it: what it prints, that it goes on serving, that Ctrl-C ends all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import urllib.request

MOST_SECONDS = 300
#: From installed to the first (250) decisions, database made anew.
FIRST_DECISION_SECONDS = 10
EXPECTED = ("visitors", "uniform", "best fixed", "optimum", "The service goes on serving", "/v1/decisions")


def main() -> None:
    process = subprocess.Popen(
        ["make", "run"], stdout=subprocess.PIPE, text=True, start_new_session=True, env=os.environ
    )
    began = time.monotonic()
    seen = ""
    silence = threading.Timer(MOST_SECONDS, lambda: os.killpg(process.pid, signal.SIGKILL))
    silence.start()
    installed = first = 0.0
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        seen += line
        if "/docs" in line and "API pages" in line:
            break
        if "segbandit demo" in line:
            installed = time.monotonic()
        if "visitors" in line and not first:
            first = time.monotonic()
    silence.cancel()
    missing = [text for text in EXPECTED if text not in seen]
    assert not missing, f"make run did not print {missing}"
    address = next(
        line.split()[-1].removesuffix("/docs") for line in seen.splitlines() if "API pages" in line
    )
    with urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:  # noqa: S310 our own address
        assert answer.status == 200
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=30)
    print(f"set up in {installed - began:.1f} s, first decisions {first - installed:.1f} s after that")
    assert first - installed < FIRST_DECISION_SECONDS
    print("make run showed the main job, went on serving and stopped when asked.")


if __name__ == "__main__":
    main()
