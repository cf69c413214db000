"""A report as one HTML file and as a PDF, both without anything beside them."""

import base64
import io
import textwrap
from html import escape
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from em.harness.report import Report, Section, Table

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em; margin-bottom: 0 } h2 { font-size: 1.15em; margin-top: 2.2em; border-bottom: 1px solid #ddd }
.good { color: #00664d } .bad { color: #b2182b } .verdict { font-size: 1.15em; font-weight: 600; margin-top: .3em }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th { text-align: left; border-bottom: 2px solid #888 } td, th { padding: 2px 14px 2px 0; vertical-align: top }
td { overflow-wrap: anywhere; border-bottom: 1px solid #eee }
td.n { text-align: right; white-space: nowrap } img { max-width: 100% }
"""
_A4 = (11.69, 8.27)
_TEXT = 165  # characters of a table across a page
_LINE = 0.0225  # of a page's height
_LEFT, _BOTTOM = 0.05, 0.05


def html(report: Report) -> str:
    """One file: figures are inside."""
    verdict = f'<p class="verdict {"good" if report.good else "bad"}">{escape(report.verdict)}</p>'
    parts = [f"<h1>{escape(report.title)}</h1>{verdict}", *(_html_section(section) for section in report.sections)]
    head = f'<meta charset="utf-8"><title>{escape(report.title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def pdf(report: Report, path: Path) -> None:
    """Landscape A4; text can be searched."""
    with PdfPages(path, metadata={"Title": report.title, "Creator": "quantumai"}) as pages:
        for page in _pages(report):
            pages.savefig(page)


def write(report: Report, folder: Path) -> tuple[Path, Path]:
    """`report.html` and `report.pdf` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    places = folder / "report.html", folder / "report.pdf"
    places[0].write_text(html(report))
    pdf(report, places[1])
    return places


def _html_section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>", *(f"<p>{escape(text)}</p>" for text in section.text)]
    if section.draw:
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        section.draw(figure)
        content = io.BytesIO()
        with rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
            figure.savefig(content, format="svg")
        coded = base64.b64encode(content.getvalue()).decode()
        parts.append(f'<img alt="{escape(section.title)}" src="data:image/svg+xml;base64,{coded}">')
    if section.table:
        parts.append(_html_table(section.table))
    return "".join(parts)


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    kinds = [" class=n" if number else "" for number in _numbers(table)]
    rows = ("".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in table.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>"


def _pages(report: Report) -> list[Figure]:
    pages: list[Figure] = []
    for section in report.sections:
        rows = list(section.table.rows) if section.table else []
        page, top = _begun(report, section, len(pages))
        pages.append(page)
        if section.draw:
            section.draw(page.add_subfigure(page.add_gridspec(2, 1, height_ratios=(1 - top, top - _BOTTOM / 2))[1]))
        while section.table and rows:
            rows = _tabled(page, section.table, rows, top)
            if rows:
                page, top = Figure(figsize=_A4), 0.95
                page.text(_LEFT, top, f"{section.title}, continued", fontsize=13, weight="bold")
                top -= 2 * _LINE
                pages.append(page)
    for number, page in enumerate(pages, 1):
        page.text(0.95, 0.02, f"{number} / {len(pages)}", fontsize=8, ha="right", color="#666666")
    return pages


def _begun(report: Report, section: Section, number: int) -> tuple[Figure, float]:
    """A page with the section's title and text, and how far up it is still free."""
    page, top = Figure(figsize=_A4, layout="constrained" if section.draw else None), 0.95
    if number == 0:
        page.text(_LEFT, top - 0.01, report.title, fontsize=20, weight="bold")
        page.text(_LEFT, top - 0.06, report.verdict, fontsize=14, color="#00664d" if report.good else "#b2182b")
        top -= 0.13
    page.text(_LEFT, top, section.title, fontsize=13, weight="bold")
    top -= 1.2 * _LINE
    for text in section.text:
        lines = textwrap.wrap(text, 140)
        page.text(_LEFT, top, "\n".join(lines), fontsize=9, va="top", linespacing=1.3)
        top -= _LINE * (len(lines) + 0.6)
    return page, top


def _tabled(page: Figure, table: Table, rows: list[tuple[str, ...]], top: float) -> list[tuple[str, ...]]:
    """Draws as many rows as fit, and returns the others."""
    widths = [max(map(len, column)) + 2 for column in zip(table.headings, *table.rows, strict=True)]
    while sum(widths) > _TEXT:
        widths[widths.index(max(widths))] -= 1
    numbers = _numbers(table)
    starts = [sum(widths[:column]) for column in range(len(widths))]
    top -= 0.5 * _LINE

    def draw(cells: tuple[str, ...], weight: str) -> float:
        wrapped = [textwrap.wrap(cell, width - 1) or [""] for cell, width in zip(cells, widths, strict=True)]
        for lines, start, width, right in zip(wrapped, starts, widths, numbers, strict=True):
            x = _LEFT + 0.9 / _TEXT * (start + (width - 2 if right else 0))
            page.text(x, top, "\n".join(lines), fontsize=8, va="top", ha="right" if right else "left", weight=weight)
        return _LINE * max(map(len, wrapped))

    top -= draw(table.headings, "bold")
    while rows and top - _LINE * (1 + max(len(cell) // width for cell, width in zip(rows[0], widths, strict=True))) > _BOTTOM:
        top -= draw(rows[0], "normal")
        rows = rows[1:]
    return rows


def _numbers(table: Table) -> list[bool]:
    """Which columns hold nothing but numbers."""
    return [all(map(_is_number, column)) for column in zip(*table.rows, strict=True)]


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() and not set(cell) - set("0123456789.,x%-")
