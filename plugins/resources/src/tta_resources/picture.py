"""Samples as a picture in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tta_program import moment

from .model import Sample

_WIDTH = 30
_BARS = " ▁▂▃▄▅▆▇█"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def picture(samples: Sequence[Sample], node: str) -> Sequence[str]:
    """Return the lines for the last of some samples; those before it are shown as a curve."""
    last = samples[-1]
    lines = [f"{node}  {moment(last.at)}", ""]
    if memory := last.memory:
        text = f"{size(memory.used)} of {size(memory.total)}, {size(memory.available)} available"
        if memory.kills:
            text += f"; killed for it: {memory.kills}"
        lines.append(_line("memory", memory.fraction, text))
    if processors := last.processors:
        text = f"of {processors.cores:g} cores"
        if processors.throttled:
            text += f"; throttled {processors.throttled} times, {processors.throttled_seconds:.0f} s"
        lines.append(_line("processors", processors.fraction, text))
    for disk in last.disks:
        text = f"{size(disk.free)} of {size(disk.total)} free"
        lines.append(_line(f"disk {disk.path}", disk.fraction, text))
    if last.stalls:
        told = "   ".join(f"{name} {stall.some10:g} %" for name, stall in last.stalls.items())
        lines.append(f"{'waited for':<12} {told}   (some tasks, in the last 10 s)")
    lines.append(f"{'process':<12} {size(last.own.memory)} resident, {last.own.seconds:.1f} s of processor time")
    if len(samples) > 1:
        lines += ["", _curve("memory", samples, _fullness)]
        lines.append(_curve("processors", samples, _business))
    lines += [f"{what}: {why}" for what, why in last.errors.items()]
    return lines


def size(count: int) -> str:
    """Return bytes as people read them."""
    number, unit = float(count), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"


def _fullness(sample: Sample) -> float | None:
    return sample.memory.fraction if sample.memory else None


def _business(sample: Sample) -> float | None:
    return sample.processors.fraction if sample.processors else None


def _line(name: str, fraction: float | None, text: str) -> str:
    if fraction is None:
        return f"{name:<12} {'':{_WIDTH}}    ? %  {text}"
    full = round(fraction * _WIDTH)
    return f"{name:<12} {'█' * full}{'░' * (_WIDTH - full)}  {fraction:4.0%}  {text}"


def _curve(name: str, samples: Sequence[Sample], read: Callable[[Sample], float | None]) -> str:
    """Return one character a sample, the newest at the right."""
    found = [read(sample) for sample in samples]
    bars = "".join(" " if one is None else _BARS[round(one * (len(_BARS) - 1))] for one in found)
    return f"{name:<12} {bars}"
