"""Searching candidates by words, with and without typos, by meaning, by likeness and by words and meaning together."""

import random
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import count as numbers
from itertools import cycle
from typing import Any

import psycopg
from sqlalchemy import make_url

from bench import browser, rows
from bench.figures import Figure
from bench.ground import Ground, site
from bench.listing import timed
from bench.processes import in_fresh_process
from tests.services import psycopg_url

CANDIDATES = 100_000
REQUESTS = 200
NEW = 30
CLIP = "ViT-B-32"
WIDTH = 512
KINDS = 500  # of pictures: vectors lie around as many middles, as pictures of the same thing do
AT_ONCE = 1000


def listed(words: str) -> list[str]:
    return words.split(";")


# A few words that most captions have, many that few have: as in captions that people write.
FINDINGS = listed(
    "basal cell carcinoma;squamous cell carcinoma;invasive ductal carcinoma;tubular adenoma;melanoma in situ;"
    "blue naevus;dermatofibroma;hidradenoma;pilomatricoma;granuloma annulare;lichen planus;sarcoidosis;leiomyoma;"
    "liposarcoma;angiosarcoma;Hodgkin lymphoma;follicular lymphoma;mantle cell lymphoma;plasmacytoma;mastocytosis;"
    "papillary thyroid carcinoma;medullary carcinoma;phaeochromocytoma;neuroblastoma;schwannoma;meningioma;"
    "glioblastoma;ependymoma;clear cell renal carcinoma;oncocytoma;urothelial carcinoma;prostatic adenocarcinoma;"
    "seminoma;teratoma;serous carcinoma;endometriosis;hydatidiform mole;hepatocellular carcinoma;steatohepatitis;"
    "neuroendocrine tumour;ulcerative colitis;Crohn disease;amyloidosis;lupus nephritis;aspergillosis;tuberculosis"
)
SIGNS = listed(
    "nests of atypical cells;peripheral palisading;retraction from a mucinous stroma;brisk mitotic activity;necrosis;"
    "pleomorphic vesicular nuclei;crowded glands;cribriform architecture;strong membranous staining;signet ring cells;"
    "psammoma bodies;multinucleated giant cells;perivascular lymphocytes;desmoplastic stroma;keratin pearls;"
    "clear cytoplasm;fascicles of spindle cells;storiform pattern;Verocay bodies;foamy histiocytes;hyaline globules"
)
ORGANS = listed("skin;breast;colon;kidney;lung;liver;stomach;prostate;thyroid;brain;ovary;uterus;bladder;pancreas")
TAGS = listed("pathology;dermpath;pathtwitter;gipath;breastpath;renalpath;neuropath;hemepath;gynpath;surgpath")

WORDS = ("carcinoma", "pilomatricoma", "crowded glands", '"clear cell" renal', "dermpath", "necrosis -skin", "Case 777")
TYPOS = ("carcnoma", "pilomatricma", "adenoc", "glioblastma brian", "squamuos cell")
MEANT = ("glands with mucin", "palisading nuclei", "pigment in the dermis")


def run(ground: Ground) -> list[Figure]:
    count = ground.count(CANDIDATES, least=2000)
    with ground.place() as environment:
        url = environment["DATABASE_URL"]
        rows.queued(url, rows.no_pictures(count))
        say_something(url, count)
        embed(url, count)
        rows.people(url, ["alder"])
        requests = ground.count(REQUESTS, least=40)
        bare = in_fresh_process(environment, words_alone, requests)
        with (
            site("web", environment | {"IPATH_WEB_PROCESSES": "2"}) as web,
            browser.signed_in(web.url, "alder") as client,
        ):

            def pages(queries: Sequence[str], **more: str) -> tuple[float, float]:
                ask = cycle(queries)
                return timed(
                    lambda: client.get("/candidates", params={"q": next(ask), **more}).raise_for_status(), requests
                )

            measured = {
                "words": pages(WORDS),
                "typos": pages(TYPOS),
                "words and an organ": pages(WORDS, organ="skin"),
                "meaning": pages(MEANT, by="meaning"),
                "meaning and an organ": pages(MEANT, by="meaning", organ="skin"),
                "both": pages(MEANT, by="both"),
                "likeness": pages([""], by="image", like="77"),
            }
        first, new = in_fresh_process(environment, new_queries, ground.count(NEW, least=5))
    aims = {"words": 50, "meaning": 150}
    only = {"words": f"{bare[0]:.1f} ms for the statements alone"}
    figures = []
    for name, (p50, p95) in measured.items():
        title = f"Search of {count:,} by {name}"
        figures.append(Figure(f"{title}: p50", p50, "ms", only.get(name, ""), at_most=aims.get(name)))
        figures.append(Figure(f"{title}: p95", p95, "ms"))
    loading = f"{first:.1f} s for a worker's first, which loads {CLIP}"
    figures.append(Figure("The vector of words nobody asked before, by a worker: p50", new[0], "ms", loading, 1000))
    figures.append(Figure("The same: p95", new[1], "ms"))
    return figures


def words_alone(requests: int) -> tuple[float, float]:
    from app.accounts.queries import actor_of, user_named
    from app.candidates.queries import Filter
    from app.db import transaction
    from app.search import queries

    with transaction() as session:
        actor = actor_of(user_named(session, "alder"))
    ask = cycle(WORDS)

    def search() -> None:
        with transaction() as session:
            queries.set_limits(session)
            queries.by_words(session, queries.searchable(actor, Filter()), queries.said(next(ask)))

    return timed(search, requests)


def new_queries(count: int) -> tuple[float, tuple[float, float]]:
    """Seconds until a worker's first vector of a text is there, then p50 and p95 in ms of the next ones.

    Of a CLIP of the usual size; its weights are random, which changes no time.
    """
    from app import serving
    from app.config import settings
    from app.db import transaction
    from app.supervisor import Child, Supervisor
    from app.tables import Encoder, EncoderKind, Weights

    with transaction() as session:
        encoder = Encoder(
            name=CLIP, source="open_clip", model=CLIP, width=WIDTH, kind=EncoderKind.IMAGE_TEXT, weights=Weights.RANDOM
        )
        session.add(encoder)
    texts = (f"glands that nobody asked for, number {number}" for number in numbers())
    with Supervisor(settings().home_path / "logs") as supervisor:
        supervisor.start(Child("worker", serving.worker_command(), stop_seconds=5))
        start = time.perf_counter()
        until_embedded(encoder, next(texts))
        first = time.perf_counter() - start
        return first, timed(lambda: until_embedded(encoder, next(texts)), count)


def until_embedded(encoder: Any, words: str) -> None:
    from app.accounts.policies import SYSTEM
    from app.db import transaction
    from app.search import actions, queries

    with transaction() as session:
        actions.want_text(session, SYSTEM, encoder, words)
    while True:
        with transaction() as session:
            row = queries.query_vector(session, encoder.id, actions.key_of(words))
        if row is not None and row.vec is not None:
            return
        time.sleep(0.005)


# --- what is searched ---------------------------------------------------------------------------


def captions(count: int) -> Iterator[tuple[int, str, str]]:
    """Number, cleaned and raw caption of each candidate, the same in every run."""
    for number in range(1, count + 1):
        rng = random.Random(number)
        finding = FINDINGS[min(int(rng.paretovariate(0.9)) - 1, len(FINDINGS) - 1)]
        organ = ORGANS[min(int(rng.paretovariate(0.9)) - 1, len(ORGANS) - 1)]
        signs = ", ".join(rng.sample(SIGNS, 3))
        clean = f"{finding.capitalize()} of the {organ}, H&E, 20×. {signs.capitalize()}. Case {number}."
        yield number, clean, f"{clean} 🔬 {' '.join('#' + tag for tag in rng.sample(TAGS, 4))}"


def say_something(url: str, count: int) -> None:
    """Gives every candidate a caption of its own, and its caption stage an organ and a stain."""
    with connected(url) as connection:
        with connection.transaction():
            connection.execute("CREATE TEMP TABLE said (n bigint PRIMARY KEY, clean text, raw text)")
            with connection.cursor().copy("COPY said FROM STDIN") as copy:
                for row in captions(count):
                    copy.write_row(row)
            connection.execute(
                """UPDATE caption SET text = CASE kind WHEN 'raw' THEN raw ELSE clean END
                FROM said WHERE n = candidate_id"""
            )
            connection.execute("ALTER TABLE finding DISABLE TRIGGER append_only")
            connection.execute(
                """UPDATE finding SET evidence = jsonb_build_object('fields', jsonb_build_object(
                    'organ', substring(clean FROM ' of the ([a-z]+)'), 'stain', 'he'))
                FROM said WHERE stage = 'caption' AND n = candidate_id"""
            )
            connection.execute("ALTER TABLE finding ENABLE TRIGGER append_only")
        connection.execute("VACUUM ANALYZE")


def embed(url: str, count: int) -> None:
    """Vectors of all pictures and of what is meant, and the index that the product builds for an encoder."""
    import numpy as np

    rng = np.random.default_rng(0)
    middles = rng.normal(size=(KINDS, WIDTH)).astype(np.float32)

    def near_a_middle(number: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        noise = rng.normal(scale=0.8, size=(number, WIDTH)).astype(np.float32)
        return np.asarray(middles[rng.integers(KINDS, size=number)] + noise)

    with connected(url) as connection:
        connection.execute(
            f"""INSERT INTO encoder (name, source, model, width, kind, weights)
            VALUES ('bench', 'open_clip', 'bench', {WIDTH}, 'image_text', 'trained')"""
        )
        connection.execute("""UPDATE stage SET setting = '{"encoder": 1}' WHERE name = 'embedding'""")
        with connection.cursor().copy("COPY embedding (image_id, encoder_id, vec) FROM STDIN") as copy:
            for first in range(0, count, AT_ONCE):
                for place, vec in enumerate(near_a_middle(min(AT_ONCE, count - first))):
                    copy.write_row((first + place + 1, 1, as_text(vec)))
        for words, vec in zip(MEANT, near_a_middle(len(MEANT)), strict=True):
            key = sha256(words.encode()).hexdigest()
            connection.execute("INSERT INTO query_vector VALUES (1, %s, NULL, %s)", (key, as_text(vec)))
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(
            f"CREATE INDEX bench_vectors ON embedding USING hnsw ((vec::vector({WIDTH})) vector_cosine_ops) "
            "WHERE encoder_id = 1"
        )
        connection.execute("VACUUM ANALYZE")


def connected(url: str) -> "psycopg.Connection[tuple[Any, ...]]":
    return psycopg.connect(psycopg_url(make_url(url)), autocommit=True)


def as_text(vec: Sequence[float]) -> str:
    return "[" + ",".join(f"{x:.5g}" for x in vec) + "]"
