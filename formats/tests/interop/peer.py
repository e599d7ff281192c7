"""What confluent-kafka's serializers and deserializers do with our registry, one command per run.

The command and the registry's address are arguments, its input is JSON on standard input, its result JSON on standard
output. Payloads are in hexadecimal.
"""

import base64
import datetime
import decimal
import io
import json
import sys

import fastavro
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2

UTC = datetime.timezone.utc


def context(topic):
    return SerializationContext(topic, MessageField.VALUE)


def refused(code, function, *arguments, **options):
    try:
        function(*arguments, **options)
    except SchemaRegistryError as error:
        assert error.error_code == code, error
    else:
        raise AssertionError(f"not refused with {code}")


def registry(client, _):
    """The administration that the client offers, refusals included."""
    first = Schema('{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}', "AVRO")
    wider = Schema(
        '{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}',
        "AVRO",
    )
    broken = Schema('{"type":"record","name":"R","fields":[{"name":"c","type":"string"}]}', "AVRO")
    subject = "admin/a b-value"
    assert client.register_schema(subject, first) == client.register_schema(subject, first)
    second = client.register_schema(subject, wider)
    assert client.get_subjects() == [subject]
    assert client.get_versions(subject) == [1, 2]
    assert client.get_latest_version(subject).schema_id == second
    assert json.loads(client.get_schema(second).schema_str) == json.loads(wider.schema_str)
    assert client.lookup_schema(subject, first).version == 1
    assert client.test_compatibility(subject, first)
    assert not client.test_compatibility(subject, broken)
    assert not client.test_compatibility_all_versions(subject, broken)
    refused(409, client.register_schema, subject, broken)
    refused(40401, client.get_versions, "nobody")
    refused(40402, client.get_version, subject, 9)
    refused(42201, client.register_schema, subject, Schema("{", "AVRO"))
    refused(42203, client.set_compatibility, subject, "SIDEWAYS")
    refused(40408, client.get_compatibility, subject)
    assert client.get_compatibility() == "BACKWARD"
    client.set_compatibility(subject, "NONE")
    assert client.get_compatibility(subject) == "NONE"
    client.register_schema(subject, broken)
    assert client.get_global_mode() == "READWRITE"
    client.update_mode(subject, "READONLY")
    assert client.get_mode(subject) == "READONLY"
    refused(42205, client.delete_subject, subject)
    client.delete_mode(subject)
    in_context = Schema('"string"', "AVRO")
    assert client.register_schema(":.ctx:s", in_context) == 1
    assert client.get_contexts() == [".", ".ctx"]
    assert client.delete_version(subject, 1) == 1
    refused(40405, client.delete_subject, subject, permanent=True)
    assert client.delete_subject(subject) == [2, 3]
    assert client.delete_subject(subject, permanent=True) == [1, 2, 3]
    assert client.get_subjects(subject_prefix="") == []
    return "done"


ITEM = '{"type":"record","name":"shop.Item","fields":[{"name":"sku","type":"string"},{"name":"n","type":"int"}]}'
ORDER_FIELDS = [
    {"name": "id", "type": "long"},
    {"name": "name", "type": ["null", "string"], "default": None},
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "attrs", "type": {"type": "map", "values": "int"}},
    {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
    {"name": "item", "type": "shop.Item"},
]
ORDER = {
    "id": 7,
    "name": "bo",
    "amount": decimal.Decimal("12.50"),
    "at": datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    "day": datetime.date(2021, 1, 31),
    "tags": ["a", "ü"],
    "attrs": {"x": 1},
    "kind": "B",
    "item": {"sku": "s", "n": 3},
}


def avro_write(client, _):
    """Two versions of a record with a reference."""
    client.register_schema("item", Schema(ITEM, "AVRO"))
    references = [SchemaReference("shop.Item", "item", 1)]
    note = {"name": "note", "type": "string", "default": "none"}
    payloads = []
    for fields, rows in (
        (ORDER_FIELDS, [ORDER, ORDER | {"id": -1, "name": None, "tags": [], "attrs": {}}]),
        ([note] + ORDER_FIELDS, [ORDER | {"note": "new"}]),
    ):
        text = json.dumps({"type": "record", "name": "shop.Order", "fields": fields})
        serializer = AvroSerializer(client, Schema(text, "AVRO", references))
        payloads += [serializer(row, context("orders")).hex() for row in rows]
    return payloads


def avro_read(client, payloads):
    """Our rows, read by the deserializer, and by fastavro from the schema that they name."""
    deserializer = AvroDeserializer(client)
    rows = []
    for payload in map(bytes.fromhex, payloads):
        row = deserializer(payload, context("ours"))
        schema = json.loads(client.get_schema(int.from_bytes(payload[1:5], "big")).schema_str)
        assert row == fastavro.schemaless_reader(io.BytesIO(payload[5:]), schema), row
        rows.append(row)
    # A reader of its own schema gets defaults for what we never wrote.
    fields = [{"name": "ID", "type": ["null", "long"]}, {"name": "EXTRA", "type": "string", "default": "none"}]
    text = json.dumps({"type": "record", "name": schema["name"], "namespace": schema["namespace"], "fields": fields})
    evolved = AvroDeserializer(client, text)(bytes.fromhex(payloads[0]), context("ours"))
    return {"rows": rows, "evolved": evolved}


def proto_field(message, name, number, kind, label="OPTIONAL", type_name=None):
    field = message.field.add(name=name, number=number)
    field.type = getattr(descriptor_pb2.FieldDescriptorProto, "TYPE_" + kind)
    field.label = getattr(descriptor_pb2.FieldDescriptorProto, "LABEL_" + label)
    if type_name:
        field.type_name = type_name
    return field


def proto_order(with_note):
    """The class of a message that refers to another file, in one of two versions."""
    item = descriptor_pb2.FileDescriptorProto(name="shop/item.proto", package="shop", syntax="proto3")
    message = item.message_type.add(name="Item")
    proto_field(message, "sku", 1, "STRING")
    proto_field(message, "n", 2, "INT32")
    order = descriptor_pb2.FileDescriptorProto(name="shop/order.proto", package="shop", syntax="proto3")
    order.dependency.extend(["shop/item.proto", "google/protobuf/timestamp.proto"])
    order.message_type.add(name="Unused")
    message = order.message_type.add(name="Order")
    proto_field(message, "id", 1, "INT64")
    proto_field(message, "name", 2, "STRING")
    proto_field(message, "tags", 3, "STRING", "REPEATED")
    entry = message.nested_type.add(name="AttrsEntry")
    entry.options.map_entry = True
    proto_field(entry, "key", 1, "STRING")
    proto_field(entry, "value", 2, "INT32")
    proto_field(message, "attrs", 4, "MESSAGE", "REPEATED", ".shop.Order.AttrsEntry")
    proto_field(message, "at", 5, "MESSAGE", type_name=".google.protobuf.Timestamp")
    proto_field(message, "item", 6, "MESSAGE", type_name=".shop.Item")
    if with_note:
        proto_field(message, "note", 7, "STRING")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(item)
    pool.Add(order)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))


def protobuf_write(client, _):
    """Two versions of a message that is not the first of its file and refers to another file."""
    payloads = []
    for with_note in (False, True):
        order = proto_order(with_note)
        serializer = ProtobufSerializer(order, client, {"use.deprecated.format": False})
        row = order(id=7, name="bo", tags=["a", "ü"], attrs={"x": 1}, item={"sku": "s", "n": 3})
        row.at.FromSeconds(1)
        if with_note:
            row.note = "new"
        payloads.append(serializer(row, context("orders")).hex())
    return payloads


def protobuf_read(client, payloads):
    """Our rows, read by the deserializer with a class made of the schema that they name."""
    schema_id = int.from_bytes(bytes.fromhex(payloads[0])[1:5], "big")
    file = descriptor_pb2.FileDescriptorProto.FromString(
        base64.b64decode(client.get_schema(schema_id, fmt="serialized").schema_str)
    )
    file.name = "ours.proto"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("ConnectDefault1"))
    deserializer = ProtobufDeserializer(message, {"use.deprecated.format": False}, client)
    rows = []
    for payload in map(bytes.fromhex, payloads):
        row = deserializer(payload, context("ours"))
        # One byte stands for the first message of the file; behind it is what the protobuf package writes.
        assert row == message.FromString(payload[6:]), row
        rows.append(json_format.MessageToDict(row, preserving_proto_field_name=True))
    return rows


JSON_ITEM = '{"title":"Item","type":"object","properties":{"sku":{"type":"string"},"n":{"type":"integer"}}}'
JSON_ORDER = {
    "title": "Order",
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"oneOf": [{"type": "null"}, {"type": "string"}]},
        "price": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "attrs": {"type": "object", "additionalProperties": {"type": "integer"}},
        "item": {"$ref": "item.json"},
    },
}


def json_write(client, _):
    """Two versions of an object with a reference."""
    client.register_schema("item.json", Schema(JSON_ITEM, "JSON"))
    references = [SchemaReference("item.json", "item.json", 1)]
    row = {
        "id": 7,
        "name": "bo",
        "price": 1.5,
        "tags": ["a", "ü"],
        "attrs": {"x": 1},
        "item": {"sku": "s", "n": 3},
    }
    payloads = []
    client.set_compatibility("orders-value", "NONE")
    for note in ({}, {"note": {"type": "string"}}):
        text = json.dumps(JSON_ORDER | {"properties": JSON_ORDER["properties"] | note})
        serializer = JSONSerializer(Schema(text, "JSON", references), client)
        rows = [row | {name: "new" for name in note}, row | {"name": None}]
        payloads += [serializer(row, context("orders")).hex() for row in rows]
    return payloads


def json_read(client, payloads):
    """Our rows, read and validated by the deserializer against the schema that they name."""
    rows = []
    for payload in map(bytes.fromhex, payloads):
        schema = client.get_schema(int.from_bytes(payload[1:5], "big"))
        rows.append(JSONDeserializer(schema, schema_registry_client=client)(payload, context("ours")))
    return rows


def main():
    command, url = sys.argv[1:]
    client = SchemaRegistryClient({"url": url})
    result = globals()[command](client, json.load(sys.stdin))
    json.dump(result, sys.stdout, default=str)


main()
