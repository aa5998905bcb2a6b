"""Cells of files that people open in a spreadsheet."""

FORMULA = tuple("=+-@\t\r＝＋－＠")


def neutral(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula (OWASP: CSV injection); only text changes."""
    if isinstance(cell, str) and cell.lstrip(" \n").startswith(FORMULA):
        return f"'{cell}"
    return cell
