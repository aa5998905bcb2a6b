"""Words that faithfulness reads in its own way: closed lists, in the languages that such captions use.

All are as `faithfulness` compares them: lower case, without accents, before their endings are cut.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Written short or long, the same thing; the short form stands for the words of the long one.
ABBREVIATIONS = {
    "h&e": "hematoxylin eosin",
    "h+e": "hematoxylin eosin",
    "h/e": "hematoxylin eosin",
    "he": "hematoxylin eosin",
    "ihc": "immunohistochemistry",
    "if": "immunofluorescence",
    "pas": "periodic acid schiff",
    "gms": "grocott methenamine silver",
    "afb": "acid fast bacilli",
    "bcc": "basal cell carcinoma",
    "scc": "squamous cell carcinoma",
    "rcc": "renal cell carcinoma",
    "hcc": "hepatocellular carcinoma",
    "dcis": "ductal carcinoma in situ",
    "lcis": "lobular carcinoma in situ",
    "idc": "invasive ductal carcinoma",
    "ilc": "invasive lobular carcinoma",
    "ptc": "papillary thyroid carcinoma",
    "gist": "gastrointestinal stromal tumor",
    "dfsp": "dermatofibrosarcoma protuberans",
    "dlbcl": "diffuse large b cell lymphoma",
    "aml": "acute myeloid leukemia",
    "cll": "chronic lymphocytic leukemia",
    "hpf": "high power field",
    "lpf": "low power field",
    "ln": "lymph node",
    "fna": "fine needle aspiration",
    "bx": "biopsy",
    "dx": "diagnosis",
    "ddx": "differential diagnosis",
    "hx": "history",
    "mets": "metastasis",
    "y/o": "year",
    "yo": "year",
    "yrs": "year",
    "yr": "year",
    "y.o": "year",
}
# Short forms that are also words: only in capitals.
ONLY_IN_CAPITALS = {"he", "if", "gist", "pas", "ln"}

SYNONYMS = {
    "hematoxilina": "hematoxylin",
    "hematossilina": "hematoxylin",
    "hematoxyline": "hematoxylin",
    "hamatoxylin": "hematoxylin",
    "eosina": "eosin",
    "eosine": "eosin",
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "kappa": "κ",
    "lambda": "λ",
    "woman": "female",
    "women": "female",
    "lady": "female",
    "man": "male",
    "men": "male",
    "gentleman": "male",
    "malignancy": "malignant",
    "malignancies": "malignant",
    "grey": "gray",
    "foci": "focus",
    "focal": "focus",
    "neoplasm": "neoplasia",
    "neoplasms": "neoplasia",
    "neoplastic": "neoplasia",
    "percent": "%",
    "vs": "versus",
    "micron": "μm",
    "microns": "μm",
    "um": "μm",
}
NUMBERS = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"}
NUMBERS |= {"ten": "10", "ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
GRADED = {"grade", "stage", "type", "class", "grado", "grau", "grad", "evre", "estadio", "stadium", "figo", "who"}

# Words that claim nothing about what is seen: of grammar, and of pointing at a picture.
NEUTRAL = _words(
    """
    a an the this that these those it its is are was were be been being has have had do does did can may of in on at by
    to from for with within into as and or but nor also there here which where who whose while whereas although however
    than then so such very some any each other another both either via per under over between among along around
    we i you they he she his her their our my your us them one
    image images picture pictures photo photograph photomicrograph photomicrographs micrograph micrographs microscopic
    microscopically microscopy microphotograph histology histologic histological histologically histopathology
    histopathologic histopathological pathology section sections slide slides view views figure panel case patient
    specimen sample magnification original power stain stains stained staining show shows showing showed shown
    demonstrate demonstrates demonstrating demonstrated reveal reveals revealing revealed display displays displaying
    displayed see seen note noted identify identified present presence observe observed feature features featuring
    depict depicts depicting illustrate illustrates illustrating highlight highlights highlighting contain contains
    containing include includes including evidence diagnosis diagnosed diagnostic finding findings appearance
    old aged year years
    compose composed characterized characterised consist consists consisting taken using used exhibit exhibits
    exhibiting presents presenting presented set arise arises arising involve involves involving
    el la los las un una unos unas de del al y o en con por para que se es son su como este esta imagen muestra
    muestran observa observan caso corte tincion
    le les des du au aux et ou une dans avec par pour qui est sont ce cette montre image coupe
    der die das den dem des ein eine einer eines einem einen und oder mit im am vom zum zur von bei ist sind zeigt bild
    il lo gli uno di da che nel nella con per sono mostra immagine
    o os as um uma do da dos das no na nos nas em com mostra imagem
    ve ile bir bu da de olan gorulmektedir gosteren
    и в на с по из для это при
    的 与 和 及 在 中 为 是
    """
)

# A negation holds for what follows it in its clause, ...
NEGATIONS = _words(
    """
    no not without never none neither nor lack lacks lacking absence cannot non w/o
    sin ni ausencia sem nem nao ausencia pas sans aucun aucune absence kein keine keinen keiner keinem nicht ohne weder
    senza nessun nessuna assenza ne не нет без لا ليس بدون غير 无 未 没 没有 未见 不
    """
)
# ... or for what stands before it.
NEGATIONS_AFTER = _words("absent absente ausente assente fehlt fehlen yok degil olmayan 陰性 阴性 なし ない ません")
AUXILIARIES = _words("is are was were be been")
CLAUSE_WORDS = _words("but while whereas although however though pero aber mais ma ama sondern mas но")
ALTERNATIVES = _words("or nor o ni ou oder nem")
SEGMENT_WORDS = _words("and or y et und e ou oder ve with")
SIGNS = {
    **dict.fromkeys(
        _words("positive positivity positivo positiva positivos positivas positif positiv pozitif"), "positive"
    ),
    **dict.fromkeys(_words("negative negativity negativo negativa negativos negativas negatif negativ"), "negative"),
}

# What follows is no certainty.
HEDGES = _words(
    """
    possible possibly probable probably likely suspicious suspicion suspected suggestive suggests suggesting suggest
    favor favors favored favour favours favoured cannot exclude versus vs differential rule posible probable sospecha
    sugestivo sugiere possivel provavel suspeita evocateur probablement verdacht vermutlich possibile sospetto olasi
    suphesi 疑似 可能 疑い
    """
)

# Words of which one excludes the others.
RIVALS = (
    {"left", "right", "bilateral"},
    {"izquierdo", "derecho", "izquierda", "derecha"},
    {"esquerdo", "direito", "esquerda", "direita"},
    {"gauche", "droit", "droite"},
    {"links", "rechts", "linke", "rechte", "linken", "rechten"},
    {"sol", "sag"},
    {"high", "low", "intermediate"},
    {"well", "moderately", "poorly"},
    {"upper", "lower"},
    {"superficial", "deep"},
)
