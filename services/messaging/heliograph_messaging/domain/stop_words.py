"""The words that opt out, as data: those of the original (pinpoint-2 2.4, complete), and what people write elsewhere.

The second table goes beyond the original, where a person who writes his own language stays opted in. Words that mean something
harmless in another language of the table are left out on purpose (Turkish `dur`, Finnish `peru`): whoever needs one adds it as
a keyword of his number. A keyword of that name on a number comes before the second table, never before the first.
"""

from __future__ import annotations

STOP = "STOP"
HELP = "HELP"

OPT_OUT_WORDS = frozenset(
    {"ARRET", "CANCEL", "END", "OPT-OUT", "OPTOUT", "QUIT", "REMOVE", "STOP", "TD", "UNSUBSCRIBE"}
)
"""The complete list of the original; `ARRÊT` is `ARRET`, as accents are not looked at."""

IN_OTHER_LANGUAGES = {
    "ar": "توقف إيقاف إلغاء",
    "cs": "ODHLÁSIT ZRUŠIT",
    "da": "AFMELD",
    "de": "STOPP ABMELDEN ABBESTELLEN",
    "el": "ΣΤΟΠ ΔΙΑΓΡΑΦΗ",
    "es": "PARAR ALTO CANCELAR BAJA",
    "fi": "LOPETA",
    "fr": "DÉSABONNER DÉSABONNEMENT DÉSINSCRIRE ARRÊTER",
    "he": "הסר עצור",
    "hi": "बंद रोकें",
    "hu": "LEIRATKOZÁS",
    "id": "BERHENTI",
    "it": "ANNULLA CANCELLAMI DISISCRIVI",
    "ja": "ストップ 停止 配信停止",
    "ko": "중지 수신거부",
    "nl": "AFMELDEN UITSCHRIJVEN STOPPEN",
    "no": "AVSLUTT",
    "pl": "WYPISZ REZYGNUJĘ",
    "pt": "SAIR PARAR CANCELAR",
    "ro": "DEZABONARE",
    "ru": "СТОП ОТПИСКА ОТПИСАТЬСЯ",
    "sv": "STOPPA AVSLUTA AVREGISTRERA",
    "th": "หยุด ยกเลิก",
    "tr": "İPTAL RET",
    "uk": "СТОП ВІДПИСАТИСЯ",
    "vi": "DỪNG HỦY",
    "zh": "停止 退订 退訂",
}
"""Words by language (ISO 639)."""

TOLL_FREE_OPT_IN = frozenset({"UNSTOP", "START"})
