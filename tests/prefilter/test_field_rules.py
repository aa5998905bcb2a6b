"""Fields that a caption names outright, and none where it names several or none."""

import pytest

from app.prefilter.field_rules import fields_in


@pytest.mark.parametrize(
    ("caption", "fields"),
    [
        ("Basal cell carcinoma of the skin, H&E, 40×.", {"organ": "skin", "stain": "he", "magnification": "40"}),
        ("Carcinoma de mama: 40×H&E", {"stain": "he", "magnification": "40"}),
        ("Basaliom, HE 10x", {"stain": "he", "magnification": "10"}),
        ("He had a nodule that he noticed last year.", {}),
        ("Plump fibroblasts? Giemsa requested. 40× H&E, forearm", {"stain": "he", "magnification": "40"}),
        ("Nests of cells, 40xH&E", {"stain": "he", "magnification": "40"}),
        ("H＆E, PAS stain is pending", {"stain": "he"}),
        ("E-cadherin IHC, DAB with hematoxylin counterstain", {"stain": "ihc"}),
        ("p63, basal nuclei. Compare with the H&E.", {}),
        ("Compared to H&E, the PAS shows the fungi", {"stain": "pas"}),
        ("H&E and PAS, ×10 and ×40", {}),
        ("Canine mast cell tumour, Giemsa", {"species": "animal", "stain": "giemsa"}),
        ("Size 10 x 12 mm, CD20x", {}),
    ],
)
def test_a_field_is_set_only_where_the_caption_names_one_value(caption: str, fields: dict[str, str]) -> None:
    assert fields_in(caption) == fields
