"""Text tables with aligned columns, for commands and reports."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Rows as lines, columns two spaces apart.

    Args:
        rows: Cells, every row with the same number of them.
        left: Number of leading columns aligned to the left; the others are aligned to the right.

    Example:
        >>> print(text_table([("", "before", "after"), ("jaw", "1.5", "0.25")]))
             before  after
        jaw     1.5   0.25
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip() if left == len(widths) else "  ".join(cells))
    return "\n".join(lines)
