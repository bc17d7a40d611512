"""What stands under a cell of a notebook."""

from __future__ import annotations

from html import escape

_STYLE = "display: block; width: 100%; resize: vertical; border: 1px solid #d5dadf; border-radius: 8px"


def framed(page: str, title: str, height: str) -> str:
    """A whole page as an element of another one: neither restyles the other, nor do their ids meet.

    It scrolls; whoever wants more of it at once pulls its lower edge. It may run no scripts.

    >>> framed("<p>Better.</p>", "Report", "40rem")
    '<iframe title="Report" sandbox="allow-same-origin" srcdoc="&lt;p&gt;Better.&lt;/p&gt;" style="...'
    """
    attributes = {
        "title": title,
        "sandbox": "allow-same-origin",  # else a process of its own draws it, late, and some browsers never
        "srcdoc": page,
        "style": f"{_STYLE}; background: #fff; height: {height}",
    }
    written = " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())
    return f"<iframe {written}></iframe>"
