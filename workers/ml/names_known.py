"""Words that are neither a person nor a place smaller than a state, though they look like one in English text."""


def _words(text: str, between: str | None = None) -> frozenset[str]:
    return frozenset(word.strip() for word in " ".join(text.split()).split(between))


# Eponyms, stains, antibodies and what else captions write with a capital.
OF_PATHOLOGY = _words(
    """
    reed sternberg hodgkin hodgkins burkitt langerhans paget pagets barrett barretts crohn crohns hashimoto
    graves wilms ewing ewings kaposi bowen bowens merkel spitz clark breslow gleason nottingham fuhrman mallory
    councilman auerbach meissner pacini purkinje schwann golgi ranvier nissl lewy pick alzheimer negri cowdry
    aschoff gandy gamna russell dutcher mott auer heinz howell jolly pappenheimer birbeck psammoma verocay
    antoni schiller duval call exner reinke leydig sertoli hurthle hürthle askanazy warthin starry grocott
    gomori masson giemsa wright leishman ziehl neelsen fite congo alcian perls prussian papanicolaou pap
    romanowsky feulgen verhoeff elastic kinyoun gram brenner krukenberg rokitansky kupffer disse bartholin skene
    cowper littre brunner peyer lieberkuhn lieberkühn henle bowman malpighi hassall kimmelstiel wilson
    goodpasture wegener whipple kikuchi fujimoto castleman rosai dorfman erdheim chester letterer siwe hand
    schuller christian sezary sézary pautrier munro kogoj civatte kamino darier hailey grover sweet stevens
    johnson lyell kimura pilar unna miescher sutton ota ito becker lisch cushing addison conn zollinger ellison
    menetrier peutz jeghers gardner turcot lynch cowden muir torre meigs sheehan asherman nabothian arias stella
    walthard gartner mullerian müllerian wolffian phyllodes cooper virchow heller zenker mikulicz klatskin
    hirschsprung meckel koch ghon lange ranke schaumann hamazaki wesenberg touton langhans homer flexner
    wintersteiner rosenthal hirano bielschowsky luxol fast blue kluver barrera bunina marinesco opalski
    alzheimers charcot leyden curschmann clara kulchitsky paneth mullerianosis brown brenn bence jones tamm
    horsfall michaelis gutmann splendore hoeppli donovan pneumocystis candida aspergillus cryptococcus
    histoplasma leishmania giardia trichomonas helicobacter cd her ki bcl sox hematoxylin haematoxylin eosin h e
    he ihc pas gms afb case figure fig dx ddx diagnosis answer swipe slide image biopsy skin melan desmin
    vimentin synaptophysin chromogranin keratin cytokeratin pancytokeratin calretinin inhibin mart brachyury
    napsin mammaglobin gata gross micro histo histology pathology path follow comment quiz monday tuesday
    wednesday thursday friday saturday sunday nevus naevus tumor tumour dermis epidermis colon stomach breast
    kidney liver lung thyroid prostate uterus ovary cervix testis bone brain spleen pancreas dermal basal
    squamous cell cells who figo ajcc tnm milan bethesda paris vienna sydney helsinki banff oxford lugano
    seattle tokyo pirads
    gieson kossa willebrand recklinghausen quervain guglielmo woude hippel lindau gierke brunn meyenburg hansemann
    ebner economo bezold jaksch hebra pirquet zumbusch waldeyer koyanagi woerden buchem lohuizen hoeve hove
    steensel movat weigert lendrum papez loyez bodian cajal schmorl goldner martius dieterle mowry hotchkiss
    mcmanus laidlaw takayasu buerger behcet behçet sjogren sjögren kawasaki churg henoch schonlein schönlein
    schamberg majocchi gougerot besnier boeck lofgren löfgren jadassohn lewandowsky degos sneddon gottron raynaud
    dercum madelung dupuytren ledderhose peyronie garré brodie codman perthes scheuermann ollier maffucci mccune
    kienbock kienböck abrikossoff kasabach merritt osler rendu klippel trenaunay sturge bourneville koenen birt
    hogg dubé spiegler gorlin goltz rombo bazex muehrcke menkes netherton papillon lefevre lefèvre vorner vörner
    thost hallopeau gianotti crosti fordyce zoon queyrat buschke lowenstein löwenstein pinkus mibelli trelat
    trélat fabry gaucher niemann pompe tay sachs krabbe hurler scheie sanfilippo morquio maroteaux refsum chediak
    higashi hermansky pudlak dubin crigler najjar budd chiari caroli byler alagille reye laennec banti felty
    glanzmann soulier fanconi blackfan kostmann pelger huet huët dohle döhle ferrata turk türk waldenstrom
    waldenström lennert rappaport alport bellini armanni ebstein hunner sampson bouin carnoy zamboni karnovsky
    delafield carazzi heidenhain picro
    """
)

# Countries, states and provinces: a place as large as these identifies nobody.
LARGE_PLACES = _words(
    """
    afghanistan, albania, algeria, angola, argentina, armenia, australia, austria, azerbaijan, bahrain,
    bangladesh, belarus, belgium, benin, bolivia, bosnia, botswana, brazil, bulgaria, cambodia, cameroon,
    canada, chad, chile, china, colombia, congo, costa rica, croatia, cuba, cyprus, czech republic, czechia,
    denmark, dominican republic, ecuador, egypt, el salvador, england, eritrea, estonia, ethiopia, finland,
    france, gabon, gambia, georgia, germany, ghana, greece, guatemala, guinea, haiti, honduras, hong kong,
    hungary, iceland, india, indonesia, iran, iraq, ireland, israel, italy, ivory coast, jamaica, japan, jordan,
    kazakhstan, kenya, kosovo, kuwait, laos, latvia, lebanon, liberia, libya, lithuania, luxembourg, madagascar,
    malawi, malaysia, mali, malta, mauritania, mexico, moldova, mongolia, montenegro, morocco, mozambique,
    myanmar, namibia, nepal, netherlands, new zealand, nicaragua, niger, nigeria, north korea, norway, oman,
    pakistan, palestine, panama, paraguay, peru, philippines, poland, portugal, puerto rico, qatar, romania,
    russia, rwanda, saudi arabia, scotland, senegal, serbia, sierra leone, singapore, slovakia, slovenia,
    somalia, south africa, south korea, korea, spain, sri lanka, sudan, sweden, switzerland, syria, taiwan,
    tanzania, thailand, togo, tunisia, turkey, türkiye, uganda, uk, u.k., ukraine, united arab emirates, uae,
    united kingdom, united states, usa, u.s., us, u.s.a., uruguay, uzbekistan, venezuela, vietnam, wales, yemen,
    zambia, zimbabwe, africa, asia, europe, north america, south america, latin america, middle east,
    mediterranean, far east, alabama, alaska, arizona, arkansas, california, colorado, connecticut, delaware,
    florida, hawaii, idaho, illinois, indiana, iowa, kansas, kentucky, louisiana, maine, maryland,
    massachusetts, michigan, minnesota, mississippi, missouri, montana, nebraska, nevada, new hampshire, new
    jersey, new mexico, new york, north carolina, north dakota, ohio, oklahoma, oregon, pennsylvania, rhode
    island, south carolina, south dakota, tennessee, texas, utah, vermont, virginia, washington, west virginia,
    wisconsin, wyoming, ontario, quebec, british columbia, alberta, bavaria, catalonia, queensland, victoria,
    new south wales
    """,
    ",",
)

# First names beside which an eponym is a surname. Those that are themselves part of an eponym (Clara, Christian, Homer,
# Stella) are not among them.
FIRST_NAMES = _words(
    """
    aaron adam adrian ahmed aisha alan albert alex alexander alice alicia amanda amy ana andrea andrew angela ann anna
    anne anthony antonio arthur ashley barbara beatriz benjamin bernard beth betty bill bob brandon brenda brian bruce
    carl carla carlos carmen carol caroline catherine cecilia charles charlotte cheryl chloe chloé chris christina
    christine christopher cindy claire claudia craig crystal cynthia dan daniel daniela danielle david dean deborah
    debra dennis diana diane donald donna doris dorothy douglas edith edward elaine elena elizabeth ella ellen emily
    emma eric erica ethan eva evelyn fatima fatma fernando fiona florence frances francesca francis francisco
    fred gabriel gary george gerald giulia giuseppe gloria grace graham greg gregory hannah harold harry heather helen
    henry howard hugh ian irene isabel isabella ivan jack jacob jacqueline james jamie jan jane janet janice jason jean
    jeff jeffrey jennifer jeremy jerry jesse jessica jessie jill jim joan joanna joe john jonathan jorge jose josé
    joseph joshua joyce juan judith judy julia julian julie justin karen karl kate katherine kathleen kathryn katie
    keith kelly ken kenneth kevin kim kyle larry laura lauren lawrence leah linda lisa lori louis louise lucas lucia
    lucy luis luke madison manuel marco margaret maria maría marie mario marion mark martha martin mary matthew megan
    mehmet melissa michael michelle miguel mike mohamed mohammed monica nancy natalie nathan nicholas nicole noah
    nora olivia oliver oscar pamela patricia patrick paul paula pedro peggy peter philip phillip phyllis rachel ralph
    ramon rebecca ricardo richard rita robert roberto robin roger ronald rosa roy ruth ryan sally sam samantha
    samuel sandra sara sarah scott sean sharon sheila shirley simon sofia sophia sophie stephanie stephen steve
    steven stuart susan suzanne sylvia tara teresa terry theresa thomas tim timothy tina tom tracy tyler vanessa
    veronica victor vincent virginia walter wanda wayne wendy wei william yusuf zoe
    """
)
