"""A report as one page that needs nothing else: no scripts, no fonts, no images from anywhere."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from simulations.diagnostics.diagnosis import Breakdown, Diagnosis
from simulations.evaluation.values import Estimate, Report
from simulations.report import plots, words

#: More groups of a breakdown are in the JSON.
MOST_GROUPS = 30


def to_html(report: Report) -> str:
    """The page, in UTF-8. Whatever a log or a name contains is escaped."""
    page = template("page.html.j2").render(
        report=report,
        verdict=report.verdict,
        found=report.diagnostics,
        reference_found=report.reference_diagnostics,
        primary=_primary(report),
        breakdowns=_breakdowns(report.diagnostics),
        most=MOST_GROUPS,
        plots=plots,
        words=words,
        reference_value=next((each.value for each in report.reference_estimates[:1]), None),
    )
    return page.strip().encode("utf-8", "replace").decode()  # without lone surrogates


@cache
def template(name: str) -> Template:
    """One of the pages here; it escapes what it is given."""
    environment = Environment(
        loader=PackageLoader("simulations.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _primary(report: Report) -> list[tuple[str, Estimate]]:
    """The three figures of the estimator that decides; fewer where it has none."""
    named = (
        ("Target policy", report.estimates),
        ("Reference", report.reference_estimates),
        ("Difference", report.differences),
    )
    found = [
        (name, each) for name, estimates in named for each in estimates if each.estimator == report.primary
    ]
    return [(name, each) for name, each in found if each.value is not None]


def _breakdowns(found: Diagnosis) -> list[tuple[str, str, Breakdown]]:
    pairs = [("action", found.actions), ("segment", found.segments), ("day", found.days)]
    return [
        (name, f"By {name}", breakdown)
        for name, breakdown in pairs
        if len(breakdown.groups) > 1 or breakdown.other is not None
    ]
