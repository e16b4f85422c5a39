"""Which request goes to which service, and what is checked on the way."""

from __future__ import annotations

import re
from typing import Any, Final

from imaging.front.entry import ENTRY, certificate_of_front
from imaging.rpc.loopback import split_address
from imaging.settings import SERVICE_NAMES, ServiceName, Settings

GATEWAY_ALONE: Final = (
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)
"""gRPC services that each server has: those of the gateway are reached."""

BREAKER: Final = {
    "expression": "NetworkErrorRatio() > 0.50",
    "checkPeriod": "100ms",
    # A service that was restarted is back within a second or two, and shall not be kept waiting for callers.
    "fallbackDuration": "1s",
    "recoveryDuration": "1s",
}
"""While most calls to a service fail for the network, further ones are refused at once (503, UNAVAILABLE)."""

GRPC_ALONE: Final = "(HeaderRegexp(`Content-Type`, `^application/grpc`) || Method(`OPTIONS`))"
"""gRPC servers take a call of any content type. A page of another site may send a form or plain text without asking,
and must not call a service by it; for `application/grpc…` its browser asks first, and `grpc-web` knows whom to
allow."""

_NAMES: tuple[ServiceName, ...] = SERVICE_NAMES


def routes(settings: Settings) -> dict[str, Any]:
    """The dynamic configuration: routers, middlewares, services and certificates."""
    checks = ["breaker"]
    middlewares: dict[str, Any] = {
        "breaker": {"circuitBreaker": BREAKER},
        # A browser may not send it, and gRPC servers refuse calls without.
        "trailers": {"headers": {"customRequestHeaders": {"Te": "trailers"}}},
        "grpc-web": {"grpcWeb": {"allowOrigins": list(settings.gateway.http_cors_origins)}},
    }
    if settings.front.requests_per_second:
        rate = settings.front.requests_per_second
        middlewares["rate"] = {"rateLimit": {"average": rate, "burst": 2 * rate}}
        checks.insert(0, "rate")
    is_call = f"{GRPC_ALONE}{_own_name(settings)}"
    routers: dict[str, Any] = {
        name: _router(f"{_calls_of(name)} && {is_call}", name, [*checks, "trailers", "grpc-web"], priority=100)
        for name in _NAMES
    }
    routers["web"] = _router("PathPrefix(`/`)", "web", checks, priority=1)
    told: dict[str, Any] = {
        "routers": routers,
        "middlewares": middlewares,
        "services": {
            **{name: _service(settings, settings.address(name), "h2c") for name in _NAMES},
            "web": _service(settings, settings.gateway.http_address, "http"),
        },
        "serversTransports": {"inside": _transport(settings)},
    }
    pair = certificate_of_front(settings)
    if pair is None:
        return {"http": told}
    certificate = {"certFile": str(pair[0].absolute()), "keyFile": str(pair[1].absolute())}
    default = {"minVersion": "VersionTLS12"}
    return {
        "http": told,
        "tls": {
            "certificates": [certificate],
            "stores": {"default": {"defaultCertificate": certificate}},
            "options": {"default": default},
        },
    }


def _router(rule: str, service: str, middlewares: list[str], priority: int) -> dict[str, Any]:
    return {
        "rule": rule,
        "service": service,
        "entryPoints": [ENTRY],
        "middlewares": middlewares,
        "priority": priority,
    }


def _calls_of(name: ServiceName) -> str:
    prefixes = [f"PathPrefix(`/imaging.{name}.v1.`)"]
    if name == "gateway":
        prefixes += [f"PathPrefix(`/{service}/`)" for service in GATEWAY_ALONE]
    return f"({' || '.join(prefixes)})"


def _own_name(settings: Settings) -> str:
    """The rule that a call comes by a name of ours or an address.

    A page of another site that points its own name to this address (DNS rebinding) must not reach gRPC; what goes to
    the web is checked there by the same list. An IPv6 address has two colons at least: `cafe` is a name.
    """
    names = {"localhost", *settings.gateway.http_hosts}
    if "*" in names:
        return ""
    own, _ = split_address(settings.front.address)
    by_name = [f"Host(`{name}`)" for name in sorted({*names, own} - {""}) if re.fullmatch(r"[A-Za-z0-9._-]+", name)]
    return " && (" + " || ".join([*by_name, r"HostRegexp(`^([0-9.]+|\[?[0-9A-Fa-f]*(:[0-9A-Fa-f]*){2,}\]?)$`)"]) + ")"


def _service(settings: Settings, addresses: str, scheme: str) -> dict[str, Any]:
    encrypted = settings.security.certificate_file is not None
    urls = [f"{'https' if encrypted else scheme}://{_reached(address)}" for address in addresses.split(",")]
    told: dict[str, Any] = {
        "servers": [{"url": url} for url in urls],
        "passHostHeader": True,
        "serversTransport": "inside",
    }
    return {"loadBalancer": told}


def _reached(address: str) -> str:
    """Where a service that listens everywhere is reached from this machine."""
    host, port = split_address(address)
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    return f"{here.get(host, f'[{host}]' if ':' in host else host)}:{port}"


def _transport(settings: Settings) -> dict[str, Any]:
    # Shorter than the gateway keeps an idle connection, so that none is used just when it is closed.
    told: dict[str, Any] = {"forwardingTimeouts": {"dialTimeout": "5s", "idleConnTimeout": "55s"}}
    if settings.security.ca_file is not None:
        told["rootCAs"] = [str(settings.security.ca_file.absolute())]
    if settings.security.server_name:
        told["serverName"] = settings.security.server_name
    return told
