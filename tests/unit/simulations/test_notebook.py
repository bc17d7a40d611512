"""Reports and simulations under a notebook's cell."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from simulations import simulate
from simulations.report.notebook import framed
from simulations.report.text import to_text
from simulations.simulation.summaries import Simulation
from tests.unit.simulations.made_logs import made_log
from tests.unit.simulations.made_reports import made_report


class Elements(HTMLParser):
    """All elements of a text, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def found() -> Simulation:
    return simulate("personas", ["uniform"], rounds=50, seeds=2, workers=1)


def test_a_page_stands_in_one_element_that_runs_nothing() -> None:
    hostile = "</iframe><script>alert('\"&lt;')</script>"
    ((tag, attributes),) = Elements(framed(hostile, 'a "title"', "10rem")).found
    assert tag == "iframe"
    assert attributes["srcdoc"] == hostile
    assert attributes["title"] == 'a "title"'
    assert "allow-scripts" not in str(attributes["sandbox"])


def test_a_report_is_its_page_and_its_text() -> None:
    report = made_report(made_log(seed=1))
    ((_, attributes),) = Elements(report._repr_html_()).found
    assert attributes["srcdoc"] == report.to_html()
    assert str(report) == to_text(report)


def test_a_simulation_is_its_page(found: Simulation) -> None:
    ((_, attributes),) = Elements(found._repr_html_()).found
    assert attributes["srcdoc"] == found.to_html()
    assert "personas" in found.to_html()
