"""The notebook in examples/ runs as it stands, and its figures say what its text says."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "off_policy_evaluation.ipynb"
NUMBER = r"-?[\d.]+"


class ThisPython(KernelSpecManager):
    """The interpreter that runs the tests, whatever kernels are installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name=kernel_name,
            language="python",
        )


def stored() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # it has no types


@pytest.fixture(scope="module")
def cells() -> Iterator[dict[str, Any]]:
    """Executed, by id. Nobody's settings are read; nothing listens on a network, not even on loopback."""
    notebook = stored()
    with TemporaryDirectory(prefix="nb") as folder:
        kernel = AsyncKernelManager(
            kernel_spec_manager=ThisPython(),
            transport="ipc",
            connection_file=f"{folder}/kernel.json",
        )
        own = {"IPYTHONDIR": folder, "JUPYTER_CONFIG_DIR": folder, "MPLCONFIGDIR": folder}
        NotebookClient(notebook, km=kernel, timeout=240).execute(
            cwd=folder, env=os.environ | own | {"PYTHONWARNINGS": "error"}, cleanup_kc=True
        )
        yield {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def printed(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(NUMBER, text)]


def shown(cell: Any, kind: str) -> str:
    (found,) = [output.data[kind] for output in cell.outputs if kind in output.get("data", {})]
    return str(found)


def test_it_is_stored_without_outputs() -> None:
    code = [cell for cell in stored().cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_nothing_is_written_to_stderr(cells: dict[str, Any]) -> None:
    assert [o.text for cell in cells.values() for o in cell.outputs if o.get("name") == "stderr"] == []


def test_both_directions_of_the_open_bandit_sample(cells: dict[str, Any]) -> None:
    text = printed(cells["open-bandit"])
    assert re.findall(r"really earned (\S+) clicks a round \((\S+) to (\S+)\)", text) == [
        ("0.0069", "0.0055", "0.0087"),
        ("0.0046", "0.0035", "0.0061"),
    ]
    by_dr = [numbers(found) for found in re.findall(r", dr: (.*)", text)]
    assert by_dr == [
        pytest.approx([0.0046, 0.0027, 0.0079], abs=1.01e-4),
        pytest.approx([0.0032, 0.0016, 0.0245], abs=1.01e-4),
    ]
    assert text.count("no difference shown") == 2


def test_intervals_hold_the_exact_values(cells: dict[str, Any]) -> None:
    lines = printed(cells["targets"]).splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "fixed:gift-guide", "fixed:deal-of-the-day", "welcome", "by-landing", "learner",
    ]  # fmt: skip
    assert [line.split()[-1] for line in lines] == ["worse", "better", "better", "better", "better"]
    for line in lines:
        exact, estimate, low, high = [float(word) for word in line.split() if re.fullmatch(NUMBER, word)]
        assert low < estimate < high
        assert low < exact < high
    assert float(lines[3].split()[1]) == pytest.approx(0.2641, abs=2e-4)


@pytest.mark.parametrize("name", ["open-bandit-plot", "targets-plot", "sequence"])
def test_plots_are_drawn(cells: dict[str, Any], name: str) -> None:
    assert len(shown(cells[name], "image/png")) > 5_000


def test_a_report_shows_itself(cells: dict[str, Any]) -> None:
    page, text = (shown(cells["report"], kind) for kind in ("text/html", "text/plain"))
    assert page.startswith("<iframe")
    assert page.count("<") == 2  # the page itself is escaped
    assert "The target policy earns more" in page
    assert "BETTER" in text


def test_the_sequence_holds_at_every_look_and_is_wider(cells: dict[str, Any]) -> None:
    first, once, then, shown_after = printed(cells["sequence"]).splitlines()
    assert first.endswith("inside at each of 60 looks: True")
    (low, high), (first_low, last_high) = numbers(once), numbers(then)
    assert first_low < low < high < last_high
    assert 0 < numbers(shown_after)[0] < 2_000


def test_broken_probabilities_are_refused(cells: dict[str, Any]) -> None:
    text = printed(cells["broken"])
    assert "do not use these figures" in text
    assert "probabilities are wrong by their mean weight" in text
    assert "a warning in each estimate: True" in text
    assert "no figure on this page may be relied on" in shown(cells["broken"], "text/html")


def test_bad_rows_are_named_then_left_out(cells: dict[str, Any]) -> None:
    refusal = printed(cells["bad-rows"])
    assert refusal.startswith("4 of 5,000 rows cannot be used")
    assert re.findall(r": 1 row: (\d+)\.", refusal) == ["4999", "170", "17", "1700"]
    assert "4,996 rounds used" in printed(cells["excluded"])
    assert "earns more" in printed(cells["excluded"])


def test_the_simulation_shows_itself(cells: dict[str, Any]) -> None:
    values = [numbers(line)[0] for line in re.findall(r"(\S+) clicks a round", printed(cells["simulate"]))]
    assert values == sorted(values)
    assert values[-1] > 0.15
    assert "&lt;svg" in shown(cells["simulate"], "text/html")


def test_the_page_and_the_json_are_written(cells: dict[str, Any]) -> None:
    assert re.search(r"^\d\d+ KiB of HTML; the same from JSON: True", printed(cells["save"]))
