"""What a message to one of our numbers means: first words, words that opt out in many languages, keywords. Pure tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_channels.parts import measure
from heliograph_messaging.domain.keywords import (
    MAX_KEYWORD,
    REQUIRED,
    Action,
    Keyword,
    Source,
    Understood,
    first_word,
    is_fixed,
    keyword_problem,
    registered,
    reply_problem,
    understand,
    with_required,
)
from heliograph_messaging.domain.stop_words import IN_OTHER_LANGUAGES, OPT_OUT_WORDS

pytestmark = pytest.mark.unit
OUT, IN, ANSWER = Action.OPT_OUT, Action.OPT_IN, Action.AUTOMATIC_RESPONSE
JOIN = Keyword("JOIN", IN, "Welcome back")
HOURS = Keyword("HOURS", ANSWER, "9 to 5")
LEAVE = Keyword("LEAVE", OUT, "Gone")
OWN_STOP = Keyword("STOP", OUT, "Bye")
OWN_HELP = Keyword("HELP", ANSWER, "Call +1 206 555 0199")
MINE = {one.keyword: one for one in (JOIN, HOURS, LEAVE)}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("STOP", "STOP"), ("stop", "STOP"), ("Stop.", "STOP"), ("  stop!!! ", "STOP"), ("¡STOP!", "STOP"), ('"stop"', "STOP"),
        ("'stop'", "STOP"), ("(stop)", "STOP"), ("stop,please", "STOP"), ("stop\nplease", "STOP"), ("stop--", "STOP"),
        ("-stop", "STOP"), ("🛑 stop", "STOP"), ("*STOP*", "STOP"), ("STOP_ALL", "STOP"), ("sto\u200bp", "STOP"),
        ("\u202estop", "STOP"), ("\uff33\uff34\uff2f\uff30", "STOP"), ("Opt-Out", "OPT-OUT"), ("opt out", "OPT-OUT"), ("Opt, out!", "OPT-OUT"),
        ("opt in", "OPT"), ("arre\u0302t", "ARRÊT"), ("d'accord", "D'ACCORD"), ("d\u2019accord", "D'ACCORD"), ("4 you", "4"),
        ("please stop", "PLEASE"), ("stopp it", "STOPP"), ("", ""), (" \t\n", ""), ("...", ""), ("👍", ""), ("_", ""),
        ("बंद करो", "बंद"), ("停止", "停止"),
    ],
)  # fmt: skip
def test_the_first_word_is_what_stands_first_whatever_stands_around_it(body: str, word: str) -> None:
    assert first_word(body) == word


@pytest.mark.parametrize("word", sorted(OPT_OUT_WORDS))
@pytest.mark.parametrize(
    "written", [str, str.lower, str.title, "{}!".format, "{} me from this".format, "\n{}\n".format]
)
def test_every_word_of_the_original_opts_out_however_it_is_written(word: str, written: type[str]) -> None:
    meant = understand(written(word), keywords={})
    assert meant == Understood("STOP", OUT, REQUIRED["STOP"].reply)


@pytest.mark.parametrize("language", sorted(IN_OTHER_LANGUAGES))
def test_words_of_other_languages_opt_out_with_case_and_punctuation(language: str) -> None:
    for word in IN_OTHER_LANGUAGES[language].split():
        for body in (word, word.lower(), word.capitalize(), f"{word}!", f" «{word.lower()}», 123", f"{word}\n"):
            assert understand(body, keywords={}).action is OUT, body


def test_there_are_twelve_languages_at_least() -> None:
    assert len(IN_OTHER_LANGUAGES) >= 12


@pytest.mark.parametrize(
    ("body", "how", "expected"),
    [
        ("STOP", {}, Understood("STOP", OUT, REQUIRED["STOP"].reply)),
        ("Stop it please", {}, Understood("STOP", OUT, REQUIRED["STOP"].reply)),
        ("please stop", {}, Understood()),
        ("Help me understand", {}, Understood("HELP", ANSWER, REQUIRED["HELP"].reply)),
        ("hello", {}, Understood()),
        ("stop", {"keywords": {"STOP": OWN_STOP}}, Understood("STOP", OUT, "Bye")),
        ("Unsubscribe", {"keywords": {"STOP": OWN_STOP}}, Understood("STOP", OUT, "Bye")),
        ("help", {"keywords": {"HELP": OWN_HELP}}, Understood("HELP", ANSWER, "Call +1 206 555 0199")),
        ("join now", {"keywords": MINE}, Understood("JOIN", IN, "Welcome back")),
        ("hours?", {"keywords": MINE}, Understood("HOURS", ANSWER, "9 to 5")),
        ("leave", {"keywords": MINE}, Understood("LEAVE", OUT, "Gone")),
        ("joining", {"keywords": MINE}, Understood()),
        ("parar", {"keywords": {"PARAR": Keyword("PARAR", ANSWER, "Parking")}}, Understood("PARAR", ANSWER, "Parking")),
        ("quit", {"keywords": {"QUIT": Keyword("QUIT", ANSWER, "No")}}, Understood("STOP", OUT, REQUIRED["STOP"].reply)),
        ("START", {}, Understood()),
        ("STOP", {"toll_free": True}, Understood("STOP", OUT, "")),
        ("stop now", {"toll_free": True}, Understood("STOP", OUT, "")),
        ("UNSTOP", {"toll_free": True}, Understood("UNSTOP", IN, "")),
        ("start", {"toll_free": True}, Understood("START", IN, "")),
        ("QUIT", {"toll_free": True}, Understood()),
        ("ARRET", {"toll_free": True}, Understood()),
        ("STOPP", {"toll_free": True}, Understood()),
        ("join", {"toll_free": True, "keywords": MINE}, Understood()),
        ("help", {"toll_free": True, "keywords": {"HELP": OWN_HELP}}, Understood("HELP", ANSWER, REQUIRED["HELP"].reply)),
        ("STOP", {"self_managed": True}, Understood()),
        ("HELP", {"self_managed": True}, Understood()),
        ("STOP", {"self_managed": True, "keywords": {"STOP": OWN_STOP}}, Understood("STOP", ANSWER, "Bye")),
        ("leave", {"self_managed": True, "keywords": MINE}, Understood("LEAVE", ANSWER, "Gone")),
        ("STOP", {"self_managed": True, "toll_free": True}, Understood()),
        ("", {"keywords": MINE}, Understood()),
    ],
    ids=[
        "STOP", "first of several words", "not the first word", "HELP", "nothing", "an own reply of STOP",
        "which the other words have too", "an own reply of HELP", "opting in", "answering", "an own word that opts out",
        "only whole words", "a keyword of the number comes before other languages", "but not before the original's words",
        "START means nothing elsewhere", "STOP to a toll-free number is answered by the carrier", "its first word counts, too",
        "UNSTOP opts in", "START opts in", "no other word opts out", "not in French", "not in German", "no own keywords",
        "HELP is answered as it is", "self-managed: STOP opts nobody out", "HELP is not answered",
        "unless somebody wrote an answer", "own words only answer", "toll-free and self-managed", "empty",
    ],
)  # fmt: skip
def test_a_message_means_what_its_first_word_says(body: str, how: dict[str, object], expected: Understood) -> None:
    assert understand(body, **{"keywords": {}, **how}) == expected  # type: ignore[arg-type]


@given(st.text(max_size=300))
def test_whatever_people_write_is_understood_without_an_error(body: str) -> None:
    assert not any(character.isspace() for character in first_word(body))
    understand(body, keywords=MINE)


@pytest.mark.parametrize(
    ("keyword", "good"),
    [("JOIN", True), ("A" * MAX_KEYWORD, True), ("A" * (MAX_KEYWORD + 1), False), ("4U", True), ("OPT-IN", True),
     ("ÉTÉ", True), ("登録", True), ("join", False), ("JOIN NOW", False), ("JOIN!", False), ("-JOIN", False), ("", False),
     ("👍", False)],
)  # fmt: skip
def test_a_keyword_is_one_word_in_capitals(keyword: str, good: bool) -> None:
    assert (keyword_problem(keyword) is None) is good


@pytest.mark.parametrize(
    ("reply", "good"),
    [
        ("x", True),
        ("x" * 1600, True),
        ("x" * 1601, False),
        ("あ" * 630, True),
        ("あ" * 631, False),
        ("", False),
        ("  \n", False),
    ],
)
def test_a_reply_fits_into_an_sms(reply: str, good: bool) -> None:
    assert (reply_problem(reply) is None) is good


def test_the_words_of_the_original_are_fixed_and_stop_itself_is_not() -> None:
    assert [word for word in sorted(OPT_OUT_WORDS) if not is_fixed(word)] == ["STOP"]
    assert is_fixed("ARRÊT")
    assert not is_fixed("PARAR")


def test_help_and_stop_are_always_there_and_fit_into_one_part() -> None:
    assert [one.keyword for one in with_required({"JOIN": JOIN})] == ["HELP", "JOIN", "STOP"]
    assert with_required({})[0].source is Source.BUILT_IN
    assert OWN_STOP in with_required({"STOP": OWN_STOP})
    assert all(measure(one.reply).parts == 1 for one in REQUIRED.values())


def test_a_use_case_brings_the_replies_that_it_has_registered() -> None:
    found = registered("Call +1 206 555 0199", "Bye")
    assert found == {"HELP": Keyword("HELP", ANSWER, "Call +1 206 555 0199"), "STOP": Keyword("STOP", OUT, "Bye")}
    assert {one.source for one in found.values()} == {Source.USE_CASE}
    assert registered("", " ") == {}
    # One that could not be sent is none.
    assert [*registered("x" * 1601, "Bye")] == ["STOP"]
