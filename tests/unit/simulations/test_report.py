from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest

from bandit.types import Action
from simulations.evaluation.values import ConfidenceSequence, Estimate, Peek, Report
from simulations.report import plots
from simulations.report.html import to_html
from simulations.report.svg import Scale
from simulations.report.text import to_text
from simulations.report.words import rows
from tests.unit.simulations.made_logs import Made, made_log, replace
from tests.unit.simulations.made_reports import made_report
from tests.unit.simulations.test_verdict import uniform

NASTY = '<script>alert("1")</script>&\x07\x1b[2J\ud800'
HEALTHY = made_report(made_log(1, rounds=4_000), excluded={"probability above one": 3})
BROKEN = made_report(made_log(1, rounds=4_000).spoilt(uniform))
PARTIAL = made_report(made_log(2, rounds=1_500, with_pmf=False), sequence=None)
EMPTY = made_log(1, rounds=0)


def nasty() -> Made:
    log = made_log(5, rounds=600)
    actions = [Action(action_id=f"{NASTY}{index}", segment=f"{NASTY} s{index % 3}") for index in range(10)]
    return Made(rows=[replace(row, actions=actions) for row in log.rows], targets=log.targets)


def named(report: Report) -> Report:
    return msgspec.structs.replace(
        report, target=NASTY, reference=NASTY, log=NASTY, excluded={NASTY: 1}, versions={NASTY: NASTY}
    )


class Page(HTMLParser):
    """Its elements, and the text outside of styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.struck: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "rect", "line", "circle", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)
        if "del" in self.open:
            self.struck.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.mark.parametrize("report", [HEALTHY, BROKEN, PARTIAL])
def test_json_both_ways(report: Report) -> None:
    assert Report.of_json(report.to_json()) == report
    assert report.to_json().lstrip().startswith(b'{\n  "verdict"')


def test_numbers_that_are_not_finite_are_none_and_survive_json() -> None:
    undefined = Estimate(
        estimator="dr", value=float("nan"), low=-float("inf"), high=float("inf"), method="none"
    )
    assert undefined.value is undefined.low is undefined.high is None
    report = msgspec.structs.replace(HEALTHY, estimates=[undefined])
    assert Report.of_json(report.to_json()) == report
    assert "dr" in to_text(report)
    assert "dr" in Page(to_html(report)).text


@pytest.mark.parametrize("report", [HEALTHY, BROKEN, PARTIAL, named(made_report(nasty()))])
def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(report: Report) -> None:
    html = to_html(report)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "b></b"} & {name for name, _ in page.elements}
    assert not [attrs for _, attrs in page.elements if {"href", "src", "style", "onload"} & set(attrs)]
    assert "url(" not in html
    assert "@import" not in html
    assert not page.open, "every element that was opened is closed"


def test_names_from_a_log_are_text_and_nothing_else() -> None:
    html = to_html(named(made_report(nasty())))
    assert html.encode()
    assert "<script" not in html
    assert '<script>alert("1")</script>&' in Page(html).text
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)  # noqa: S314 our own


@pytest.mark.parametrize("report", [HEALTHY, BROKEN, PARTIAL])
def test_plots_have_titles_and_descriptions_and_tables_have_headings(report: Report) -> None:
    page = Page(to_html(report))
    identifiers = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    plots_found = page.named("svg")
    assert len(plots_found) >= 5
    for attrs in plots_found:
        assert attrs["role"] == "img"
        assert set((attrs["aria-labelledby"] or "").split()) <= set(identifiers)
    assert len(page.named("caption")) == len(page.named("table"))
    assert all("scope" in attrs for attrs in page.named("th"))
    assert page.named("html")[0]["lang"] == "en"


def test_the_verdict_comes_first_and_says_what_it_stands_on() -> None:
    page, text = Page(to_html(HEALTHY)).text, to_text(HEALTHY)
    assert HEALTHY.verdict.outcome == "better"
    assert page.index(HEALTHY.verdict.sentence) < page.index("What the policies earn")
    assert text.index("BETTER") < text.index("The target policy earns more") < text.index("snips")
    assert "probability above one: 3" in text
    assert "not usable" not in page.lower() + text.lower()


def test_nothing_of_a_refused_evaluation_stands_without_its_warning() -> None:
    assert BROKEN.verdict.refused
    every = [*BROKEN.estimates, *BROKEN.reference_estimates, *BROKEN.differences]
    assert {each.warning for each in every} == {BROKEN.verdict.sentence}
    html = to_html(BROKEN)
    page = Page(html)
    assert [attrs for attrs in page.named("div") if attrs.get("role") == "alert"]
    assert len(page.struck) >= 4 * len(every)
    shown = re.findall(r'<th scope="row">s?n?ips.*?</tr>', html)
    assert len(shown) == len(every)
    for row in shown:
        assert row.count("<del>") == row.count('class="n"') == 4, "every figure is struck out"
    assert len(page.named("figure")) - html.count('class="over"') == len(re.findall("<figure>", html))
    assert "figures" not in [attrs.get("class") for attrs in page.named("dl")]
    text = to_text(BROKEN)
    assert text.count("INSUFFICIENT SUPPORT") == 2, "before and after all figures"
    assert text.index("INSUFFICIENT SUPPORT") < text.index("snips")
    assert text.count("NOT USABLE") >= 3


def test_text_fits_its_width_and_prints_names_as_they_are() -> None:
    report = msgspec.structs.replace(HEALTHY, target="[bold]not markup[/bold]")
    text = to_text(report, width=90)
    assert max(map(len, text.splitlines())) <= 90
    assert "[bold]not markup[/bold]" in text
    assert to_text(named(made_report(nasty()))).replace("\n", "").isprintable()


def test_groups_that_were_too_many_are_one_row() -> None:
    actions = HEALTHY.diagnostics.actions
    other = msgspec.structs.replace(actions.groups[0], name="all others")
    found = rows(msgspec.structs.replace(actions, other=other), most=3)
    assert [row.name for row in found] == [*(group.name for group in actions.groups[:3]), "all others"]


def test_a_sequence_s_first_wide_intervals_do_not_hide_the_rest() -> None:
    peeks = [Peek(rounds=n, low=-100.0 / n, estimate=0.0, high=100.0 / n) for n in range(1, 1_001)]
    drawn = plots.over_time("s", "t", ConfidenceSequence(label="l", method="m", peeks=peeks))
    root = ElementTree.fromstring(str(drawn))  # noqa: S314 our own
    ticks = [float(each.text or "") for each in root.iter("text") if each.get("class") == "tick end"]
    assert ticks
    assert max(ticks) <= 1.1


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [], [-3.0, 8.0], [1e-9, 2e-9], [1e9, 3e9]])
def test_scales_put_values_inside_and_have_ticks(values: list[float]) -> None:
    scale = Scale.around(values, 10.0, 110.0)
    assert all(10.0 <= scale(value) <= 110.0 for value in values)
    assert 1 <= len(scale.ticks()) <= 8


def test_a_report_without_rounds_can_be_shown() -> None:
    found = EMPTY.diagnostics().diagnosis()
    report = msgspec.structs.replace(
        PARTIAL, diagnostics=found, rounds=0, estimates=[], reference_estimates=[], differences=[]
    )
    assert Page(to_html(report)).named("table")
    assert to_text(report)


def test_a_reference_policy_s_diagnostics_stand_beside_the_target_s() -> None:
    report = msgspec.structs.replace(HEALTHY, reference="uniform", reference_diagnostics=PARTIAL.diagnostics)
    assert "Can the log answer for uniform?" in to_text(report)
    assert "Weights and support: uniform" in Page(to_html(report)).text
    assert Report.of_json(report.to_json()) == report
