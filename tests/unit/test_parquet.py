from __future__ import annotations

import subprocess
import sys


def test_no_process_loads_what_it_takes_to_export_before_it_does() -> None:
    """It is as large as all the rest."""
    code = "import sys, api.app, cli.main; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
