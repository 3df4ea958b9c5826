"""The contract of a channel as tests: inherit, give four things, get all of them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import ClassVar, cast

import pytest
from jsonschema import Draft202012Validator

from heliograph_channels.messages import Content, CustomContent, Kind, OutgoingMessage, SmsContent
from heliograph_channels.providers import ChannelProvider, Health, Sender
from heliograph_channels.results import Accepted, Rejected, SendResult, Unknown, Unsupported
from heliograph_channels.schema import secret_fields
from heliograph_channels.testing.builders import RecordingContext, a_message, content_for

__all__ = ["ChannelContract"]

_RESULTS = (Accepted, Rejected, Unsupported, Unknown)


class ChannelContract:
    """Inherit in a test class, set the addresses, and override the two fixtures.

    `good_address` is accepted by the provider the settings lead to; `bad_addresses` are refused by `check_address`.
    Override `message` when the channel needs something particular in every message, and `within` (seconds) when the
    provider is slow.
    """

    kind: ClassVar[Kind]
    good_address: ClassVar[str]
    bad_addresses: ClassVar[Sequence[str]]
    within: ClassVar[float] = 20.0

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        """Return the provider under test."""
        raise NotImplementedError("override the fixture `provider`")

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        """Return good settings; secrets in them should be long and unmistakable."""
        raise NotImplementedError("override the fixture `settings`")

    def message(self, address: str | None = None, content: Content | None = None, **more: str) -> OutgoingMessage:
        """Build one message this channel can send."""
        return a_message(self.kind, address or self.good_address, content=content, message_id=more.get("message_id"))

    def opened(
        self, provider: ChannelProvider, settings: Mapping[str, object], recording: RecordingContext | None = None
    ) -> AbstractAsyncContextManager[Sender]:
        """Open a sender for the length of an `async with`."""
        return _opened(provider, settings, recording or RecordingContext(), self.within)

    # What the provider says about itself

    def test_the_name_can_be_typed_by_an_operator(self, provider: ChannelProvider) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,62}", provider.name)

    def test_it_serves_the_kind_under_test(self, provider: ChannelProvider) -> None:
        assert self.kind in provider.kinds
        assert all(isinstance(kind, Kind) for kind in provider.kinds)

    def test_its_capabilities_under_settings_promise_no_less(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        general, particular = provider.capabilities, provider.capabilities_for(settings)
        assert particular.batch_size <= 1000
        assert particular.idempotency_key >= general.idempotency_key

    # Settings

    def test_the_settings_schema_is_a_json_schema_of_an_object(self, provider: ChannelProvider) -> None:
        Draft202012Validator.check_schema(cast("dict[str, object]", provider.settings_schema))
        assert provider.settings_schema["type"] == "object"

    def test_every_setting_is_described(self, provider: ChannelProvider) -> None:
        undescribed = [name for name, item in _properties(provider).items() if not item.get("description")]
        assert undescribed == []

    def test_good_settings_have_no_problem(self, provider: ChannelProvider, settings: Mapping[str, object]) -> None:
        assert list(provider.check_settings(settings)) == []
        assert not list(Draft202012Validator(dict(provider.settings_schema)).iter_errors(dict(settings)))

    def test_all_problems_are_reported_together(self, provider: ChannelProvider) -> None:
        wrong: dict[str, object] = {name: object() for name in _properties(provider)}
        wrong["no_such_setting"] = 1
        # A problem inside of a setting names the setting, too.
        named = {problem.field.partition(".")[0] for problem in provider.check_settings(wrong)}
        assert named >= set(wrong)

    def test_every_missing_setting_is_named(self, provider: ChannelProvider) -> None:
        required = set(cast("list[str]", provider.settings_schema.get("required", [])))
        assert {problem.field for problem in provider.check_settings({})} >= required

    def test_problems_never_repeat_a_secret(self, provider: ChannelProvider, settings: Mapping[str, object]) -> None:
        wrong: dict[str, object] = {name: object() for name in _properties(provider)}
        secrets = secret_fields(provider.settings_schema)
        wrong.update(dict.fromkeys(secrets, "hunter2-and-\r\n-more"))
        wrong["no_such_setting"] = "hunter2-and-\r\n-more"
        assert "hunter2" not in repr(list(provider.check_settings(wrong)))

    # Addresses

    def test_a_good_address_is_good(self, provider: ChannelProvider) -> None:
        assert provider.check_address(self.kind, self.good_address) is None

    def test_bad_addresses_are_refused_with_a_reason(self, provider: ChannelProvider) -> None:
        assert self.bad_addresses, "name at least one bad address"
        for address in self.bad_addresses:
            assert provider.check_address(self.kind, address), f"{address!r} was found good"

    @pytest.mark.parametrize("address", ["", "a\r\nb", "x\x00y", "line\nfeed"], ids=["empty", "crlf", "nul", "lf"])
    def test_no_channel_takes_an_empty_address_or_control_characters(
        self, provider: ChannelProvider, address: str
    ) -> None:
        assert provider.check_address(self.kind, address)
        assert provider.check_address(self.kind, self.good_address + "\r\nX: y")
        assert provider.check_address(self.kind, self.good_address + "\n")

    def test_a_kind_it_does_not_serve_is_refused(self, provider: ChannelProvider) -> None:
        for kind in set(Kind) - provider.kinds:
            assert provider.check_address(kind, self.good_address)

    # Sending

    async def test_an_empty_batch_answers_nothing(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        async with self.opened(provider, settings) as sender:
            assert list(await sender.send_batch([])) == []

    async def test_a_good_message_is_accepted_with_the_providers_id(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        async with self.opened(provider, settings) as sender:
            (result,) = await self._send(sender, [self.message()])
            assert isinstance(result, Accepted), result
            assert result.provider_message_id

    async def test_results_are_as_many_as_messages_and_in_their_order(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        good = [self.message() for _ in range(min(9, max(1, provider.capabilities.batch_size - 1)))]
        bad = self.message("nobody\r\nRCPT TO:<x@example.com>")
        async with self.opened(provider, settings) as sender:
            for place in {0, len(good) // 2, len(good)}:
                batch = [*good[:place], bad, *good[place:]][: provider.capabilities.batch_size]
                results = await self._send(sender, batch)
                for message, result in zip(batch, results, strict=True):
                    assert isinstance(result, Rejected if message is bad else Accepted), result

    async def test_a_full_batch_is_taken(self, provider: ChannelProvider, settings: Mapping[str, object]) -> None:
        batch = [self.message() for _ in range(provider.capabilities.batch_size)]
        async with self.opened(provider, settings) as sender:
            results = await self._send(sender, batch)
        ids = [result.provider_message_id for result in results if isinstance(result, Accepted)]
        assert len(ids) == len(batch)
        assert len(set(ids)) == len(ids)

    async def test_as_many_batches_at_once_as_declared_are_taken(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        async with self.opened(provider, settings) as sender:
            batches = [[self.message(), self.message()] for _ in range(min(provider.capabilities.concurrency, 50))]
            if provider.capabilities.batch_size == 1:
                batches = [batch[:1] for batch in batches]
            answers = await asyncio.gather(*(self._send(sender, batch) for batch in batches))
        assert all(isinstance(result, Accepted) for results in answers for result in results)

    async def test_content_of_another_kind_is_unsupported_and_not_an_error(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        other = CustomContent(data="x") if self.kind is not Kind.CUSTOM else SmsContent(body="x")
        async with self.opened(provider, settings) as sender:
            (result,) = await self._send(sender, [self.message(content=other)])
        assert isinstance(result, Unsupported), result
        assert result.feature

    @pytest.mark.parametrize(
        "text",
        ["h\u00e9llo \u20ac \U0001f600", "\u202e\u200b\ufeff", "\r\n.\r\n", ".", "\x00", "\ud800", "x" * 20_000, ""],
        ids=["unicode", "invisible", "dot", "one dot", "nul", "lone surrogate", "long", "empty"],
    )
    async def test_strange_content_has_a_result_and_does_not_hurt_its_neighbour(
        self, provider: ChannelProvider, settings: Mapping[str, object], text: str
    ) -> None:
        batch = [self.message(content=content_for(self.kind, text)), self.message()]
        async with self.opened(provider, settings) as sender:
            if provider.capabilities.batch_size == 1:
                strange, good = [(await self._send(sender, [message]))[0] for message in batch]
            else:
                strange, good = await self._send(sender, batch)
        assert isinstance(strange, _RESULTS)
        assert not isinstance(strange, Unknown)
        assert isinstance(good, Accepted), good

    async def test_read_only_mappings_are_enough(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        async with self.opened(provider, MappingProxyType(dict(settings))) as sender:
            plain = self.message()
            message = OutgoingMessage(
                message_id=plain.message_id,
                kind=plain.kind,
                address=plain.address,
                content=plain.content,
                origination=plain.origination,
                attributes=MappingProxyType({"campaign_id": "c1"}),
            )
            (result,) = await self._send(sender, [message])
        assert isinstance(result, Accepted), result

    async def test_a_message_sent_again_keeps_its_answer_if_that_is_promised(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        if not provider.capabilities_for(settings).idempotency_key:
            pytest.skip("the channel promises no idempotency")
        message = self.message()
        async with self.opened(provider, settings) as sender:
            first = await self._send(sender, [message])
            assert await self._send(sender, [message]) == first

    # Life and death

    async def test_an_opened_channel_is_well(self, provider: ChannelProvider, settings: Mapping[str, object]) -> None:
        async with self.opened(provider, settings) as sender:
            health = await asyncio.wait_for(sender.health(), self.within)
        assert isinstance(health, Health)
        assert health.ok, health.detail

    async def test_closing_twice_is_harmless(self, provider: ChannelProvider, settings: Mapping[str, object]) -> None:
        async with self.opened(provider, settings) as sender:
            await self._send(sender, [self.message()])
            await sender.close()
            await sender.close()

    async def test_a_closed_channel_sends_nothing_and_says_try_again(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        async with self.opened(provider, settings) as sender:
            await sender.close()
            (result,) = await self._send(sender, [self.message()])
            assert not (await sender.health()).ok
        assert isinstance(result, Rejected), result
        assert result.retryable

    async def test_a_cancelled_send_leaves_a_usable_sender(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        async with self.opened(provider, settings) as sender:
            for turns in (0, 1, 2, 5, 10, 20):
                batch = [self.message() for _ in range(min(5, provider.capabilities.batch_size))]
                task = asyncio.create_task(self._send(sender, batch))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            (result,) = await self._send(sender, [self.message()])
        assert isinstance(result, Accepted), result

    async def test_two_projects_do_not_share_a_sender(
        self, provider: ChannelProvider, settings: Mapping[str, object]
    ) -> None:
        async with (
            self.opened(provider, settings, RecordingContext("one")) as first,
            self.opened(provider, settings, RecordingContext("two")) as second,
        ):
            await first.close()
            (result,) = await self._send(second, [self.message()])
        assert isinstance(result, Accepted), result

    async def test_no_secret_shows_anywhere(
        self, provider: ChannelProvider, settings: Mapping[str, object], caplog: pytest.LogCaptureFixture
    ) -> None:
        secrets = [str(settings[name]) for name in secret_fields(provider.settings_schema) if settings.get(name)]
        with caplog.at_level(logging.DEBUG):
            async with self.opened(provider, settings) as sender:
                results = await self._send(sender, [self.message()])
                shown = [repr(provider), repr(sender), str(sender), repr(results), repr(await sender.health())]
        shown.append(caplog.text)
        for secret in secrets:
            assert not [text for text in shown if secret in text]

    async def _send(self, sender: Sender, batch: Sequence[OutgoingMessage]) -> list[SendResult]:
        results = list(await asyncio.wait_for(sender.send_batch(batch), self.within))
        assert len(results) == len(batch)
        assert all(isinstance(result, _RESULTS) for result in results)
        return results

    def __init_subclass__(cls, **more: object) -> None:
        """Mark the coroutine tests, so that authors need no particular pytest-asyncio mode."""
        super().__init_subclass__(**more)
        for name, member in vars(ChannelContract).items():
            if name.startswith("test_") and asyncio.iscoroutinefunction(member):
                pytest.mark.asyncio(member)


def _properties(provider: ChannelProvider) -> dict[str, dict[str, object]]:
    return cast("dict[str, dict[str, object]]", provider.settings_schema.get("properties", {}))


@asynccontextmanager
async def _opened(
    provider: ChannelProvider, settings: Mapping[str, object], recording: RecordingContext, within: float
) -> AsyncIterator[Sender]:
    sender = await asyncio.wait_for(provider.open(settings, recording.context), within)
    try:
        yield sender
    finally:
        await asyncio.wait_for(sender.close(), within)
