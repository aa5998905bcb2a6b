"""Figures of what the product promises to be quick or small at: `python -m bench`."""
