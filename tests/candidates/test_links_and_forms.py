import pytest
from starlette.datastructures import QueryParams

from app.candidates.forms import ListForm
from app.candidates.links import jump_target, web_link
from app.candidates.tags import tags
from app.errors import Invalid
from app.web.deps import parse


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("C-20418", 20418),
        ("c20418", 20418),
        (" 20418 ", 20418),
        ("Cabc_-9", "Cabc_-9"),
        ("https://www.instagram.com/p/Cabc_-9/?img_index=2", "Cabc_-9"),
        ("https://instagram.com/some.one/reel/Cabc_-9/", "Cabc_-9"),
        ("glands with mucin", None),
        ("", None),
        ("9" * 13, "9" * 13),
    ],
)
def test_a_number_a_shortcode_or_an_address_names_a_candidate(typed: str, target: int | str | None) -> None:
    assert jump_target(typed) == target


@pytest.mark.parametrize("url", [None, "", "javascript:alert(1)", "data:text/html,x", "https://a\n.b/"])
def test_only_web_addresses_become_links(url: str | None) -> None:
    assert web_link(url) is None
    assert web_link("https://www.instagram.com/p/C1/") == "https://www.instagram.com/p/C1/"


def listed(query: str) -> ListForm:
    return parse(ListForm, QueryParams(query))  # type: ignore[arg-type]


def test_empty_fields_of_the_form_filter_nothing() -> None:
    wanted = listed("q=&source=&stopped=&stage=&low=&high=&import_id=&layout=rows")
    assert wanted == ListForm()
    assert wanted.query() == ""


def test_a_query_can_be_written_again_with_changes() -> None:
    wanted = listed("state=queued&state=flagged&low=0.5&stage=domain&before=9")
    assert wanted.query(before=None, state=["flagged"]) == "state=flagged&stage=domain&low=0.5"


@pytest.mark.parametrize(
    "query", ["state=nonsense", "stopped=nonsense", "source=x", "low=much", "before=0", "source=" + "9" * 30]
)
def test_nonsense_in_the_address_is_refused(query: str) -> None:
    with pytest.raises(Invalid):
        listed(query)


def test_each_filter_has_a_tag_that_takes_it_off() -> None:
    wanted = listed("state=queued&state=open&source=3&stopped=domain&stage=domain&low=0.25&import_id=7&post=2")
    found = dict(tags(wanted, {3: "path_demo_01"}))
    assert list(found) == [
        "Queued",
        "Open to you",
        "path_demo_01",
        "Import 7",
        "One post",
        "Stopped by Histology",
        "Histology 0.25 to any",
    ]
    assert "state=queued" not in found["Queued"]
    assert "state=open" in found["Queued"]
    assert "low" not in found["Histology 0.25 to any"]
