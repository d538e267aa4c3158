"""Abbreviations, sentence openers and ordinals by language, to tell them from the end of a sentence.

The lists are chosen for speech: a word that people say is no abbreviation here, unless a number is next to it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class LanguageRules(NamedTuple):
    """The abbreviations and sentence openers of a language, in lower case, without their last full stop.

    Attributes:
        never_final: abbreviations that never end a sentence: titles, `approx.`, `z.B.`
        possibly_final: abbreviations that end a sentence if a capital follows: `etc.`, `p.m.`
        usually_inner: other abbreviations. They end a sentence only before one of the `sentence_openers`.
        ambiguous_words: words that people say. They are abbreviations only next to a number: `no. 5`, `5 min. later`.
        sentence_openers: words that open sentences.
        ordinal_introducers: words before an ordinal, if the language writes ordinals with a full stop; None if it doesn't.
    """

    never_final: frozenset[str] = frozenset()
    possibly_final: frozenset[str] = frozenset()
    usually_inner: frozenset[str] = frozenset()
    ambiguous_words: frozenset[str] = frozenset()
    sentence_openers: frozenset[str] = frozenset()
    ordinal_introducers: frozenset[str] | None = None


# Titles that occur in every language.
_COMMON_TITLES = "mr mrs ms dr prof"


def _build_rules(
    never_last: str, last: str, inner: str, words: str, openers: str, ordinals: str | None = None
) -> LanguageRules:
    known_words, known_inner = frozenset(words.split()), frozenset(inner.split())
    return LanguageRules(
        frozenset(f"{_COMMON_TITLES} {never_last}".split()) - known_words - known_inner,
        frozenset(last.split()),
        known_inner,
        known_words,
        frozenset(openers.split()),
        None if ordinals is None else frozenset(ordinals.split()),
    )


ENGLISH = _build_rules(
    "messrs sgt maj e.g i.e eg ie vs cf viz approx incl mt ft nos figs",
    "etc a.m p.m am pm",
    "fri thu tue mon kg lb lbs oz km cm inc ltd co corp jr sr st ave blvd jan feb apr jun jul aug sep sept oct nov dec p pp ch"
    " gen col gov sen rep rev hon",
    "ad ala app ark art arc cal cap col con dc dist doc ed esp est ex fed fig gal gen gov hon id ill in ind info intro la lab"
    " ma mar max may me med mic min miss mm mo no ok op ore pa ph pic pop ps pub rad re ref reg rep rev sat sec sic sing spec"
    " stat sun temp tex tel ton ver vet vol wash wed win",
    "the a an i i'm i'll i've we we're we'll you he she it it's they this that that's these those there here and but so then"
    " what who where when why how which do does did is are was can could will would let let's please if now yes no well my our"
    " your his her their not in on at for with after before maybe thank",
)

_RULES_BY_LANGUAGE = {
    "de": _build_rules(
        "z.b d.h d.i i.d.r i.a m.e u.u ca bzw vgl evtl ggf gegebenenf inkl exkl zzgl bspw beispielsw insb insbes sog nr nrn"
        " abb tab ziff hr hrn fr frl ing dipl mag st mio mrd tsd bd hrsg mind dt engl franz kath ev geb gest tel bes allg"
        " lt chr zw sr jr hl phil med jur ass kfm techn abschn gen kap zit",
        "usw etc o.ä u.ä u.a.m u.s.w ff uhr",
        "u u.a s.o s.u e.v a.d i.r max str co gmbh jun sen std jh jhdt art.nr aug sept okt nov dez jan feb",
        "art min sek abs fig ref mar tag pos rel alt bot mai sa so mo di do",
        "das der die es ich wir ihr sie er du man und aber dann also danach dort da hier jetzt heute wenn weil wie was wer wo"
        " warum wann welche welcher welches ja nein doch so nun mein unser dieser diese dieses kein keine ist sind hat haben"
        " kann können bitte danke noch auch nur vielleicht natürlich genau gut okay deshalb trotzdem außerdem leider",
        "der die das den dem des im am vom zum zur beim ins ans fürs ein eine einen einem einer jeder jede jedes jeden jedem"
        " ihr ihre ihrem sein seine seinem seiner mein meine meinem unser unsere unserem dieser diese diesem diesen seit",
    ),
    "fr": _build_rules(
        "m mm mme mmes mlle mlles me pr mgr st ste p pp cf c.-à-d p.ex env fig chap gén cap cpt cdt lt col amb"
        " av bd boul réf vs dép éd n no ét bât",
        "etc s.a",
        "prof tél hab apr janv févr juil sept oct nov déc bât",
        "art sec min max sup ex app pop fin vol dim inf lib",
        "le la les il elle ils elles on nous vous je tu c'est ce cela ça ces et mais puis ensuite après alors donc oui non bon"
        " qui que quoi quand où comment pourquoi est-ce si voilà voici merci d'accord j'ai ici maintenant peut-être",
    ),
    "es": _build_rules(
        "sr sra srta sres sras dra d dª dña profa ing lic arq sto sta av avda avd pág págs pag núm núms num art cap fig figs"
        " p.ej ej aprox gral cnel cap cmdte tte lic gob vol tel cía depto dto pbro mons excmo",
        "etc a.m p.m s.a a.c d.c",
        "prof ud uds vd vds ee uu ee.uu ff.cc s.l",
        "min max sec seg ex mar sol",
        "el la los las yo tú él ella ellos ellas nosotros ustedes y pero entonces después luego sí no qué cómo dónde cuándo"
        " este esta esto eso ese hay si también ahora hoy bueno pues gracias por para es son aquí ya se nos",
    ),
    "pt": _build_rules(
        "sr sra srs sras srta dra d profa profs eng engª arq exmo exma ilmo av pág págs pag núm art cap fig figs p.ex aprox"
        " sto sta cel tel vol lg fls tv",
        "etc a.m p.m s.a ltda",
        "prof v.exa v.ex.ª",
        "min max seg ex gen mar",
        "o a os as eu tu você ele ela nós vocês eles elas e mas então depois sim não que como onde quando porquê porque por"
        " para é são este esta isso isto há se também agora hoje bem pois obrigado obrigada aqui já",
    ),
    "it": _build_rules(
        "sig sigg sig.ra sig.na dott dott.ssa prof.ssa ing avv arch geom rag on mons pag pagg n nr num art artt fig figg cap"
        " cfr cf p.es tel ca gen col magg cav comm p.zza v.le all gent egr spett vol v",
        "ecc etc s.p.a s.r.l a.c d.c",
        "feb apr giu lug ago sett ott nov dic",
        "min max sec ex es mar op",
        "il lo la i gli le io tu lui lei noi voi loro e ma poi dopo allora quindi sì no che come dove quando perché chi cosa è"
        " ho questo questa quello ci c'è se anche ora oggi bene grazie non abbiamo",
    ),
    "nl": _build_rules(
        "dhr mevr mw drs ir ing hr blz pag nr nrs art fig afb bijv bv d.w.z dwz i.p.v o.a m.a.w m.b.t n.a.v t.a.v i.v.m incl"
        " excl ca ong evt resp st ds vgl zgn nl ed vnl mgr gen kol kap hfst par mev mej mnr",
        "enz etc e.d e.a",
        "prof b.v n.v jr sr tel max jan feb apr aug sept okt nov dec",
        "sec min ex red app",
        "de het een ik je jij u hij zij ze wij we jullie en maar dan toen dus daarna ja nee wat wie waar wanneer waarom hoe dit"
        " dat die deze er als nu vandaag ook goed bedankt dank misschien",
    ),
    "da": _build_rules(
        "hr fr frk ing nr s kap fig afd kl ca f.eks bl.a dvs d.v.s inkl ekskl maks mio mia mrd pct p.g.a pga vedr evt jf ift"
        " ang tlf adr chr cand mag gen skt sml pkt stk",
        "osv m.v mv m.m etc o.l",
        "a/s jan feb apr aug sept okt nov dec hhv cand kr jr",
        "sek min max st tv",
        "det den de jeg du han hun vi man og men så derefter bagefter ja nej hvad hvem hvor hvornår hvorfor hvordan der her nu"
        " hvis også godt tak måske dette",
        "den det de til hver dens hans hendes min vores",
    ),
    "nb": _build_rules(
        "hr fr frk ing nr s kap fig avd kl ca f.eks bl.a dvs d.v.s inkl ekskl maks mill mrd pst pga p.g.a vedr ev evt jf ift"
        " ang tlf adr st sml pkt stk siv",
        "osv mv m.v m.m etc o.l",
        "jan feb apr aug sept okt nov des hhv kr jr",
        "sek min max",
        "det den de jeg du han hun vi man og men så deretter etterpå ja nei hva hvem hvor når hvorfor hvordan der her nå hvis"
        " også bra takk kanskje dette",
        "den det de til hver hans hennes min vår",
    ),
    "sv": _build_rules(
        "hr fr doc kl s nr t.ex tex bl.a d.v.s dvs p.g.a pga milj mkr mdr inkl exkl ca resp ev jfr jmf kap fig avd s.k f.d"
        " t.o.m fr.o.m m.a.o ung tel st",
        "osv o.s.v m.m m.fl etc o.d",
        "prof max jan feb aug sept okt nov dec jr kr ab",
        "sek min",
        "det den de jag du han hon vi ni man och men så sedan sen därefter ja nej vad vem var när varför hur här där nu idag"
        " om också bra tack kanske detta",
    ),
    "fi": _build_rules(
        "esim ks klo nro nr s n ts ns nk tri toht p puh milj mrd maks vrt os",
        "jne ym yms tms",
        "mm em ed prof",
        "min sek",
        "se ne hän he minä sinä me te ja mutta sitten joten niin kyllä ei mitä mikä kuka missä milloin miksi miten tämä nämä"
        " tuo nyt tänään jos myös hyvä kiitos ehkä siellä täällä",
        "",
    ),
    "et": _build_rules(
        "nt lk nr hr pr prl tn mln mld vrd s.t nn nim",
        "jne jt jms vms",
        "u so st jaan veebr apr sept okt nov dets",
        "min sek",
        "see need ta tema nad mina ma sina sa me meie te ja aga siis pärast jah ei mis kes kus millal miks kuidas siin seal nüüd"
        " täna kui ka hea aitäh",
        "",
    ),
    "lv": _build_rules(
        "piem t.i nr lpp prof tūkst milj mljrd att tab sk sal",
        "utt u.c u.tml u.t.t",
        "ap plkst",
        "min sek",
        "tas tā tie es tu viņš viņa mēs jūs viņi un bet tad pēc jā nē kas kur kad kāpēc kā šeit tur tagad šodien ja arī labi"
        " paldies",
        "",
    ),
    "lt": _build_rules(
        "pvz t.y pan nr psl prof doc pav lent žr mln mlrd tūkst vad d g a",
        "ir.kt kt t.t pan",
        "val gerb",
        "min sek",
        "tai tas ta jie aš tu jis ji mes jūs ir bet tada po taip ne kas kur kada kodėl kaip čia ten dabar šiandien jei taip pat"
        " gerai ačiū",
        "",
    ),
    "cs": _build_rules(
        "ing mgr bc mudr judr phdr rndr paeddr mvdr doc p sl str s č čís ul nám tř např tj tzn tzv resp popř příp cca mil mld"
        " tis viz obr tab kap odst čl sv st pí vč vs kupř srov",
        "atd apod aj etc",
        "hod max kč s.r.o a.s o.p.s led ún břez dub květ červ srp září říj list pros jr",
        "min sek",
        "to ten ta ti já ty on ona my vy oni a ale pak potom takže ano ne co kdo kde kdy proč jak tady tam teď dnes když jestli"
        " také dobře děkuji je jsme máme byl bylo",
        "",
    ),
    "sk": _build_rules(
        "ing mgr bc mudr judr phdr rndr doc p sl str s č čís ul nám napr tj tzn tzv resp príp cca mil mld tis obr tab kap ods čl"
        " sv vr vs por",
        "atď apod etc",
        "hod max s.r.o a.s",
        "min sek",
        "to ten tá tí ja ty on ona my vy oni a ale potom takže áno nie čo kto kde kedy prečo ako tu tam teraz dnes keď ak tiež"
        " dobre ďakujem je sme máme bol bolo",
        "",
    ),
    "pl": _build_rules(
        "mgr inż hab lek p ks św abp bp płk gen mjr kpt str s nr art ust pkt rys tab rozdz zob godz ul al pl np tj tzn tzw ca maks"
        " mln mld tys ur zm doc red m.in sp tel woj wyd zł pt",
        "itd itp etc ok",
        "im por os r w z.o.o o.o s.a jr",
        "min sek sec",
        "to ten ta te ja ty on ona my wy oni i a ale potem więc tak nie co kto gdzie kiedy dlaczego jak tu tam teraz dziś jeśli"
        " też dobrze dziękuję czy jest mam mamy był było",
        "",
    ),
    "sl": _build_rules(
        "ga g dr mag npr tj tzv oz sv str št ul čl prim ing inž cca",
        "itd ipd itn etc",
        "d.o.o d.d ur",
        "min sek",
        "to ta ti jaz ti on ona mi vi oni in a ampak potem torej da ne kaj kdo kje kdaj zakaj kako tukaj tam zdaj danes če tudi"
        " dobro hvala je smo",
        "",
    ),
    "hr": _build_rules(
        "gđa g gosp mr mag npr tj tzv odn sv str br čl ul trg ing inž cca prim mil mlrd tis",
        "itd itsl i.sl etc",
        "d.o.o d.d god st",
        "min sek",
        "to ta taj ti ja on ona mi vi oni i a ali onda zatim potom dakle da ne što šta ko tko gdje kada zašto kako ovdje tamo sada"
        " danas ako također dobro hvala je smo",
        "",
    ),
    "sr": _build_rules(
        "г гђа мр маг нпр тј тзв одн св стр бр чл ул инж мил млрд проф др доц",
        "итд итсл",
        "год",
        "мин сек",
        "то та тај ти ја он она ми ви они и а али онда затим потом дакле да не шта ко где када зашто како овде тамо сада данас ако"
        " такође добро хвала је смо",
        "",
    ),
    "hu": _build_rules(
        "id ifj özv br kb pl ill ún u sz tel vö vmint ui uo ti gr stbi hj krt mgr",
        "stb",
        "de du kft bt zrt nyrt max évf old jan febr márc ápr jún júl aug szept okt nov dec",
        "min sec",
        "ez az én te ő mi ti ők és de aztán utána igen nem ki hol mikor miért hogyan itt ott most ma ha is jó köszönöm akkor van"
        " tehát",
        "a az és egy",
    ),
    "ro": _build_rules(
        "dl dna d-na d-l ing nr str bd bul pag art fig cap aprox lt col gen sf sft",
        "etc ș.a.m.d ș.a",
        "ex s.r.l s.a tel ian feb apr aug sept oct noi dec",
        "min sec",
        "el ea ei ele eu tu noi voi și dar apoi deci da nu ce cine unde când cum aici acolo acum azi dacă este sunt acest această"
        " bine mulțumesc asta",
    ),
    "ca": _build_rules(
        "sr sra srs sta st pl av pàg núm art fig p.ex aprox dra c",
        "etc s.a",
        "tel",
        "min max sec",
        "el la els les jo tu ell ella nosaltres i però després llavors sí no què qui on quan com aquí ara avui si també bé gràcies"
        " això és hi",
    ),
    "ru": _build_rules(
        "проф акад доц ген кап полк г-н г-жа д-р ул просп пл кв стр рис табл гл ст п пп см ср напр т.е т.к т.н т.о млн млрд"
        " трлн ок тов"
        " св инж ред сост тел д с м канд пос обл",
        "т.д т.п др пр и.т.д",
        "г гг в вв ч тыс руб коп им мм км кг р",
        "сек мин макс",
        "это эта этот эти я ты он она оно мы вы они и а но потом затем да нет что кто где когда почему как здесь там сейчас сегодня"
        " если тоже хорошо спасибо так вот у в на может конечно",
    ),
    "uk": _build_rules(
        "проф акад доц вул просп пл буд кв стор рис табл гл ст п пп див напр т.зв т.е млн млрд св інж ред тел д с м обл",
        "т.д т.п ін",
        "р рр ст тис грн ім хв год сек",
        "сек хв макс",
        "це цей ця я ти він вона воно ми ви вони і й а але потім так ні що хто де коли чому як тут там зараз сьогодні якщо теж"
        " добре дякую у в на може",
    ),
    "bg": _build_rules(
        "проф акад доц инж д-р г-н г-жа ул бул пл стр рис табл гл чл напр т.е т.нар млн млрд вж св с",
        "др т.н",
        "г гр хил лв ст",
        "сек мин",
        "това тази този аз ти той тя то ние вие те и а но после тогава да не какво кой къде кога защо как тук там сега днес ако"
        " също добре благодаря в на",
    ),
    "el": _build_rules(
        "κ κα κος κ.κ δρ καθ π.χ δηλ αρ σελ βλ πρβλ τηλ εικ χιλ εκ",
        "κλπ κ.λπ κ.ά κ.α κ.λ.π π.μ μ.μ",
        "αι οδ λεωφ μ.χ π.χρ α.ε",
        "",
        "ο η το οι τα εγώ εσύ αυτός αυτή αυτό εμείς εσείς αυτοί και αλλά μετά τότε ναι όχι τι ποιος πού πότε γιατί πώς εδώ εκεί"
        " τώρα σήμερα αν επίσης καλά ευχαριστώ είναι",
    ),
    "tr": _build_rules(
        "böl org korg tuğg yzb doç yrd av sn alb müh uzm hz bkz örn s sf arş öğr gör ord op tel mah ecz alm ing",
        "vb vs vd",
        "cad sok apt maks yy çev a.ş ltd şti m.ö m.s",
        "no dk sa min",
        "bu şu o ben sen biz siz onlar ve ama sonra evet hayır ne kim nerede neden nasıl burada orada şimdi bugün eğer iyi"
        " teşekkürler tamam peki çünkü yani var",
        "",
    ),
    "id": _build_rules(
        "bpk jl no hlm tgl kpt sdr a.n u.p yth drs ir",
        "dll dsb dst",
        "pt cv tbk tel",
        "",
        "ini itu saya aku kamu anda dia kami kita mereka dan tapi tetapi lalu kemudian ya tidak apa siapa mana kapan mengapa"
        " bagaimana di sini sekarang hari jika juga baik terima",
    ),
    "vi": _build_rules(
        "ts ths pgs gs bs tp ks ls q p ô",
        "v.v",
        "",
        "",
        "tôi bạn anh chị ông bà chúng họ đây đó này và nhưng rồi vâng không gì ai đâu khi nào sao bây hôm nếu cũng cảm",
    ),
    "is": _build_rules(
        "hr fr dr nr bls kl t.d þ.e ca u.þ.b m.a skv sbr f.h e.h",
        "o.s.frv o.fl",
        "jan feb apr ágú sept okt nóv des",
        "mín sek",
        "það þetta sá sú ég þú hann hún við þið þeir þær og en svo síðan já nei hvað hver hvar hvenær hvers hvernig hér þar nú"
        " ef líka gott takk",
        "",
    ),
    "eu": _build_rules(
        "jn and zk or dr adib", "etab", "", "", "hau hori ni zu hura gu eta baina gero bai ez zer nor non", ""
    ),
    "hi": _build_rules("डॉ श्री प्रो कु सुश्री मो", "", "", "", ""),
    # Languages whose abbreviations rarely have a full stop.
    "he": LanguageRules(),
    "ar": LanguageRules(),
    "fa": LanguageRules(),
}
_LANGUAGE_ALIASES = {
    "no": "nb",
    "nn": "nb",
    "bs": "hr",
    "sh": "hr",
    "cnr": "hr",
    "iw": "he",
    "in": "id",
    "ms": "id",
    "fo": "is",
    "lb": "de",
    "af": "nl",
    "gl": "es",
    "ast": "es",
    "hsb": "cs",
    "dsb": "cs",
}
# Languages for which sentencex is better than the rules here. In all others it mistakes words for English abbreviations.
SENTENCEX_LANGUAGES = ("en", "am", "bn", "gu", "hi", "hy", "ja", "kk", "kn", "ml", "mr", "my", "pa", "ta", "te")
# An unknown language may write ordinals with a full stop, so a sentence is not split there: that is the safer error.
UNKNOWN_LANGUAGE = _build_rules("", "", "", "", "", "")


@lru_cache(maxsize=256)
def rules_for(language: str) -> LanguageRules:
    """Return the rules of a language, or `UNKNOWN_LANGUAGE`.

    Args:
        language: the primary subtag, such as `en`.
    """
    if language == "en":
        return ENGLISH
    return _RULES_BY_LANGUAGE.get(language, UNKNOWN_LANGUAGE)


@lru_cache(maxsize=256)
def rules_language(language: str) -> str:
    """Return the primary subtag whose rules apply to a tag: `de` for `de-AT`, `nb` for `no`."""
    tag = language.lower()
    if tag.startswith("sr-latn"):
        return "hr"
    tag = tag.split("-", 1)[0]
    return _LANGUAGE_ALIASES.get(tag, tag)
