"""The tables of `tritrace data stats` and `tritrace data corruptions`."""

from collections.abc import Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from data.checks.counts import TRAITS, Counts
from data.corruptions import CORRUPTIONS
from data.corruptions.precision import Precision
from data.pairs.lengths import LengthGap
from protocol.diagnostics import printable


def balance_tables(counts: Counts) -> Iterator[Table]:
    """Yield a table of the files, and a table for each trait."""
    files = _table("Files", "file", "rows of", "split", numbers=("rows",))
    for (file, kind, split), count in sorted(counts.rows.items()):
        files.add_row(*(Text(printable(text)) for text in (file, kind, split)), f"{count:,}")
    yield files
    for trait, title in TRAITS.items():
        table = _table(title, trait, numbers=("rows", "share"))
        values = [(value, by_file.total()) for value, by_file in counts.balance(trait)]
        total = sum(count for _, count in values)
        for value, count in values:
            table.add_row(Text(printable(value)), f"{count:,}", f"{100 * count / total:.1f} %")
        if values:
            yield table


def length_table(gaps: Mapping[str, LengthGap]) -> Table:
    """Return the table of length differences between chosen and rejected, by corruption."""
    numbers = ("pairs", "mean", "95 %", "median", "chosen longer", "AUC")
    table = _table("Characters of chosen minus rejected", "corruption", numbers=numbers)
    for name, gap in gaps.items():
        interval = f"{gap.low:.1f} to {gap.high:.1f}"
        shares = f"{100 * gap.longer_share:.1f} %", f"{gap.auc:.3f}"
        table.add_row(Text(printable(name)), f"{gap.n:,}", f"{gap.mean:.1f}", interval, f"{gap.median:.1f}", *shares)
    return table


def corruption_table(measured: Mapping[str, Precision]) -> Table:
    """Return the table of corruptions and their codes, with the measured share of rows with exactly these codes."""
    table = _table("Corruptions", "family", "name", "causes", numbers=("rows", "exact") if measured else ())
    for name, entry in CORRUPTIONS.items():
        found = measured.get(name)
        numbers = () if found is None else (f"{found.num_applied:,}", _exact(found))
        table.add_row(entry.family, name, " ".join(sorted(entry.codes)), *numbers)
    return table


def _exact(found: Precision) -> str:
    wrong = "; ".join(f"{codes} x {count}" for codes, count in found.caused_instead.most_common(3))
    return "–" if found.share is None else f"{100 * found.share:.1f} %{f' ({wrong})' if wrong else ''}"


def _table(title: str, *names: str, numbers: tuple[str, ...] = ()) -> Table:
    table = Table(*names, box=SIMPLE_HEAD, title=title, title_justify="left")
    for name in numbers:
        table.add_column(name, justify="right")
    return table
