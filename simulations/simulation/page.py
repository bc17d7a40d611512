"""A simulation as one self-contained HTML page: its figures and its plot."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import StrictUndefined

from bandit.errors import SetupError
from simulations.simulation.regret_plot import as_svg
from simulations.simulation.summaries import Simulation

_PAGE = """{% macro cell(figure, form) %}{{ form.format(figure.mean) }}
{% if figure.interval %}<small>{{ form.format(figure.interval.low) }} to
{{ form.format(figure.interval.high) }}</small>{% endif %}{% endmacro -%}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ found.environment }}: simulation</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; }
  body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
  th, td { padding: .35rem .9rem; text-align: right; border-bottom: 1px solid #ddd; }
  th:first-child, td:first-child { text-align: left; }
  td small { color: #595959; display: block; }
  svg { max-width: 100%; height: auto; }
  .warning { border-left: .3rem solid #d55e00; padding-left: .8rem; }
</style>
</head>
<body>
<h1>{{ found.environment }}</h1>
<p>{{ "{:,}".format(found.rounds) }} rounds, seeds: {{ found.seeds | length }}.
In small print: 95 % intervals over seeds. Values are exact expectations; only streams and draws vary.</p>
<table>
<thead><tr><th>policy</th><th>reward per round</th><th>share of optimum</th>
<th>regret against the optimum</th><th>against the best fixed action</th></tr></thead>
<tbody>
{% for one in found.summaries %}<tr><td>{{ one.policy }}</td>
<td>{{ cell(one.value, "{:.4f}") }}</td><td>{{ cell(one.share, "{:.1%}") }}</td>
<td>{{ cell(one.regret, "{:,.1f}") }}</td><td>{{ cell(one.regret_best_fixed, "{:,.1f}") }}</td></tr>
{% endfor %}<tr><td>best fixed action</td><td>{{ cell(found.best_fixed, "{:.4f}") }}</td></tr>
<tr><td>optimum</td><td>{{ cell(found.optimum, "{:.4f}") }}</td></tr>
</tbody>
</table>
{% for one in found.summaries if one.fallbacks %}
<p class="warning">{{ one.policy }} failed in {{ "{:,}".format(one.fallbacks) }} rounds,
in which the first action was served.</p>
{% endfor %}
{{ plot | safe }}
</body>
</html>
"""


def page(found: Simulation) -> str:
    """The page as text; it needs nothing from elsewhere."""
    template = Templates(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)
    return template.render(found=found, plot=as_svg(found))


def save_page(found: Simulation, path: Path) -> None:
    """Write the page.

    Raises:
        SetupError: it cannot be written there.
    """
    try:
        path.write_text(page(found))
    except OSError as error:
        raise SetupError(f"expected to write the page to {path}, got {error}.") from error
