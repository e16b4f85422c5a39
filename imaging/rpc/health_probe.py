"""Does a service take work? For health checks of containers: `python -m imaging.rpc.health_probe HOST:PORT [NAME]`.

It ends with 0 if so. NAME asks for a part: `liveness`, or `writes` of storage. It speaks plain text, with the service
itself or with its `telemetry.health_address`, and imports little: it is started again and again.
"""

from __future__ import annotations

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_SECONDS = 3.0


def main() -> int:
    """0 if it is SERVING; otherwise 1, with the reason on standard error."""
    if len(sys.argv) not in (2, 3):
        sys.stderr.write("usage: python -m imaging.rpc.health_probe HOST:PORT [NAME]\n")
        return 2
    with grpc.insecure_channel(sys.argv[1]) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service="".join(sys.argv[2:]))
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            sys.stderr.write(f"{sys.argv[1]}: {error.code().name}\n")
            return 1
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        sys.stderr.write(f"{sys.argv[1]}: NOT_SERVING\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
