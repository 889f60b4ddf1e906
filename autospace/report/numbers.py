"""Numbers as the tables and sentences of a report show them."""

from autospace.charts.scale import with_minus
from autospace.report.html import Number


def signed(value: float, digits: int = 3) -> str:
    """A fitness or difference with its sign."""
    return with_minus(f"{value:+.{digits}f}")


def fitness(value: float | None) -> Number:
    """A fitness in a table."""
    return missing() if value is None else Number(signed(value), value)


def share(value: float | None) -> Number:
    """A share in whole per cent."""
    return missing() if value is None else Number(f"{value:.0%}", value)


def whole(value: int | None) -> Number:
    """A count with its thousands set off."""
    return missing() if value is None else Number(f"{value:,}", value)


def decimal(value: float | None, digits: int) -> Number:
    """A number with so many digits after the point."""
    return missing() if value is None else Number(with_minus(f"{value:.{digits}f}"), value)


def probability(value: float | None) -> Number:
    """A p-value."""
    if value is None:
        return missing()
    return Number("< 0.001" if value < 0.001 else f"{value:.3f}", value)


def missing() -> Number:
    """What is not known."""
    return Number("-", None)


def size_text(size: int) -> str:
    """A number of architectures; a power of ten where it is large."""
    return f"{size:,}" if size < 10**7 else f"about 10^{len(str(size)) - 1}"


def duration(seconds: float) -> str:
    """A time in its two largest units."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"
