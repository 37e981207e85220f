"""Tables and ratios. A ratio is taken within a round, where both were measured next to each other; of the rounds' ratios
the median counts."""

import statistics

COLUMNS = [  # title, field, format
    ("req/s", "rate", "{:,.0f}"), ("p50 ms", "p50", "{:.2f}"), ("p99 ms", "p99", "{:.2f}"),
    ("p99.9 ms", "p999", "{:.2f}"), ("longest pause ms", "pause", "{:.0f}"), ("CPU us/req", "cpu_usec", "{:.1f}"),
    ("peak MiB", "resident_kib", "{:.1f}"), ("WAL MiB", "watched_bytes", "{:.1f}"), ("group", "group", "{:.0f}"),
    ("acknowledged", "acknowledged", "{:,.0f}"), ("of these lost", "lost", "{:,.0f}"),
]
SCALES = {"resident_kib": 1 / 1024, "watched_bytes": 1 / 1048576}


def table(header, rows):
    """Lines of a table that is one in Markdown, too."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]

    def line(cells):
        return "| " + " | ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w)
                                 for i, (c, w) in enumerate(zip(cells, widths))) + " |"

    return [line(header), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(line, rows)]


def number(value, form="{:.2f}"):
    return "" if value is None else form.format(value)


def cell(rows, field, form):
    if field == "lost":  # of all rounds, not of the middle one
        values = [row["lost"] for row in rows if row.get("lost") is not None]
        return form.format(sum(values)) if values else ""
    values = [row[field] for row in rows if row.get(field) is not None]
    return form.format(statistics.median(values) * SCALES.get(field, 1)) if values else ""


def names_of(rounds):
    return list(dict.fromkeys(row["name"] for rows in rounds for row in rows))


def of_name(rounds, name):
    return [row for rows in rounds for row in rows if row["name"] == name]


def load_table(rounds):
    """Medians over the rounds, a row for each server."""
    lines = []
    for name in names_of(rounds):
        rows = of_name(rounds, name)
        if rows[0].get("missing"):
            lines.append([f"{name}: not here ({rows[0]['missing']})", *[""] * len(COLUMNS)])
        else:
            lines.append([name, *(cell(rows, field, form) for _, field, form in COLUMNS)])
    return table(["", *(title for title, _, _ in COLUMNS)], lines)


def ratio(rounds, field, over, under):
    """The median of over/under, round by round; None where one of them was never measured."""
    ratios = []
    for rows in rounds:
        values = {row["name"]: row.get(field) for row in rows}
        if values.get(over) and values.get(under):
            ratios.append(values[over] / values[under])
    return statistics.median(ratios) if ratios else None


def ratios(rounds, field, over):
    """That of `over` to each of the others."""
    found = {}
    for name in names_of(rounds):
        value = ratio(rounds, field, over, name)
        if name != over and value is not None:
            found[name] = value
    return found
