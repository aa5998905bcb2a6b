"""Words beside which a private detail stands, in the languages that captions use. Fragments of regular expressions."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MONTHS = (
    r"January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
    r"|[Ee]nero|[Ff]ebrero|[Mm]arzo|[Aa]bril|[Mm]ayo|[Jj]unio|[Jj]ulio|[Aa]gosto|[Ss]ep?tiembre|[Oo]ctubre"
    r"|[Nn]oviembre|[Dd]iciembre|[Jj]anvier|[Ff][ée]vrier|[Mm]ars|[Aa]vril|[Mm]ai|[Jj]uin|[Jj]uillet|[Aa]o[ûu]t"
    r"|[Ss]eptembre|[Oo]ctobre|[Nn]ovembre|[Dd][ée]cembre|Januar|J[äa]nner|Februar|M[äa]rz|Juni|Juli|Oktober|Dezember"
    r"|[Gg]ennaio|[Ff]ebbraio|[Aa]prile|[Mm]aggio|[Gg]iugno|[Ll]uglio|[Ss]ettembre|[Oo]ttobre|[Dd]icembre"
    r"|[Jj]aneiro|[Ff]evereiro|[Mm]ar[çc]o|[Mm]aio|[Jj]unho|[Jj]ulho|[Ss]etembro|[Oo]utubro|[Nn]ovembro|[Dd]ezembro"
    r"|[Oo]cak|[Şş]ubat|[Mm]art|[Nn]isan|[Mm]ay[ıi]s|[Hh]aziran|[Tt]emmuz|[Aa][ğg]ustos|[Ee]yl[üu]l|[Ee]kim"
    r"|[Kk]as[ıi]m|[Aa]ral[ıi]k"
)

# Behind these a number is of a patient, a specimen or a report; "case 12" alone counts posts.
RECORD = (
    r"m\.?r\.?n\.?|medical record|(?:patient|hospital|chart|record|specimen|sample|slide|block|biopsy|case|"
    r"lab(?:oratory)?|path(?:ology)?|report|registration)[\s-]?(?:id|no|nr|number|num|#)|"
    r"accession(?: (?:no|number|#))?|acc(?:n)?\.? ?(?:no|#)|"
    r"case #|patient #|ssn|nhs (?:no|number)|surgical (?:no|number)|"
    r"historia cl[ií]nica|n[uú]mero de (?:historia|caso|biopsia|paciente)|expediente|nhc|folio|"
    r"num[ée]ro de (?:dossier|patient|patiente)|dossier(?: n[o°])?|n[°o] (?:de )?dossier|ipp|"
    r"fall[\s-]?(?:nummer|nr)|patienten[\s-]?(?:nummer|nr|id)|eingangs[\s-]?(?:nummer|nr)|e-nr|journal[\s-]?nr|"
    r"numero (?:di )?(?:cartella|caso|esame|istologico)|cartella(?: clinica)?|esame (?:n|istologico)|"
    r"prontu[áa]rio|registro|n[uú]mero do (?:caso|exame|prontu[áa]rio)|"
    r"dosya(?: no)?|protokol(?: no)?|biyopsi no|hasta no|rapor no|tc(?: kimlik)? no"
)
NO_ACCESSION = {"CD", "CK", "IL", "FIG", "HPV", "HHV", "EBV", "PMC", "ISO", "HR", "OR", "CI", "USD", "EUR", "GPR"}

PHONE = (
    r"tel(?:efono?|ephone|efone|efon)?|t[ée]l(?:[ée]phone|[ée]fono)?|phone|ph|fax|faks|call|whatsapp|mobil|mobile"
    r"|cell(?: phone)?|cep|m[oó]vil|celular|handy|cellulare"
)

# What stands behind these is a person's name. Doctors are authors, not patients.
TITLES = (
    r"Mrs?\.?|Ms\.?|Miss|Mister|Sra?\.?|Srta\.?|Se[ñn]ora?|Herrn?|Frau|M\.|Mme\.?|Mlle\.?|Madame|Monsieur|Sig\.?"
    r"|Sig\.ra|Signora?|Dona|Senhora?|Bayan|Bay|Don|Do[ñn]a"
)
NAME_FOLLOWS = (
    r"(?i:patient(?:in)?(?:'s)? name|pt\.? name|name of (?:the )?patient|(?:patient )?named|name(?=:)|"
    r"nombre(?: del paciente)?(?=:)|"
    r"nom(?: du patient)?(?=:)|nome(?: del paziente| do paciente)?(?=:)|hasta ad[ıi]|ad[ıi] soyad[ıi]|ad[ıi](?=:)|"
    r"name der patientin|name des patienten|patient(?:in|e)?(?=:)|paciente(?=:)|paziente(?=:)|hasta(?=:)|"
    r"llamad[oa]|namens)"
)
NO_NAMES = _words(
    """
    the a an this with who in from no male female man woman adult young old elderly skin biopsy h&e history age aged sex
    hombre mujer varón mann frau homme femme uomo donna homem mulher erkek kadın un una ein eine presents
    presented basal squamous melanoma carcinoma unknown anonymous is was de el la le il o i
    """
)

# Words that mean nothing once the detail behind them is cut.
DATE_LEADS = (
    r"born|dob|d\.o\.b|date(?: of birth)?|birth ?date|geboren|geb|geburtsdatum|datum|née?|date de naissance|nat[oa]|"
    r"data di nascita|nacid[oa]|fecha(?: de nacimiento)?|nascid[oa]|data(?: de nascimento)?|do[ğg]um tarihi|tarih"
)
NAME_LEADS = (
    r"patient(?:in|e)?(?:'s name| name)?|pt\.? name|name(?: of (?:the )?patient| der patientin| des patienten)?|"
    r"nombre(?: del paciente)?|nom(?: du patient)?|nome(?: del paziente| do paciente)?|paciente|paziente|"
    r"hasta(?: ad[ıi])?|ad[ıi](?: soyad[ıi])?"
)
RECORD_LEADS = r"case|fall|caso|cas|olgu|vaka|specimen|accession|record"
MAIL_LEADS = r"(?:(?:or|and|oder|o|ou) )?(?:e-?mail|mail|contact|reach|write|correo|courriel)(?: me| us)?(?: at| to)?"
AND = r"and|or|und|oder|et|ou|y|o|e|ve"

GERMAN_TOWNS = (
    r"Berlin|München|Köln|Frankfurt|Stuttgart|Dresden|Leipzig|Bremen|Hannover|Mainz|Jena|Münster|Wien|Graz|Zürich|"
    r"Bern|Basel"
)
HOSPITALS = (
    r"Hospitals?|Clinics?|Medical Cent(?:er|re)|Cancer Cent(?:er|re)|Infirmary|Klinikum|Kliniken|Krankenhaus|Hastanesi|"
    r"Universit(?:y|ätsklinikum)|[ÜU]niversitesi|Health Cent(?:er|re)"
)
HOSPITALS_OF = (
    r"Hospital|Cl[ií]nica|H[ôo]pital|CHU|CHRU|Klinikum|Universit[äa]tsklinikum|Universit[äa]tsklinik|Krankenhaus|Ospedale|"
    r"Policlinico|Clinique|Sanatorio|Instituto Nacional|Institut|University|Universidad|Universit[àa](?: degli Studi)?"
)
# Not MD, which stands behind doctors' names.
STATES = (
    "A[LKZR]|C[AOT]|DE|FL|GA|HI|I[DLNA]|K[SY]|LA|M[EAINSOT]|N[EVHJMYCD]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[TA]|W[AVIY]|DC"
)
