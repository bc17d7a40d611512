"""`make run` as a newcomer sees it: what it prints, that it goes on serving, that Ctrl-C ends all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request

MOST_SECONDS = 300
EXPECTED = ("visitors", "uniform", "best fixed", "optimum", "The service goes on serving", "/v1/decisions")


def main() -> None:
    process = subprocess.Popen(
        ["make", "run"], stdout=subprocess.PIPE, text=True, start_new_session=True, env=os.environ
    )
    began = time.monotonic()
    seen = ""
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        seen += line
        if "/docs" in line and "API pages" in line:
            break
        assert time.monotonic() - began < MOST_SECONDS, "make run took too long"
    missing = [text for text in EXPECTED if text not in seen]
    assert not missing, f"make run did not print {missing}"
    address = next(
        line.split()[-1].removesuffix("/docs") for line in seen.splitlines() if "API pages" in line
    )
    with urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:  # noqa: S310 our own address
        assert answer.status == 200
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=30)
    print("make run showed the main job, went on serving and stopped when asked.")


if __name__ == "__main__":
    main()
