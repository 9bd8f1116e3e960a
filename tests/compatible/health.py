"""Health checks with Python's gRPC and its library for them.

Usage: health.py ADDRESS          checks a server that serves
       health.py --watch ADDRESS  prints each state of a server, and the status with which the stream ends

Exits with 0 if all is as the protocol says; otherwise an assertion tells what was not.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

DEADLINE_S = 30
SERVICES = [
    "",
    "hubbub.v1.ChatService",
    "chatserver.Services",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
]


def name(status):
    return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


def check(stub):
    for service in SERVICES:
        response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_S)
        assert name(response.status) == "SERVING", (service, response)
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=DEADLINE_S)
        raise AssertionError("a service that does not exist was checked")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
    for service, expected in (("", "SERVING"), ("nothing", "SERVICE_UNKNOWN")):
        call = stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=DEADLINE_S)
        assert name(next(call).status) == expected
        call.cancel()


def watch(stub):
    call = stub.Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
    try:
        for response in call:
            print(name(response.status), flush=True)
        print("OK", flush=True)
    except grpc.RpcError as error:
        print(error.code().name, flush=True)


def main():
    *mode, address = sys.argv[1:]
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        if mode == ["--watch"]:
            watch(stub)
        else:
            check(stub)


main()
