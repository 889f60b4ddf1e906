"""The report on a run or a comparison: one self-contained HTML file."""

from autospace.report.write import figures, report_json, report_text, write_report

__all__ = ["figures", "report_json", "report_text", "write_report"]
