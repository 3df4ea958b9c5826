"""Which content a recipient gets when several are given (pinpoint-2 1.4, pinpoint-1 4.6).

From the strongest to the weakest: what replaces all else for this recipient, the channel's own message, the template, the
default notification, the default body. The first two are laid over the rest member by member; of the others the first that
says anything is taken whole, so that no half of a default stands beside a template; the default body completes a default
notification that has none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from heliograph_messaging.domain.contents import CustomText, EmailText, PushText, Said, SmsText, VoiceText, over


@dataclass(frozen=True, slots=True)
class Overrides:
    """What replaces title and body of everything else; `raw` (PUSH alone) replaces everything."""

    title: str = ""
    body: str = ""
    raw: str = ""


NONE = Overrides()


def choose(
    message: Said,
    *,
    overrides: Overrides = NONE,
    template: Said | None = None,
    default_message: PushText | None = None,
    default_body: str = "",
) -> Said:
    """Return what is said. `message` is the channel's own; it decides the kind.

    `template` is the named template's content for the recipient (of PUSH: for his platform), None when none is named.
    The result says nothing when nothing was given at any level.
    """
    if isinstance(message, EmailText):
        base = template if isinstance(template, EmailText) and template.says_something else EmailText(text=default_body)
        return _email(message, base, overrides)
    if isinstance(message, SmsText):
        below = template.body if isinstance(template, SmsText) else ""
        return SmsText(overrides.body or message.body or below or default_body)
    if isinstance(message, VoiceText):
        spoken = template if isinstance(template, VoiceText) else VoiceText()
        return VoiceText(
            overrides.body or message.body or spoken.body or default_body,
            message.language or spoken.language,
            message.voice or spoken.voice,
        )
    if isinstance(message, PushText):
        if isinstance(template, PushText) and template.says_something:
            shown = template
        else:
            shown = default_message or PushText()
            if not shown.raw:
                shown = replace(shown, body=shown.body or default_body)
        return _push(message, shown, overrides)
    return CustomText(message.data)


def _email(message: EmailText, base: EmailText, overrides: Overrides) -> EmailText:
    replaced = bool(overrides.title or overrides.body)
    if message.raw and not replaced:
        return EmailText(raw=message.raw)
    named = {name.lower() for name, _ in message.headers}
    kept = tuple((name, value) for name, value in base.headers if name.lower() not in named)
    clicks = message if message.one_click else base
    said = EmailText(
        subject=overrides.title or message.subject or base.subject,
        html=message.html or base.html,
        text=message.text or base.text,
        headers=message.headers + kept,
        one_click=clicks.one_click,
        unsubscribe_url=clicks.unsubscribe_url,
    )
    # One body for both parts: the HTML of another level would hide it from almost everybody.
    return replace(said, html="", text=overrides.body) if overrides.body else said


def _push(message: PushText, base: PushText, overrides: Overrides) -> PushText:
    if overrides.raw:
        return PushText(raw=overrides.raw)
    words = PushText(title=overrides.title, body=overrides.body)
    said = over(replace(message, raw="") if words.says_something else message, base)
    return over(words, replace(said, raw="") if words.says_something else said)
