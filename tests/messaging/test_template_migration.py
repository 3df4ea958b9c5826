"""Templates over the upgrade that made room for every kind: what was stored is read, and the code of before goes on."""

from __future__ import annotations

import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import create_engine, text

from heliograph.messaging.v1 import templates_pb2
from heliograph_kit import migrations
from heliograph_kit.migrations import VERSION_TABLE, upgrade
from heliograph_messaging import main
from tests.messaging.conftest import PARENT, Started

pytestmark = pytest.mark.integration
T = templates_pb2

_TEMPLATE = """INSERT INTO messaging.templates (project, id, kind, active_version, latest_version, create_time)
    VALUES ('shop', :id, :kind, 1, 1, '2026-01-01Z')"""
# As the code of before the upgrade writes a version: it knows these columns and no others.
_VERSION = """INSERT INTO messaging.template_versions (project, id, version, incarnation, description, subject, html,
    text, body, default_substitutions, variables, substitution_names, update_time, updated_by)
    VALUES ('shop', :id, 1, 'i', 'd', :subject, :html, :text, :body, '{"a": "b"}', '{Attributes.a}', '{a}',
    '2026-01-02Z', 'apiKeys/k')"""


def to_revision(url: str, revision: str) -> None:
    """Migrate a new schema no further than to a revision."""
    script = migrations._scripts(main.PACKAGE)
    engine = create_engine(url)
    with engine.begin() as conn:
        conn.execute(text("CREATE SCHEMA messaging"))
    with (
        engine.connect() as conn,
        EnvironmentContext(
            Config(),
            script,
            fn=lambda at, _: script._upgrade_revs(revision, at),
            destination_rev=revision,
        ) as environment,
    ):
        environment.configure(connection=conn, version_table=VERSION_TABLE, version_table_schema="messaging")
        with environment.begin_transaction():
            environment.run_migrations()
        conn.commit()
    engine.dispose()


def written_as_before(url: str, id: str) -> None:
    engine = create_engine(url)
    with engine.begin() as conn:
        for kind, texts in (("EMAIL", ("s", "<p>h</p>", "t", "")), ("SMS", ("", "", "", "b"))):
            named = {"id": f"{id}-{kind.lower()}", "kind": kind}
            conn.execute(text(_TEMPLATE), named)
            values = dict(zip(("subject", "html", "text", "body"), texts, strict=True))
            conn.execute(text(_VERSION), {**named, **values})
    engine.dispose()


async def test_templates_of_before_are_read_overwritten_and_written_beside_the_new_code(
    start: Started, database_url: str
) -> None:
    url = database_url
    to_revision(url, "0002")
    written_as_before(url, "old")
    upgrade(url, package=main.PACKAGE, schema="messaging")
    written_as_before(url, "late")
    service = await start(database_url=url)

    async def get(id: str) -> T.Template:
        return await service.templates.GetTemplate(T.GetTemplateRequest(name=f"{PARENT}/templates/{id}"))

    for id in ("old", "late"):
        email, sms = await get(f"{id}-email"), await get(f"{id}-sms")
        assert email.email == T.EmailTemplate(subject="s", html="<p>h</p>", text="t")
        assert sms.sms == T.SmsTemplate(body="b")
        assert (email.version, email.latest_version, email.revision, email.lenient) == (1, 1, 0, False)
        assert (dict(email.default_substitutions), list(email.variables)) == ({"a": "b"}, ["Attributes.a"])
    changed = T.Template(name=f"{PARENT}/templates/old-email", email=T.EmailTemplate(text="new"))
    request = T.UpdateTemplateRequest(template=changed, mode=T.TEMPLATE_UPDATE_MODE_OVERWRITE_LATEST)
    request.update_mask.paths.append("email.text")
    assert (await service.templates.UpdateTemplate(request)).email.text == "new"
    listed = await service.templates.ListTemplateVersions(
        T.ListTemplateVersionsRequest(parent=f"{PARENT}/templates/old-email")
    )
    (only,) = listed.versions
    assert (only.create_time.ToJsonString(), only.revision) == ("2026-01-02T00:00:00Z", 1)
    assert only.update_time.ToDatetime() > only.create_time.ToDatetime()
