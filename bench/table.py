"""What `python -m bench models` measured, as Markdown tables and as a plot.

A row is what one race found: {"network", "what" ("training" or "inference"), "batch", "threads", "flops",
"peak_flops_per_second", "seconds": {candidate: [the median of each block]}} and, for training, "memory_bytes":
{candidate: peak above the loaded model}.
"""

import math
import statistics

OWN = "cnncore"
TITLES = {"training": "training step", "inference": "inference"}


def medians(row):
    """{candidate: seconds}."""
    return {name: statistics.median(seconds) for name, seconds in row["seconds"].items()}


def best_peer(row):
    """(name, seconds) of the fastest candidate that is not ours; None where there is none."""
    peers = [item for item in medians(row).items() if item[0] != OWN]
    return min(peers, key=lambda item: item[1]) if peers else None


def ratio(row):
    """How many times as fast as the best peer; None where there is none."""
    peer = best_peer(row)
    return peer[1] / medians(row)[OWN] if peer else None


def summary(row):
    """The medians of all candidates and the ratio, in a line."""
    times = ", ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in medians(row).items())
    found = ratio(row)
    return f"{times}; {found:.2f} times the best peer" if found else times


def memory_ratio(row):
    """Our peak memory by that of the most frugal peer; None where it was not measured."""
    memory = row.get("memory_bytes", {})
    peers = [value for name, value in memory.items() if name != OWN]
    return memory[OWN] / min(peers) if peers else None


def _milliseconds(seconds):
    """Three digits, and all those before the point."""
    found = 1e3 * seconds
    digits = 2 - math.floor(math.log10(found)) if found > 0 else 0
    return f"{found:.{max(0, digits)}f}"


def markdown(rows):
    """A table for training and one for inference."""
    parts = []
    for what, title in TITLES.items():
        chosen = [row for row in rows if row["what"] == what]
        if not chosen:
            continue
        peers = list(dict.fromkeys(name for row in chosen for name in row["seconds"] if name != OWN))
        head = [
            title,
            f"{OWN}, ms",
            "images/s",
            "GF/s",
            "of the peak",
            *(f"{name}, ms" for name in peers),
            "ratio to the best",
        ]
        if what == "training":
            head += ["memory, MiB", "of the least of the peers"]
        lines = [head, ["---", *["---:"] * (len(head) - 1)]]
        for row in chosen:
            found = medians(row)
            own, best = found[OWN], best_peer(row)
            rate = row["flops"] / own
            line = [
                f"{row['network']}, {row['batch']}",
                _milliseconds(own),
                f"{row['batch'] / own:,.0f}",
                f"{rate / 1e9:,.0f}",
                f"{rate / row['peak_flops_per_second']:.0%}",
            ]
            for name in peers:
                text = _milliseconds(found[name]) if name in found else ""
                line.append(f"**{text}**" if best and name == best[0] else text)
            line.append(f"{ratio(row):.2f}" if best else "")
            if what == "training":
                share = memory_ratio(row)
                line += [
                    f"{row['memory_bytes'][OWN] / 2**20:,.0f}" if row.get("memory_bytes") else "",
                    "" if share is None else f"{share:.2f}",
                ]
            lines.append(line)
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)


def plot(rows, path):
    """The speed of every candidate as a share of the measured peak, a group of bars for a row; by matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    kinds = [what for what in TITLES if any(row["what"] == what for row in rows)]
    figure, axes = pyplot.subplots(len(kinds), 1, figsize=(12, 4.5 * len(kinds)), squeeze=False, layout="constrained")
    for axis, what in zip(axes[:, 0], kinds):
        chosen = [row for row in rows if row["what"] == what]
        names = list(dict.fromkeys(name for row in chosen for name in row["seconds"]))
        width = 0.8 / len(names)
        for i, name in enumerate(names):
            found = [(at, medians(row)[name], row) for at, row in enumerate(chosen) if name in row["seconds"]]
            axis.bar(
                [at + (i - (len(names) - 1) / 2) * width for at, _, _ in found],
                [100 * row["flops"] / seconds / row["peak_flops_per_second"] for _, seconds, row in found],
                width,
                label=name,
            )
        labels = [
            f"{row['network']}, {row['batch']}" + (f"\n{ratio(row):.2f}x" if best_peer(row) else "") for row in chosen
        ]
        axis.set_xticks(range(len(chosen)), labels)
        axis.axhline(100, color="black", linewidth=0.8)
        axis.set_ylabel("% of the multiply-add peak,\ncounted as direct convolution")
        axis.set_title(f"{TITLES[what]}, {chosen[0]['threads']} threads; below: cnncore's speed by the best peer's")
        axis.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
