"""How many private details of captions are found, by kind, and how many finds are none.

Captions are rendered from templates in seven languages, with names and numbers by lot. The rules were written against
the examples of their tests. A first measurement on these templates led to three corrections (places in capitals, large
regions, "MD" behind a name); since then nothing was fitted to them. Rules and templates have the same author.
"""

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from app.prefilter.private_details import Detail
from bench.figures import Figure, percentiles
from bench.ground import Ground

CAPTIONS = 600
PRIVATE = {
    "en": (
        "{name} is a {age}-year-old retired teacher who noticed a lump. {dx}, {power}.",
        "Interesting one from this week!! {title} {surname}, {age} years old. {dx}",
        "Label reads {record}. {dx} on {power}", "Got this on {mdate} from {hospital}: {dx}",
        "{dx}. Grossed {date}, signed out {date}. Ref lab no. {number}", "Patient ID {number}, bx {date}, {dx}",
        "We operated on {name} last year in {place}. {dx}, {power}",
        "For consults email {email} or call {phone}. {dx}.",
        "{dx}, case shared by {handle}, read it at {link}", "{age} M, {dx}. Specimen # {number}. Collected: {date}",
        "Thanks to {hospital} for this {dx}. {record}.", "The late {name} from {place} had {dx}, {power}",
        "{dx} | {mdate} | {surname}, {place}", "{name} ({age}F) {dx}", "Hx: {title} {name}, MRN#{number}; {dx}",
    ),
    "es": (
        "Paciente de {age} años, {hospital_es}, {dx}", "Señora {surname}, biopsia {record}, {dx}, {power}",
        "Recibido {esdate}. {dx}. NHC {number}", "Nombre del paciente: {name}. Fecha: {date}. {dx}",
    ),
    "fr": (
        "Madame {surname}, {dx}, {power}", "Patiente âgée de {age} ans, {dx}", "{dx}. N° de dossier : {number}, {date}",
        "Biopsie le {frdate} au CHU {clinic}: {dx}",
    ),
    "de": (
        "Herr {surname} stellte sich am {date} vor: {dx}", "Patient {age}-jährig, {dx}",
        "{dx}, Einsendung {dedate}, E-Nr. {number}",
        "Pat. {name}, geb. {date}. {dx}",
    ),
    "it": ("Paziente di {age} anni, {dx}", "Signora {surname}, cartella clinica {number}. {dx}",
    "{dx}. Prelievo {date}"),
    "pt": ("Paciente com {age} anos, {dx}", "Registro {number}, {dx}, {power}",
    "Dona {surname}, coleta em {date}: {dx}"),
    "tr": ("{age} yaşında hasta, {dx}", "Biyopsi no: {number}, tarih {date}: {dx}", "Adı soyadı: {name}. {dx}"),
}  # fmt: skip
PLAIN = (
    "Quiz! {dx} or something else? {eponym}, {power}", "{eponym} are seen beside {dx}. {power}.",
    "{dx}, stage IIIB, ER 90%, PR 5%",
    "Margin 0.2/1.5 cm, 3 of 14 nodes, {dx}", "{dx}; first described in 1932. {power}",
    "Dr. {name} shows {dx} with {eponym}",
    "{dx} with {eponym}; MIB-1 12-15%, p53 0/10", "Credit: {name}, MD. {dx}, {power}", "Image 3/10. {dx}, {eponym}",
    "Niña de {young} años con {dx}", "Homme de {young} ans: {dx}, {power}", "{young} yaşında kadın, {dx}",
    "Mann, {young} J., {dx}",
    "ICD-O 8070/3, {dx}, WHO 5th edition, {eponym}", "Common in Southeast Asia and Brazil: {dx}",
    "{young}M {dx} 24 mm x 10 mm",
    "IgG4 1:400, HPV16/18, CK5/6 and TTF-1, {dx}", "{eponym} vs {dx}: the clue is in the nuclei, {power}",
)  # fmt: skip
KIND_OF = {
    "name": "name", "surname": "name", "date": "date", "mdate": "date", "esdate": "date", "frdate": "date",
    "dedate": "date", "age": "age", "record": "record_number", "number": "record_number", "phone": "phone",
    "email": "email", "handle": "handle", "place": "place", "clinic": "place", "hospital": "place",
    "hospital_es": "place", "link": "link",
}  # fmt: skip
FIRST = ("Maria", "Oliver", "Fatma", "Giulia", "Hans", "Chloé", "Ahmed", "Beatriz", "Ivan", "Wei", "Susan", "Robert")
LAST = (
    "Thompson",
    "García",
    "Yıldız",
    "Bianchi",
    "Schneider",
    "Moreau",
    "Hassan",
    "Pereira",
    "Novak",
    "Baker",
    "Ortiz",
)
CHOICES: dict[str, Sequence[str]] = {
    "dx": ["Basal cell carcinoma", "Nodular melanoma", "Adenocarcinoma of the colon", "Schwannoma with Verocay bodies"],
    "power": ["H&E 10x", "40×", "200x", "x100", "PAS, 20x"],
    "eponym": [
        "Reed-Sternberg cells", "Hodgkin lymphoma", "Congo red and Masson trichrome", "Ziehl-Neelsen stain",
        "Paget cells",
        "Barrett esophagus", "Gleason 4+3=7", "Langerhans cell histiocytosis", "Purkinje neurons",
        "Hashimoto thyroiditis",
        "Wilms tumor", "Ewing sarcoma", "Spitz nevus", "Warthin tumor", "Sézary cells", "Homer Wright rosettes",
    ],
    "place": ["Springfield", "Manchester", "Izmir", "Valencia", "Lyon", "Chennai"],
    "hospital": ["Mercy General Hospital", "Lakeside Medical Center", "Royal Northern Infirmary",
    "Saint Luke Hospital"],
    "hospital_es": ["Hospital Virgen del Rocío", "Clínica San Carlos", "Hospital La Paz"],
    "clinic": LAST,
    "link": ["https://pathlab.example.com/case/7", "www.slidebox.org", "histoclub.net/abc"],
    "handle": ["@dr_smears", "@histo.club", "@PathMentor"],
    "title": ["Mrs.", "Mr.", "Ms."],
}  # fmt: skip
MONTHS = {
    "mdate": ("January", "April", "Oct", "December"), "esdate": ("enero", "marzo", "septiembre"),
    "frdate": ("janvier", "août", "décembre"), "dedate": ("Januar", "März", "Oktober"),
}  # fmt: skip

NAMED = (
    "{name} came back with a second lesion of the back. Melanoma, H&E 10x.",
    "A biopsy from {name}, 54 years old: basal cell carcinoma, nodular.",
    "We saw {name} in clinic last week. Lichen planus of the wrist.",
)
EPONYM_NAMES = (
    "Mary Wilson", "James Clark", "Susan Bowen", "Robert Cooper", "Anna Gardner", "Helen Wright", "David Graves",
    "Laura Sutton", "Peter Johnson", "Karen Hunter", "John Lewis Turner", "Emma Bowman", "Patricia Jones",
    "George Addison", "Ruth Cushing", "Michael Hailey",
)  # fmt: skip
EPONYMS = (
    "Wilson disease", "Clark level IV", "Bowen disease", "Graves disease", "Gardner syndrome", "Homer Wright rosettes",
    "Hunter syndrome", "Sutton nevus", "Stevens-Johnson syndrome", "Bence Jones protein", "Addison disease",
    "Cushing syndrome", "Bowman capsule", "Hailey-Hailey disease", "Brown and Brenn stain", "Reed-Sternberg cells",
)  # fmt: skip
Truth = list[tuple[int, int, str]]


def run(ground: Ground) -> list[Figure]:
    from workers.stages.private import details_in

    details_in("The first one loads the model.")
    by_kind, by_language = Tally(), Tally()
    seconds, plain, alarmed = [], 0, 0
    for text, truth, language in made_set(ground.count(CAPTIONS, least=300), seed=9918):
        before = time.perf_counter()
        details = details_in(text)
        seconds.append(time.perf_counter() - before)
        by_kind.count(details, truth, lambda kind: kind)
        if language:
            by_language.count(details, truth, lambda _kind, language=language: language)
        plain, alarmed = plain + (not truth), alarmed + (not truth and bool(details))
    p50, p95 = percentiles(seconds)
    alarms = Figure("Captions without any that alarm", alarmed / plain, "", f"{alarmed} of {plain}")
    time_taken = Figure("A caption: p50", 1000 * p50, "ms", f"p95 {1000 * p95:.1f} ms")
    return [*by_kind.figures(), *by_language.figures(), *_of_eponyms(), alarms, time_taken]


class Tally:
    """Details that are there, those of them that are found, finds, and those of them that are right, by some key."""

    def __init__(self) -> None:
        self.true, self.caught, self.found, self.right = (Counter[str]() for _ in range(4))

    def count(self, details: list[Detail], truth: Truth, key: Callable[[str], str]) -> None:
        self.true.update(key(kind) for *_, kind in truth)
        self.caught.update(key(kind) for start, end, kind in truth if _covered(details, start, end, kind))
        self.found.update(key(detail.kind) for detail in details)
        self.right.update(key(detail.kind) for detail in details if _is_true(detail, truth))

    def figures(self) -> Iterator[Figure]:
        for key in sorted(self.true):
            there, finds = f"{self.caught[key]} of {self.true[key]}", f"{self.right[key]} of {self.found[key]} finds"
            yield Figure(f"{key}: recall", self.caught[key] / self.true[key], "", there)
            yield Figure(f"{key}: precision", self.right[key] / max(1, self.found[key]), "", finds)


def _of_eponyms() -> list[Figure]:
    """Patients who are called as a disease is, and the disease."""
    from workers.stages.private import details_in

    told = [(text.format(name=name), name) for text in NAMED for name in EPONYM_NAMES]
    caught = sum(any(_says(text, one, name) for one in details_in(text)) for text, name in told)
    alarmed = sum(bool(details_in(f"{eponym} in a biopsy of the skin, H&E, 10x.")) for eponym in EPONYMS)
    return [
        Figure("Names that are eponyms too: recall", caught / len(told), "", f"{caught} of {len(told)}"),
        Figure("Eponyms alone that alarm", alarmed / len(EPONYMS), "", f"{alarmed} of {len(EPONYMS)}"),
    ]


def _says(text: str, detail: Detail, name: str) -> bool:
    return detail.kind == "name" and name in text[detail.start : detail.end]


def _covered(details: list[Detail], start: int, end: int, kind: str) -> bool:
    return any(detail.kind == kind and detail.start <= start and end <= detail.end for detail in details)


def _is_true(detail: Detail, truth: Truth) -> bool:
    return any(detail.kind == kind and detail.start < end and start < detail.end for start, end, kind in truth)


def made_set(count: int, seed: int) -> Iterator[tuple[str, Truth, str]]:
    """Captions, where their private details are, and their language; one in three has none, and "" for it."""
    chance = random.Random(seed)
    for number in range(count):
        is_plain = number % 3 == 2
        language = "" if is_plain else chance.choice(["en", "en", "en", *PRIVATE])
        template = chance.choice(PRIVATE[language] if language else PLAIN)
        text, truth = "", []
        for part in re.split(r"(\{\w+\})", template):
            slot = part[1:-1] if part.startswith("{") else ""
            said = _value(slot, chance) if slot else part
            if slot in KIND_OF and not is_plain:
                truth.append((len(text), len(text) + len(said), KIND_OF[slot]))
            text += said
        yield text, truth, language


def _value(slot: str, chance: random.Random) -> str:
    def digits(count: int) -> str:
        return "".join(chance.choice("123456789") for _ in range(count))

    day, month, year = chance.randint(1, 28), chance.randint(1, 12), chance.randint(2005, 2024)
    if slot in MONTHS:
        name = chance.choice(MONTHS[slot])
        forms = {
            "mdate": f"{name} {day}, {year}",
            "esdate": f"{day} de {name} de {year}",
            "dedate": f"{day}. {name} {year}",
        }
        return forms.get(slot, f"{day} {name} {year}")
    made = {
        "name": f"{chance.choice(FIRST)} {chance.choice(LAST)}",
        "surname": chance.choice(LAST),
        "age": str(chance.randint(90, 104)),
        "young": str(chance.randint(18, 88)),
        "date": chance.choice([f"{day:02}/{month:02}/{year}", f"{year}-{month:02}-{day:02}", f"{day}.{month}.{year}"]),
        "record": chance.choice(
            [f"S{year % 100:02}-{digits(5)}", f"SP-{year % 100:02}-{digits(4)}", f"H{year}/{digits(4)}"]
        ),
        "number": chance.choice([digits(6), digits(8), f"{year % 100:02}/{digits(5)}"]),
        "phone": chance.choice(
            [f"+44 20 7946 {digits(4)}", f"({digits(3)}) 555-{digits(4)}", f"+90 532 {digits(3)} {digits(4)}"]
        ),
        "email": f"{chance.choice(FIRST).lower()}.lab@example.org",
    }
    return made.get(slot) or chance.choice(CHOICES[slot])
