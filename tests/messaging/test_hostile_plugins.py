"""Plugins that answer wrongly, die or hang while they send: contained, named, and started again."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from heliograph_kit.redelivery import Backoff
from heliograph_kit.testing import eventually
from heliograph_messaging.isolation import process
from tests.messaging.conftest import a_batch
from tests.messaging.hostile_campaign import ALL, PAGE, PAGES, TOKEN, StartedCampaign, hosts, someone

pytestmark = pytest.mark.integration


# What the pipeline itself contains: the same for a plugin in the process and for one outside.
ANSWERS = [
    ("raises", "raised RuntimeError", "RAISED"),
    ("answers_too_few", "answered 49 results for 50 messages", "WRONG_COUNT"),
    ("answers_too_many", "answered 100 results for 50 messages", "WRONG_COUNT"),
    ("answers_none", "answered a NoneType instead of a list", "WRONG_TYPE"),
    ("answers_garbage", "answered a str", "WRONG_TYPE"),
    ("answers_a_coroutine", "answered a coroutine instead of a list", "WRONG_TYPE"),
    ("answers_coroutines", "answered a coroutine", "WRONG_TYPE"),
    ("answers_things_that_raise", "answered a Thing that cannot be read (SystemExit)", "WRONG_TYPE"),
    ("cancels_itself", "cancelled its own call", "RAISED"),
    ("hangs", "did not answer in time", "TIMED_OUT"),
]


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
@pytest.mark.parametrize(("behaviour", "words", "reason"), ANSWERS, ids=[case[0] for case in ANSWERS])
async def test_a_call_without_a_usable_answer_leaves_its_messages_in_doubt_and_names_the_plugin(
    hostile: StartedCampaign, caplog: pytest.LogCaptureFixture, behaviour: str, words: str, reason: str, isolated: bool
) -> None:
    campaign = await hostile(isolated_plugins=["hostile"] if isolated else ["none"])
    status = await campaign.run(behaviour)
    assert status.in_doubt_count == ALL
    told = await campaign.details()
    assert any(words in detail for detail in told), told
    assert all("'hostile'" in detail for detail in told), told
    assert campaign.faults[reason] >= PAGES
    assert any("hostile" in record.getMessage() and record.levelno >= logging.WARNING for record in caplog.records)
    assert bool(hosts()) == isolated


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
async def test_a_list_that_lies_about_itself_is_seen_through(hostile: StartedCampaign, isolated: bool) -> None:
    campaign = await hostile(isolated_plugins=None if isolated else ["none"])
    assert (await campaign.run("answers_a_liar")).in_doubt_count == ALL
    assert any("answered 0 results for 50 messages" in detail for detail in await campaign.details())


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
async def test_answers_that_no_database_takes_are_cut_down_and_what_was_accepted_stays_accepted(
    hostile: StartedCampaign, isolated: bool
) -> None:
    campaign = await hostile(isolated_plugins=None if isolated else ["none"])
    status = await campaign.run("answers_too_much")
    assert (status.accepted_count, status.failed_count, status.in_doubt_count) == (ALL // 2, ALL * 4 // 10, ALL // 10)
    rows = await campaign.service.rows("bad")
    assert max(len(row.detail) for row in rows) == 500
    assert {row.provider_message_id for row in rows} == {"", "good"}
    assert campaign.faults["WRONG_TYPE"] >= PAGES


async def test_a_plugin_inside_that_ignores_cancellation_or_wants_to_exit_is_left_behind(
    hostile: StartedCampaign,
) -> None:
    campaign = await hostile(isolated_plugins=["none"])
    assert (await campaign.run("exits_softly")).in_doubt_count == ALL
    assert set(await campaign.details()) == {"the channel plugin 'hostile' raised RuntimeError"}


# What ends or blocks a process: only contained where the plugin has one of its own.
DEATHS = [
    ("aborts", "ended by SIGABRT", "DIED"),
    ("reads_null", "ended by SIGSEGV", "DIED"),
    ("exits_hard", "ended with exit status 7", "DIED"),
    ("exits_softly", "ended with exit status 1", "DIED"),
    ("kills_itself", "ended by SIGKILL", "DIED"),
    ("closes_its_descriptors", "ended with exit status 1", "DIED"),
    ("hangs_up", "closed its connection", "DIED"),
    ("blocks_the_loop", "blocked its event loop", "BLOCKED"),
    ("spins", "blocked its event loop", "BLOCKED"),
    ("writes_noise", "sent what is no answer", "GARBLED"),
    ("announces_a_huge_frame", "sent what is no answer: a frame of 8,589,934,598 bytes", "GARBLED"),
    ("nests_deeply", "sent what is no answer: a frame that is no JSON: RecursionError", "GARBLED"),
    ("leaks_a_gigabyte", "ran out of its 512 MB of memory", "OUT_OF_MEMORY"),
    ("starts_threads_without_end", "raised RuntimeError", "RAISED"),
    ("opens_files_without_end", "raised OSError", "RAISED"),
    ("starts_processes_without_end", "raised PermissionError", "RAISED"),
    ("runs_a_program", "raised PermissionError", "RAISED"),
    ("kills_the_service", "raised PermissionError", "RAISED"),
    ("reads_the_environment_of_the_service", "raised PermissionError", "RAISED"),
]


@pytest.mark.parametrize(("behaviour", "words", "reason"), DEATHS, ids=[case[0] for case in DEATHS])
async def test_a_process_that_dies_hangs_or_takes_too_much_is_contained_named_and_started_again(
    hostile: StartedCampaign, caplog: pytest.LogCaptureFixture, behaviour: str, words: str, reason: str
) -> None:
    # Time enough where it is not the point: machines that run tests are slow at times.
    blocked = reason == "BLOCKED"
    campaign = await hostile(isolated_stall_seconds=0.5 if blocked else 10, send_timeout_seconds=10)
    status = await campaign.run(behaviour, within=60)
    # In doubt is what it had in hand; what it never got is tried again, and fails when its tries are used up.
    assert status.accepted_count == 0
    assert status.in_doubt_count >= PAGE
    assert status.in_doubt_count + status.failed_count == ALL
    told = await campaign.details()
    assert any(words in detail for detail in told), told
    assert all("'hostile'" in detail for detail in told), told
    assert campaign.faults[reason] >= 1, campaign.faults
    assert "hostile" in caplog.text
    if reason != "RAISED":
        assert any(words.removeprefix("sent ") in record.getMessage() for record in caplog.records)
    # The next one starts anew, and is well.
    await campaign.mend()
    await campaign.service.dispatch(a_batch(someone(0), run_id="after", channel="CUSTOM", custom_data="hello"))
    assert (await campaign.service.done(PAGE, "after", 30)).accepted_count == PAGE
    if reason != "RAISED":
        assert campaign.restarts["hostile"] >= 1


async def test_a_plugin_outside_that_ignores_cancellation_is_killed_for_it(hostile: StartedCampaign) -> None:
    campaign = await hostile()
    assert (await campaign.run("ignores_cancellation")).in_doubt_count >= PAGE
    await eventually(lambda: campaign.faults["IGNORED_CANCELLATION"] >= 1)


async def test_a_plugin_inside_that_ignores_cancellation_is_left_behind_and_named(hostile: StartedCampaign) -> None:
    campaign = await hostile(isolated_plugins=["none"])
    await campaign.service.set_up("CUSTOM", "hostile", behaviour="ignores_cancellation")
    await campaign.service.dispatch(a_batch(someone(0), run_id="bad", channel="CUSTOM", custom_data="hello"))
    assert (await campaign.service.done(PAGE, "bad")).in_doubt_count == PAGE
    assert campaign.faults == {"TIMED_OUT": 1, "IGNORED_CANCELLATION": 1}


async def test_the_breaker_leaves_a_plugin_alone_whose_process_keeps_dying(hostile: StartedCampaign) -> None:
    campaign = await hostile(breaker_threshold=2, breaker_pause_seconds=0.5, campaign_concurrency=1)
    status = await campaign.run("aborts")
    assert status.in_doubt_count == ALL
    # Each call killed a process; between them the breaker kept the others back instead of using up their attempts.
    assert campaign.faults["DIED"] == 2 * PAGES


async def test_another_route_takes_over_from_a_plugin_whose_process_is_left_alone(
    hostile: StartedCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_RESTART", Backoff(timedelta(hours=1), timedelta(hours=1)))
    campaign = await hostile()
    service = campaign.service
    await service.set_up("CUSTOM", "hostile", behaviour="accepts")
    await service.add_route("CUSTOM", "spare", "simulator", delivered_share=0)
    await service.dispatch(a_batch(someone(0), run_id="first", channel="CUSTOM", custom_data="hello"))
    assert (await service.done(PAGE, "first")).accepted_count == PAGE
    for one in hosts():
        one.kill()
    for page in range(2):
        await service.dispatch(a_batch(someone(page), run_id="bad", page=page, channel="CUSTOM", custom_data="hello"))
    # Its addresses cannot be checked any more, so that nothing was handed over and nothing is in doubt.
    assert (await service.done(2 * PAGE, "bad")).accepted_count == 2 * PAGE
    assert {row.provider_message_id.partition("-")[0] for row in await service.rows("bad")} == {"sim"}


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
@pytest.mark.parametrize("behaviour", ["open_raises", "open_hangs", "open_answers_none", "capabilities_raise"])
async def test_a_channel_that_does_not_open_keeps_its_messages_until_it_does(
    hostile: StartedCampaign, behaviour: str, isolated: bool
) -> None:
    campaign = await hostile(isolated_plugins=None if isolated else ["none"], open_timeout_seconds=0.3)
    await campaign.service.set_up("EMAIL", "simulator", delivered_share=0)
    await campaign.service.set_up("CUSTOM", "hostile", behaviour=behaviour, token=TOKEN)
    await campaign.service.dispatch(a_batch(someone(0), run_id="bad", channel="CUSTOM", custom_data="hello"))
    await campaign.service.dispatch(a_batch([f"{one}@example.com" for one in someone(0)], run_id="good"))
    assert (await campaign.service.done(PAGE, "good")).accepted_count == PAGE
    assert (await campaign.service.status("bad")).accepted_count == 0
    await campaign.mend()
    assert (await campaign.service.done(PAGE, "bad")).accepted_count == PAGE
