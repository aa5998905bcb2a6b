"""The `site` fixture for every test of this folder."""

from tests.web.site import site

__all__ = ["site"]
