"""A client without any .proto file: Python's gRPC and its library for server reflection.

Usage: reflection.py ADDRESS PROTO_FOLDER

Lists the services, gets the description of all that they use, and posts a message and lists rooms with messages that it
makes from the descriptions. The folder serves only to compare the descriptions with protoc's. Exits with 0 if all is as
it should be; otherwise an assertion tells what was not.
"""

import os
import subprocess
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

DEADLINE_S = 30
SERVICES = [
    "chatserver.Services",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "hubbub.v1.ChatService",
]


class Contract:
    """What the server says of itself."""

    def __init__(self, channel):
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def method(self, service, name):
        """A method as a function, of the kind that its description says."""
        method = self.pool.FindServiceByName(service).FindMethodByName(name)
        kind = {
            (False, False): self.channel.unary_unary,
            (False, True): self.channel.unary_stream,
            (True, True): self.channel.stream_stream,
        }[method.client_streaming, method.server_streaming]
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        call = kind(
            f"/{service}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return request, call


def check_calls(contract):
    request, post = contract.method("hubbub.v1.ChatService", "PostMessage")
    posted = post(request(room="garden", sender="snake", body="hello"), timeout=DEADLINE_S)
    assert posted.seq == 1 and len(posted.message_id) == 16, posted
    request, rooms = contract.method("hubbub.v1.ChatService", "ListRooms")
    listed = rooms(request(), timeout=DEADLINE_S).rooms
    assert [(room.name, room.head_seq) for room in listed] == [("garden", 1)], listed
    request, health = contract.method("grpc.health.v1.Health", "List")
    statuses = health(request(), timeout=DEADLINE_S).statuses
    assert sorted(statuses) == sorted(["", *SERVICES]), statuses
    assert {state.status for state in statuses.values()} == {1}, statuses


def check_v1(contract):
    """The current package, which this version of the library does not have: called by its own description."""
    request, info = contract.method("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo")
    questions = [
        request(list_services=""),
        request(file_containing_symbol="hubbub.v1.ChatService"),
        request(file_by_filename="nothing.proto"),
    ]
    services, file, error = info(iter(questions), timeout=DEADLINE_S)
    assert [service.name for service in services.list_services_response.service] == SERVICES
    assert len(file.file_descriptor_response.file_descriptor_proto) == 1
    assert error.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0], error
    assert error.original_request == questions[2]


def check_descriptions(contract, folder):
    names = [contract.pool.FindServiceByName(service).file.name for service in SERVICES]
    with tempfile.TemporaryDirectory() as out:
        path = os.path.join(out, "set")
        protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I", folder, f"--descriptor_set_out={path}"]
        subprocess.run([*protoc, *names], check=True)
        with open(path, "rb") as file:
            expected = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    for file in expected.file:
        described = descriptor_pb2.FileDescriptorProto()
        contract.pool.FindFileByName(file.name).CopyToProto(described)
        for proto in (described, file):
            for method in (method for service in proto.service for method in service.method):
                # Empty options are the same as none.
                if not method.options.ListFields():
                    method.ClearField("options")
            for message in proto.message_type:
                clear_json_names(message)
        assert described == file, file.name


def clear_json_names(message):
    """Those that protobuf derives: not every copy of a description has them."""
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        clear_json_names(nested)


def main():
    address, folder = sys.argv[1:]
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        contract = Contract(channel)
        assert sorted(contract.database.get_services()) == SERVICES
        check_descriptions(contract, folder)
        check_calls(contract)
        check_v1(contract)


main()
