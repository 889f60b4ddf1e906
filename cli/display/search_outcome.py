"""What a search found, in a few lines, and the commands to type next."""

import shlex
from pathlib import Path
from typing import Any

from autospace.cli.output import data, json_data

BAR = 30
"""Characters of a cosine of 1."""


def tell_outcome(path: Path, result: dict[str, Any], format_: str) -> None:
    """Prints the result: whole as JSON, or for people."""
    if format_ == "json":
        json_data(result)
        return
    best = shlex.quote(str(path / "best.json"))
    source = result["config"]["data"]["source"]
    lines = [
        f"{result['method']} searched {result['space']}: {result['evaluations']:,} networks judged "
        f"in {result['seconds']:.0f} s.",
        "",
        "Finalists, trained alone, best first:",
        "  accuracy  predicted   MAdds     params",
    ]
    for each in result["finalists"]:
        predicted = each["predicted_accuracy"]
        told = "      -" if predicted is None else f"{predicted:7.1%}"
        madds, params = each["madds"] / 1e6, each["params"] / 1e6
        lines.append(f"  {each['accuracy']:7.1%}    {told}  {madds:7.2f}M  {params:7.3f}M")
    lines += _interference(result.get("interference", []))
    lines += [
        "",
        f"Accuracy is on validation images ({source}), after a short training.",
        f"Written: {shlex.quote(str(path / 'result.json'))}, {best}. Next:",
        f"  autospace show {best}",
        f"  autospace train {best} --data ...        train it in full",
        f"  autospace export {best} --to onnx --out net.onnx",
    ]
    data("\n".join(lines))


def _interference(points: list[dict[str, Any]]) -> list[str]:
    """The agreement of gradients as a bar per number of differing layers."""
    if not points:
        return []
    lines = ["", "Gradients of shared weights, by the number of layers in which networks differ:"]
    for each in points:
        error = "" if each["error"] is None else f" ± {each['error']:.2f}"
        bar = "█" * round(BAR * max(0.0, each["cosine"]))
        lines.append(
            f"  {each['differing']:3}  cosine {each['cosine']:5.2f}{error}  {bar}".rstrip()
        )
    return lines
