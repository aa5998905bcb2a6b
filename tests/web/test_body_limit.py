from collections.abc import Iterator

import pytest

from tests.web.site import Site


def in_pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // 100):
        yield b"x" * 100


def test_a_body_within_the_limit_is_read(site: Site) -> None:
    assert site.client().post("/read", content=b"x" * 1000).json() == {"taken": 1000}


def test_a_body_that_says_it_is_too_long_is_refused_with_the_limit(site: Site) -> None:
    answer = site.client().post("/read", content=b"x" * 1001)
    assert answer.status_code == 413
    assert "At most 1\u00a0kB can be sent here. Nothing was changed." in answer.text


def test_a_body_without_a_length_is_counted(site: Site) -> None:
    assert site.client().post("/read", content=in_pieces(900)).json() == {"taken": 900}
    assert site.client().post("/read", content=in_pieces(2000)).status_code == 413
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert site.client().post("/form", content=in_pieces(2000), headers=form).status_code == 413


def test_a_path_of_its_own_limit_takes_more(site: Site) -> None:
    assert site.client().post("/upload", content=b"x" * 5000).json() == {"taken": 5000}
    assert site.client().post("/upload", content=b"x" * 5001).status_code == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-long": "a" * 40_000}, 431),
        ({"range": "bytes=" + "0-1," * 100}, 400),
        ({"range": "bytes=0-99"}, 200),
        ({"content-length": "-1"}, 400),
        ({"content-length": "many"}, 400),
    ],
)
def test_headers_that_cost_too_much_are_refused(site: Site, headers: dict[str, str], status: int) -> None:
    assert site.client().get("/", headers=headers).status_code == status
