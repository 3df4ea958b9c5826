"""Where the webhook channel calls: public addresses, and what else must be allowed (reliability 6.4, SSRF)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest

from heliograph_channel_webhook import WebhookChannel
from heliograph_channels import Accepted, Rejected, RejectReason
from heliograph_channels.destinations import Destination, Forbidden, url_problem
from heliograph_channels.http_client import HttpClient
from heliograph_channels.testing import RecordingContext
from tests.plugins.http_peers import answering
from tests.plugins.test_webhook import SECRET, Receiver, message, sender_for


class Names:
    """A name service with an answer per name; `asked` counts the questions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **names: Sequence[Sequence[str]]) -> None:
        """Answer each name with its next list of addresses, the last one for ever."""
        self.asked: list[str] = []
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._answer)

    async def _answer(self, host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        answers = self._names.get(host)
        if answers is None:
            raise socket.gaierror(-2, "Name or service not known")
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://example.com/hook", None),
        ("https://example.com:8443/hook?a=b", None),
        ("https://93.184.216.34/", None),
        ("https://[2606:2800:220:1::1]/", None),
        ("https://b\u00fccher.example/", None),
        ("https://1.example.com/", None),
        ("https://example.com:80/", None),
        ("https://example.com:1024/", None),
        ("https://example.com:65535/", None),
        ("http://example.com/hook", "https://"),
        ("ftp://example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("gopher://example.com/", "https://"),
        ("javascript:alert(1)", "https://"),
        ("https://", "https://"),
        ("//example.com/", "https://"),
        ("", "https://"),
        ("https://[::1", "https://"),
        ("https://exa mple.com/", "blanks"),
        ("https://example.com/\r\nX: y", "blanks"),
        ("https://example.com\\@10.0.0.1/", "backslashes"),
        ("https://example.com/" + "x" * 2048, "2,048"),
        ("https://user:pass@example.com/", "password"),
        ("https://user@example.com/", "password"),
        ("https://@example.com/", "password"),
        ("https://example.com@10.0.0.1/", "password"),
        ("https://example.com:22/", "port"),
        ("https://example.com:0/", "port"),
        ("https://example.com:1023/", "port"),
        ("https://example.com:65536/", "port"),
        ("https://2130706433/", "usual form"),
        ("https://0x7f000001/", "usual form"),
        ("https://0x7f.0.0.1/", "usual form"),
        ("https://0177.0.0.1/", "usual form"),
        ("https://127.1/", "usual form"),
        ("https://127.0.0.1./", "usual form"),
        ("https://134744072/", "usual form"),
        ("https://example.0x7f/", "usual form"),
        ("https://256.256.256.256/", "usual form"),
        ("https://%31%32%37.0.0.1/", "usual form"),
        ("https://[fe80::1%25eth0]/", "usual form"),
    ],
)
def test_urls_are_judged_when_they_are_set(url: str, words: str | None) -> None:
    problem = url_problem(url, insecure_loopback=False)
    assert (problem is None) if words is None else (problem is not None and words in problem), problem
    fields = [one.field for one in WebhookChannel().check_settings({"url": url, "secret": SECRET})]
    assert fields == ([] if words is None else ["url"])


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("93.184.216.34", None),
        ("2606:2800:220:1::1", None),
        ("::ffff:93.184.216.34", None),
        ("64:ff9b::5db8:d822", None),
        ("2002:5db8:d822::1", None),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:0.0.0.0", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("fe80::1", "link-local"),
        ("10.0.0.1", "private or reserved"),
        ("172.16.0.1", "private or reserved"),
        ("172.31.255.255", "private or reserved"),
        ("192.168.1.1", "private or reserved"),
        ("::ffff:10.0.0.1", "private or reserved"),
        ("64:ff9b::a00:1", "private or reserved"),
        ("2002:a00:1::1", "private or reserved"),
        ("2001:4860:1:2:0:5efe:a00:1", "private or reserved"),
        ("2001:4860:1:2:200:5efe:c0a8:101", "private or reserved"),
        ("2001:0:5db8:d822::f5ff:fffe", "private or reserved"),
        ("100.64.0.1", "carrier's shared"),
        ("100.127.255.255", "carrier's shared"),
        ("::ffff:100.64.0.1", "carrier's shared"),
        ("192.0.2.1", "private or reserved"),
        ("198.18.0.1", "private or reserved"),
        ("240.0.0.1", "private or reserved"),
        ("255.255.255.255", "private or reserved"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("fd00::1", "private or reserved"),
        ("fd00:ec2::254", "private or reserved"),
        ("fec0::1", "private or reserved"),
        ("::7f00:1", "private or reserved"),
        ("64:ff9b:1::7f00:1", "private or reserved"),
        ("100::1", "private or reserved"),
        ("2001:db8::1", "private or reserved"),
        ("5f00::1", "private or reserved"),
    ],
)
async def test_only_public_addresses_are_called(
    monkeypatch: pytest.MonkeyPatch, address: str, kind: str | None
) -> None:
    Names(monkeypatch, hook_example=[[address]])
    destination = Destination("https://hook.example/", allowed=[], insecure_loopback=False)
    if kind is None:
        assert [ip_address(one) for one in await destination.addresses()] == [ip_address(address)]
        return
    with pytest.raises(Forbidden, match=kind) as caught:
        await destination.addresses()
    assert address not in str(caught.value)
    settings = {"url": "https://hook.example/", "secret": SECRET}
    sender = await WebhookChannel().open(settings, RecordingContext().context)
    (result,) = await sender.send_batch([message()])
    health = await sender.health()
    await sender.close()
    assert isinstance(result, Rejected), result
    assert (result.reason, result.retryable) == (RejectReason.REFUSED, False)
    assert kind in result.detail
    assert not health.ok


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254"]
)
async def test_a_host_of_this_network_is_refused_through_the_real_resolver(host: str) -> None:
    with pytest.raises(Forbidden):
        await Destination(f"https://{host}/hook", allowed=[], insecure_loopback=False).addresses()


@pytest.mark.parametrize(
    ("network", "address", "good"),
    [
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.0.0/16", "10.2.0.1", False),
        ("100.64.0.0/10", "100.64.0.1", True),
        ("fd00::/8", "fd00::1", True),
        ("10.1.0.0/16", "::ffff:10.1.2.3", False),
        ("10.1.0.0/16", "127.0.0.1", False),
    ],
)
async def test_a_listed_network_may_be_called(network: str, address: str, good: bool) -> None:
    host = f"[{address}]" if ":" in address else address
    destination = Destination(f"https://{host}/", allowed=[ip_network(network)], insecure_loopback=False)
    if good:
        assert await destination.addresses() == [address]
    else:
        with pytest.raises(Forbidden, match="allow_networks"):
            await destination.addresses()


async def test_plain_http_never_leaves_this_machine_even_to_a_listed_network() -> None:
    networks = [ip_network("10.1.0.0/16")]
    with pytest.raises(Forbidden, match="this machine"):
        await Destination("http://10.1.2.3/", allowed=networks, insecure_loopback=True).addresses()


@pytest.mark.parametrize("network", ["10.1.0.0/33", "10.1.2.3/16", "everything", ""])
def test_what_is_no_network_is_named_with_its_place(network: str) -> None:
    settings = {"url": "https://example.com/", "secret": SECRET, "allow_networks": ["10.0.0.0/8", network]}
    assert [problem.field for problem in WebhookChannel().check_settings(settings)] == ["allow_networks[1]"]


async def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, hook_example=[["93.184.216.34", "127.0.0.1"]])
    with pytest.raises(Forbidden):
        await Destination("https://hook.example/", allowed=[], insecure_loopback=False).addresses()


async def test_a_name_that_changes_its_address_after_the_check_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Receiver().running() as checked, Receiver().running() as other:
        names = Names(monkeypatch, rebind_example=[["127.0.0.1"], ["127.0.0.2"]])
        async with sender_for(f"http://rebind.example:{checked.port}/hook") as sender:
            (result,) = await sender.send_batch([message()])
        assert isinstance(result, Accepted), result
        assert checked.calls[0].headers["host"] == f"rebind.example:{checked.port}"
        assert names.asked == ["rebind.example"]
        assert other.calls == []


async def test_a_name_that_turns_private_is_refused_when_it_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, rebind_example=[["93.184.216.34"], ["10.0.0.1"]])
    destination = Destination("https://rebind.example/", allowed=[], insecure_loopback=False)
    assert await destination.addresses() == ["93.184.216.34"]
    later = asyncio.get_running_loop().time() + 11
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: later)
    with pytest.raises(Forbidden):
        await destination.addresses()


async def test_a_redirect_to_a_private_address_is_not_followed() -> None:
    async with Receiver().running() as receiver, Receiver().running() as inside:
        receiver.acts(answering(302, b"", ("Location", inside.url)))
        async with sender_for(receiver.url) as sender:
            (result,) = await sender.send_batch([message()])
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.REFUSED, False)
        assert "redirects" in result.detail
        assert inside.calls == []


async def test_the_next_address_is_tried_when_one_takes_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver().running() as receiver:
        # Nobody listens on 127.0.0.2 at this port: the server has 127.0.0.1 only.
        Names(monkeypatch, two_example=[["127.0.0.2", "127.0.0.1"]])
        async with sender_for(f"http://two.example:{receiver.port}/hook") as sender:
            (result,) = await sender.send_batch([message()])
        assert isinstance(result, Accepted), result
        assert len(receiver.calls) == 1


async def test_a_name_nobody_knows_means_that_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch)
    async with sender_for("https://nobody.example/") as sender:
        (result,) = await sender.send_batch([message()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)


async def test_a_name_that_cannot_be_looked_up_means_that_nothing_was_sent() -> None:
    async with sender_for(f"https://{'a' * 64}.example/") as sender:
        (result,) = await sender.send_batch([message()])
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)


async def test_a_name_in_another_script_is_looked_up_in_its_ascii_form(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, **{"xn--fa-hia_example": [["127.0.0.1"]]})
    async with Receiver().running() as receiver:
        async with sender_for(f"http://fa\u00df.example:{receiver.port}/") as sender:
            (result,) = await sender.send_batch([message()])
        assert isinstance(result, Accepted), result
        assert receiver.calls[0].headers["host"] == f"xn--fa-hia.example:{receiver.port}"
    assert names.asked == ["xn--fa-hia.example"]


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with Receiver().running() as receiver, sender_for(receiver.url) as sender:
        assert isinstance((await sender.send_batch([message()]))[0], Accepted)


@pytest.mark.parametrize("target", ["https://other.example/x", "https://hook.example:8443/", "http://hook.example/"])
async def test_a_call_never_leaves_for_another_host(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    names = Names(monkeypatch, hook_example=[["93.184.216.34"]], other_example=[["93.184.216.34"]])
    destination = Destination("https://hook.example/", allowed=[], insecure_loopback=False)
    client = HttpClient(timeout=1, connections=1)
    with pytest.raises(Forbidden, match="another host"):
        await destination.call(client, "POST", target=target, within=1)
    await client.close()
    assert names.asked == []
