"""The closed lists behind the fields of a candidate: id → what people read. Diagnosis is free text."""

ORGANS = {
    "adrenal": "Adrenal",
    "bladder": "Bladder",
    "blood": "Blood",
    "bone": "Bone",
    "bone_marrow": "Bone marrow",
    "brain": "Brain",
    "breast": "Breast",
    "cervix": "Cervix",
    "colon": "Colon",
    "endometrium": "Endometrium",
    "eye": "Eye",
    "gallbladder": "Gallbladder",
    "heart": "Heart",
    "kidney": "Kidney",
    "larynx": "Larynx",
    "liver": "Liver",
    "lung": "Lung",
    "lymph_node": "Lymph node",
    "mouth": "Mouth",
    "oesophagus": "Oesophagus",
    "ovary": "Ovary",
    "pancreas": "Pancreas",
    "parathyroid": "Parathyroid",
    "peripheral_nerve": "Peripheral nerve",
    "placenta": "Placenta",
    "prostate": "Prostate",
    "salivary_gland": "Salivary gland",
    "skin": "Skin",
    "small_intestine": "Small intestine",
    "soft_tissue": "Soft tissue",
    "spleen": "Spleen",
    "stomach": "Stomach",
    "testis": "Testis",
    "thymus": "Thymus",
    "thyroid": "Thyroid",
    "uterus": "Uterus",
    "other": "Other",
}

STAINS = {
    "he": "H&E",
    "ihc": "IHC",
    "pas": "PAS",
    "trichrome": "Trichrome",
    "giemsa": "Giemsa",
    "silver": "Silver",
    "reticulin": "Reticulin",
    "congo_red": "Congo red",
    "alcian_blue": "Alcian blue",
    "ziehl_neelsen": "Ziehl–Neelsen",
    "perls": "Perls",
    "pap": "Papanicolaou",
    "immunofluorescence": "Immunofluorescence",
    "ish": "In situ hybridisation",
    "other": "Other",
}

MAGNIFICATIONS = {str(power): f"{power}×" for power in (2, 4, 5, 10, 20, 40, 60, 63, 100, 200, 400, 600, 1000)}

SPECIES = {"human": "Human", "animal": "Animal"}

FIELDS = {"organ": ORGANS, "stain": STAINS, "magnification": MAGNIFICATIONS, "species": SPECIES}


def label(field: str, value: str | None) -> str:
    """What people read for a field's value; empty when unknown."""
    return FIELDS[field].get(value or "", "")
