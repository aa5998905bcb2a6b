"""What the catalogue says of sets, and the words that stand for their classes."""

import json

import pytest

from app.evaluation import catalogue
from workers.evaluation_sets.layouts import READERS

LAYOUTS = list(catalogue.sets())
GENERIC = ("folders", "table", "captions", "clip_benchmark")


def test_every_layout_that_can_be_read_is_in_the_catalogue_and_no_other() -> None:
    assert set(LAYOUTS) == set(READERS)


def test_the_seven_of_the_paper_come_first() -> None:
    assert LAYOUTS[:7] == ["kather", "pannuke", "digestpath", "wsss4luad", "sicapv2", "lc25000", "bach"]
    assert [layout for layout in LAYOUTS if catalogue.known(layout).of_paper] == LAYOUTS[:7]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_expected_counts_name_known_variants_and_classes_and_add_up(layout: str) -> None:
    known = catalogue.known(layout)
    assert set(known.expected) <= {variant.name for variant in known.variants}
    for splits in known.expected.values():
        for of_class in splits.values():
            assert set(of_class) <= {catalogue.EVERY, *known.classes}
            if counts := [count for key, count in of_class.items() if key != catalogue.EVERY]:
                assert of_class[catalogue.EVERY] == sum(counts)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_set_says_its_licence_and_where_it_comes_from(layout: str) -> None:
    known = catalogue.known(layout)
    assert known.licence
    assert known.source.startswith("https://") or layout in GENERIC
    assert all(trap.endswith(".") for trap in known.traps)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if catalogue.known(layout).classes])
def test_our_own_wording_names_every_class_of_a_set(layout: str) -> None:
    ours = next(iter(catalogue.wordings(layout).values()))
    assert ours.preset == catalogue.OWN
    assert set(ours.names) == set(catalogue.known(layout).classes)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_prompt_can_be_written_and_none_is_empty(layout: str) -> None:
    for wording in catalogue.wordings(layout, classes=("tumour_tissue", "Normal-mucosa")).values():
        assert wording.version >= 1
        assert wording.source
        assert set(wording.names) <= {*catalogue.known(layout).classes, "tumour_tissue", "Normal-mucosa"}
        for template in wording.templates:
            assert template.count("{}") == 1
            assert template.replace("{}", "").count("{") == 0
        for names in wording.names.values():
            assert names
            assert all(name == name.strip() and name for name in names)
            assert len(set(names)) == len(names)


def test_two_classes_of_a_set_never_share_a_name() -> None:
    for layout in LAYOUTS:
        for wording in catalogue.wordings(layout).values():
            every = [name.casefold() for names in wording.names.values() for name in names]
            assert len(every) == len(set(every)), (layout, wording.preset)


def test_classes_of_a_generic_set_are_worded_from_their_keys() -> None:
    ours = catalogue.wordings("folders", classes=("tumour_tissue", "0_N"))[catalogue.OWN]
    assert ours.names == {"tumour_tissue": ("tumour tissue",), "0_N": ("0 N",)}


def test_plip_s_protocol_is_its_published_template_and_names() -> None:
    assert catalogue.wordings("kather")["plip"].templates == ("An H&E image patch of {}.",)
    assert catalogue.wordings("kather")["plip"].names["STR"] == ("cancer-associated stroma",)
    assert catalogue.wordings("pannuke")["plip"].templates == ("An H&E image of {} tissue.",)


def test_quiltnet_leaves_the_background_of_kather_out() -> None:
    quilt = catalogue.wordings("kather")["quilt"]
    assert set(catalogue.known("kather").classes) - set(quilt.names) == {"BACK"}
    assert len(quilt.templates) == 4


def test_conch_s_protocol_is_its_22_templates_and_its_synonyms() -> None:
    conch = catalogue.wordings("kather")["conch"]
    assert len(set(conch.templates)) == 22
    assert all(template.endswith(".") for template in conch.templates)
    assert conch.names["ADI"] == ("adipose", "adipose tissue", "adipocytes", "fat", "fat cells")
    assert "QuiltNet's names" in conch.source, "it says which names are not CONCH's"


def test_histo_transclip_s_protocol_is_conch_s_templates_with_long_names_of_the_grades() -> None:
    long = catalogue.wordings("sicap_mil")["histo_transclip"]
    assert long.templates == catalogue.wordings("kather")["conch"].templates
    assert long.names["NC"] == ("non-cancerous well-differentiated glands",)
    assert long.names == catalogue.wordings("sicapv2")["histo_transclip"].names


def test_an_unknown_layout_is_an_error() -> None:
    with pytest.raises(KeyError):
        catalogue.known("imagenet")


def test_a_variant_that_a_folder_brings_itself_is_only_a_name() -> None:
    assert catalogue.known("kather").variant("mine") == catalogue.Variant("mine", None, "")
    assert catalogue.known("digestpath").variant("leak-safe").leak_safe is True


def test_data_files_hold_no_key_that_nothing_reads() -> None:
    fields = {"title", "about", "of_paper", "of_pairs", "ordered", "classes", "expected", "licence", "forbids"}
    for file in sorted((catalogue.DATA / "sets").iterdir()):
        assert set(json.loads(file.read_text())) == fields | {"source", "traps", "variants"}, file.name
