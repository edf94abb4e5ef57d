"""The Open Inference Protocol over gRPC, as a process of its own."""

import logging
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from luthier.server import check_bind, check_database
from models.errors import SettingError
from models.settings import Settings, is_loopback

log = logging.getLogger(__name__)

_GRACE = 10.0  # seconds in which calls that run may end


def run_grpc(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the calls that run.

    Raises SettingError for an address that is not allowed or in use, and SchemaError for a database
    of another version.
    """
    import grpc

    host, port = settings.grpc_address
    check_bind(replace(settings, bind=settings.grpc_bind), "LUTHIER_GRPC_BIND")
    check_database(settings)

    from api.app import build_services
    from api.dialects.grpc_service import InferenceService

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    found = build_services(settings)
    found.readiness.is_draining = stop.is_set
    service = InferenceService(found, is_open=settings.allow_anonymous or is_loopback(host))
    options = [
        ("grpc.max_receive_message_length", settings.max_json_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # another process at this address is an error
    ]
    threads = ThreadPoolExecutor(settings.api_threads, "grpc")
    server = grpc.server(threads, (service.handler(),), options=options)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise SettingError(f"LUTHIER_GRPC_BIND={settings.grpc_bind!r}: {error}") from None
    found.routes.refresh_soon()  # loads the versions that aliases name
    found.recorder.start()
    server.start()
    log.info("gRPC is served at %s", settings.grpc_bind)
    stop.wait()
    if settings.drain_seconds:
        threading.Event().wait(settings.drain_seconds)
    server.stop(_GRACE).wait()
    found.recorder.close()
    found.database.close()
