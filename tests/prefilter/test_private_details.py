"""What in a text may identify a patient is found as spans, by kind; what pathology writes is not taken for it."""

import pytest

from app.prefilter.privacy import PrivateKind
from app.prefilter.private_details import Detail, find, merged, without
from workers.ml import names

K = PrivateKind


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("Seen on 12 March 2023.", K.DATE, "12 March 2023"),
        ("Seen March 12th, 2023", K.DATE, "March 12th, 2023"),
        ("12/03/2023", K.DATE, "12/03/2023"),
        ("DOB 2-4-61", K.DATE, "2-4-61"),
        ("12.03.23", K.DATE, "12.03.23"),
        ("2023-03-12", K.DATE, "2023-03-12"),
        ("am 12.3.2023", K.DATE, "12.3.2023"),
        ("3. März 2022", K.DATE, "3. März 2022"),
        ("el 12 de marzo de 2023", K.DATE, "12 de marzo de 2023"),
        ("le 1er mars 2021", K.DATE, "1er mars 2021"),
        ("il 3 luglio 2020", K.DATE, "3 luglio 2020"),
        ("5 Ağustos 2019", K.DATE, "5 Ağustos 2019"),
        ("biopsied in Mar 2022", K.DATE, "Mar 2022"),
        ("6/2021", K.DATE, "6/2021"),
        ("A 92-year-old man", K.AGE, "92-year-old"),
        ("101 yo", K.AGE, "101 yo"),
        ("95F", K.AGE, "95F"),
        ("95 años", K.AGE, "95 años"),
        ("91 ans", K.AGE, "91 ans"),
        ("91-jährig", K.AGE, "91-jährig"),
        ("94 yaşında", K.AGE, "94 yaşında"),
        ("age: 93", K.AGE, "age: 93"),
        ("in her 90s", K.AGE, "her 90s"),
        ("S23-12345", K.RECORD_NUMBER, "S23-12345"),
        ("SP-22-004567", K.RECORD_NUMBER, "SP-22-004567"),
        ("MRN: 1234567", K.RECORD_NUMBER, "MRN: 1234567"),
        ("Case no. 20-4711", K.RECORD_NUMBER, "Case no. 20-4711"),
        ("Fallnummer 22/4711", K.RECORD_NUMBER, "Fallnummer 22/4711"),
        ("expediente 123456", K.RECORD_NUMBER, "expediente 123456"),
        ("protokol no: 2021-4567", K.RECORD_NUMBER, "protokol no: 2021-4567"),
        ("123-45-6789", K.RECORD_NUMBER, "123-45-6789"),
        ("Tel: 617 555 0123", K.PHONE, "Tel: 617 555 0123"),
        ("+44 20 7946 0018", K.PHONE, "+44 20 7946 0018"),
        ("(617) 555-0123", K.PHONE, "(617) 555-0123"),
        ("01 23 45 67 89", K.PHONE, "01 23 45 67 89"),
        ("write to jane.doe@lab.org", K.EMAIL, "jane.doe@lab.org"),
        ("by @path_demo", K.HANDLE, "@path_demo"),
        ("https://x.org/a?b=1", K.LINK, "https://x.org/a?b=1"),
        ("see www.lab.com", K.LINK, "www.lab.com"),
        ("Mrs. Whitfield, 54F", K.NAME, "Mrs. Whitfield"),
        ("Patient name: Ann Lee", K.NAME, "Ann Lee"),
        ("Paciente: María López", K.NAME, "María López"),
        ("Frau Müller", K.NAME, "Frau Müller"),
        ("M. Dupont", K.NAME, "M. Dupont"),
        ("Sig.ra Rossi", K.NAME, "Sig.ra Rossi"),
        ("Hasta: Ayşe Yılmaz", K.NAME, "Ayşe Yılmaz"),
        ("at St. Mary's Hospital", K.PLACE, "St. Mary's Hospital"),
        ("Hospital La Paz", K.PLACE, "Hospital La Paz"),
        ("Hôpital Saint-Louis", K.PLACE, "Hôpital Saint-Louis"),
        ("Boston, MA 02115", K.PLACE, "Boston, MA 02115"),
        ("12 Elm Street", K.PLACE, "12 Elm Street"),
    ],
)
def test_each_kind_is_found_in_its_forms(text: str, kind: PrivateKind, found: str) -> None:
    assert [(detail.kind, text[detail.start : detail.end]) for detail in find(text)] == [(kind, found)]


PATHOLOGY = (
    "Reed-Sternberg cells in Hodgkin lymphoma, Congo red, Masson trichrome, Ziehl-Neelsen, 10x and @40x.",
    "Barrett esophagus. Paget disease. Gleason 4+3=7, grade 2/3, 12/10 HPF, Ki-67 90%, CD20-, HER2, AE1/AE3, p16.",
    "Langerhans cells, Purkinje cells. pT2aN1, WHO 2021, 3.5 x 2.1 cm, 1:100, BRAF V600E, ISUP 3, T10-11.",
    "A 45-year-old woman, seen in 2019 and 2022 in Germany. Case 214. Stage IIB, 95% of cells, 100x, x400.",
    "It may 10 times recur; we march on. May show atypia. 1-2-3 rule. CK7+/CK20-. Figure 3/4. Slide 12.",
    "Patient: 54F with melanoma. The patient, Basal Cell Carcinoma, skin. Our Hospital. Named after its cells.",
    "Varón de 45 años, melanoma nodular. Patient de 62 ans. 54-jährige Frau. Hasta 45 yaşında.",
    "Reticular dermis, van Gieson: collagen red. Vein wall, von Kossa. Endothelium, von Willebrand, brown.",
    "Von Recklinghausen, skin. Tendon, de Quervain. Erythroid cells, Di Guglielmo. Von Hippel Lindau, kidney.",
    "Spitz nevus, Verocay bodies in Antoni A areas, Homer Wright rosettes, Hashimoto thyroiditis, Warthin tumor.",
)


@pytest.mark.parametrize("text", PATHOLOGY)
def test_what_pathology_writes_is_no_private_detail(text: str) -> None:
    assert find(text) == []
    assert names.find(text) == []


def test_the_doctor_who_shows_the_case_is_attribution() -> None:
    text = "Courtesy of Dr. Jane Foster. Photo by Peter Parker. Prof. Hans Schneider."
    assert find(text) == []
    assert names.find(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("John Miller, a carpenter, presented with a lesion.", [("name", "John Miller")]),
        ("The patient, Sarah Connor, was seen in Manchester.", [("name", "Sarah Connor"), ("place", "Manchester")]),
        ("She was seen in Germany and in California.", []),
    ],
)
def test_names_and_places_in_english_prose_are_found(text: str, found: list[tuple[str, str]]) -> None:
    assert [(kind, text[start:end]) for kind, start, end in names.find(text)] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A biopsy from Mary Wilson, 54 years old: basal cell carcinoma.", ["Mary Wilson"]),
        ("James Clark came back with a second lesion of the back.", ["James Clark"]),
        ("We saw Susan Bowen in clinic last week.", ["Susan Bowen"]),
        ("Liver of a patient with Wilson disease.", []),
        ("Melanoma, Clark level IV, of the back.", []),
        ("Homer Wright rosettes in a neuroblastoma.", []),
        ("Courtesy of Dr. Mary Wilson.", []),
        ("Photo by James Clark.", []),
    ],
)
def test_an_eponym_is_a_name_where_a_first_name_stands_before_it(text: str, found: list[str]) -> None:
    assert [text[start:end] for _, start, end in names.find(text)] == found


def test_an_eponym_behind_a_title_is_a_name() -> None:
    (detail,) = find("Mrs. Wilson, basal cell carcinoma.")
    assert detail == Detail(0, 11, K.NAME)


def cut(text: str, *kinds: PrivateKind) -> str:
    return without(text, [detail for detail in find(text) if not kinds or detail.kind in kinds])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("A 92-year-old woman with melanoma.", "A woman with melanoma."),
        ("Melanoma, biopsy of 12 March 2023, H&E.", "Melanoma, biopsy, H&E."),
        ("Melanoma (MRN 123456). H&E.", "Melanoma. H&E."),
        ("Mrs. Smith, 54F: melanoma.", "54F: melanoma."),
        ("MRN 123456\nMelanoma\nTel: 617 555 0123", "Melanoma"),
        ("Melanoma. S23-12345. H&E.", "Melanoma. H&E."),
        ("Melanoma; seen at St. Mary's Hospital, Boston, MA.", "Melanoma; seen."),
        ("Melanoma.  Two  spaces stay , as they are", "Melanoma.  Two  spaces stay , as they are"),
        ("Mrs. Smith, MRN 123456", ""),
        ("Melanoma in a woman born : 12/03/1961, H&E.", "Melanoma in a woman, H&E."),
        ("Melanoma. Call 617-555-0123 or mail a@b.org", "Melanoma."),
        ("Case, MRN 123456: melanoma", "melanoma"),
        ("Name: Ada Alder. Melanoma", "Melanoma"),
        ("Die Biopsie aus Tübingen zeigt Meningen aus Ton.", "Die Biopsie zeigt Meningen aus Ton."),
    ],
)
def test_what_is_cut_leaves_no_gap_and_every_other_word(text: str, left: str) -> None:
    assert cut(text) == left


def test_only_the_kinds_that_are_asked_for_are_cut() -> None:
    assert cut("Mrs. Smith, 95F, MRN 123456", K.AGE) == "Mrs. Smith, MRN 123456"


def test_of_details_that_overlap_the_one_that_says_more_stays() -> None:
    name, longer, record = Detail(0, 5, K.NAME), Detail(0, 9, K.NAME), Detail(4, 12, K.RECORD_NUMBER)
    assert merged([name, longer, record]) == [Detail(0, 4, K.NAME), record]
    assert merged([name, longer]) == [longer]


def test_what_a_detail_says_on_either_side_of_another_is_found_too() -> None:
    assert merged([Detail(0, 20, K.PLACE), Detail(8, 12, K.DATE)]) == [
        Detail(0, 8, K.PLACE),
        Detail(8, 12, K.DATE),
        Detail(12, 20, K.PLACE),
    ]


@pytest.mark.parametrize(
    "text", ["1" * 20_000, "1/" * 10_000, "A " * 10_000, "a." * 10_000, "12 March " * 2_000, "@" * 20_000]
)
def test_a_long_hostile_text_is_read_too(text: str) -> None:
    details = find(text)
    assert without(text, details) is not None
    assert details == sorted(details)
