"""Whisper's language codes as MMS names its adapters: ISO 639-3, and for some a script beside it.

Source of the pairs: ISO 639; of MMS's spellings: the model card of facebook/mms-1b-all.
"""

from __future__ import annotations

_PAIRS = """
af:afr am:amh ar:ara as:asm az:azj-script_latin ba:bak be:bel bg:bul bn:ben bo:bod br:bre bs:bos ca:cat cs:ces
cy:cym da:dan de:deu el:ell en:eng es:spa et:est eu:eus fa:fas fi:fin fo:fao fr:fra gl:glg gu:guj ha:hau haw:haw
he:heb hi:hin hr:hrv ht:hat hu:hun hy:hye id:ind is:isl it:ita ja:jpn jw:jav ka:kat kk:kaz km:khm kn:kan ko:kor
la:lat
lb:ltz ln:lin lo:lao lt:lit lv:lav mg:mlg mi:mri mk:mkd ml:mal mn:mon mr:mar ms:zlm mt:mlt my:mya ne:npi nl:nld
nn:nno no:nob oc:oci pa:pan pl:pol ps:pus pt:por ro:ron ru:rus sa:san sd:snd si:sin sk:slk sl:slv sn:sna so:som
sq:sqi sr:srp-script_latin su:sun sv:swe sw:swh ta:tam te:tel tg:tgk th:tha tk:tuk-script_latin tl:tgl tr:tur
tt:tat uk:ukr ur:urd-script_arabic uz:uzb-script_latin vi:vie yi:yid yo:yor yue:yue-script_traditional
zh:cmn-script_simplified
"""
_CODES = dict(pair.split(":") for pair in _PAIRS.split())


def adapter_code(language: str) -> str:
    """The adapter's name for a language code; codes of three letters and more stand for themselves."""
    return _CODES.get(language, language)
