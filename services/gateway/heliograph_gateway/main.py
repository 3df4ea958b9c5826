"""The gateway as a program: `heliograph-gateway`. It has no database, no bus and no gRPC of its own."""

from __future__ import annotations

from heliograph_gateway.config import GatewaySettings
from heliograph_gateway.server import HttpServer
from heliograph_gateway.service.keys import Keys
from heliograph_gateway.service.messaging import Messaging
from heliograph_gateway.service.recorder import Recorder
from heliograph_gateway.service.registry import Registry
from heliograph_gateway.servicers.app import make_app
from heliograph_gateway.servicers.registrars import RegistrarRoutes
from heliograph_gateway.servicers.tracking import TrackingRoutes
from heliograph_gateway.servicers.webhooks import WebhookRoutes
from heliograph_kit.runtime import Runtime, run_service

PACKAGE = "heliograph_gateway"


async def build(runtime: Runtime[GatewaySettings]) -> None:
    """Wire the service."""
    settings, clock = runtime.settings, runtime.clock
    messaging = Messaging(runtime.peer("messaging"), seconds=settings.call_seconds)
    keys = Keys(messaging, lambda: clock.now().date())
    runtime.add_worker("keys", keys.run, every_role=True)
    recorder = Recorder(messaging, flush_seconds=settings.flush_seconds, most=settings.max_events)
    runtime.add_worker("recorder", recorder.run, every_role=True)
    runtime.on_close(recorder.close)
    server = HttpServer(
        settings.listen,
        max_connections=settings.max_connections,
        header_seconds=settings.header_seconds,
        idle_seconds=settings.idle_seconds,
        grace_seconds=settings.shutdown_grace_seconds,
        trusted_proxies=settings.trusted_proxies,
    )
    tracking = TrackingRoutes(keys, recorder, messaging, clock.now, body_seconds=settings.body_seconds)
    webhooks = WebhookRoutes(messaging, body_seconds=settings.body_seconds)
    registry = Registry(runtime.peer("registry10dlc"), seconds=settings.call_seconds)
    registrars = RegistrarRoutes(registry, body_seconds=settings.body_seconds)
    routes = [*tracking.routes(), *webhooks.routes(), *registrars.routes()]
    server.serve(make_app(routes, lambda: server.ready))
    runtime.serve_with(server)


def main() -> None:
    """Be the console command."""
    run_service(GatewaySettings, build, package=PACKAGE, metadata=None, uses_bus=False)


if __name__ == "__main__":
    main()
