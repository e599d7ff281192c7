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
    {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 10}},
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
    "total": decimal.Decimal("-" + "1234567890" * 5 + ".0123456789"),
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


def by_hand(client, schema, between, bodies):
    """Payloads that no serializer of confluent-kafka has touched."""
    header = b"\0" + client.register_schema("orders-value", schema).to_bytes(4, "big") + between
    return [(header + body).hex() for body in bodies]


KINDS_FIELDS = [
    {"name": "flag", "type": "boolean"},
    {"name": "single", "type": "float"},
    {"name": "wide", "type": "double"},
    {"name": "raw", "type": "bytes"},
    {"name": "fixed", "type": {"type": "fixed", "name": "Three", "size": 3}},
    {
        "name": "amount",
        "type": {"type": "fixed", "name": "Five", "size": 5, "logicalType": "decimal", "precision": 9, "scale": 2},
    },
    {"name": "time", "type": {"type": "int", "logicalType": "time-millis"}},
    {"name": "choice", "type": ["null", "int", "string"]},
    {"name": "deep", "type": {"type": "array", "items": {"type": "map", "values": json.loads(ITEM)}}},
    {"name": "maybe", "type": ["long", "null"]},
]


def fastavro_write(client, _):
    """Kinds of values that orders lack, written by fastavro alone."""
    schema = {"type": "record", "name": "Kinds", "fields": KINDS_FIELDS}
    first = {
        "flag": True,
        "single": 1.5,
        "wide": 1e300,
        "raw": b"\x00\xff",
        "fixed": b"\x01\x02\x03",
        "amount": decimal.Decimal("-12.50"),
        "time": datetime.time(1, 2, 3, 4000),
        "choice": -7,
        "deep": [{"a": {"sku": "s", "n": 3}}, {}],
        "maybe": -(2**63),
    }
    second = {
        "flag": False,
        "single": -0.25,
        "wide": -0.0,
        "raw": b"",
        "fixed": b"\xff\xff\xff",
        "amount": decimal.Decimal("9999999.99"),
        "time": datetime.time(23, 59, 59, 999000),
        "choice": "ü",
        "deep": [],
        "maybe": None,
    }
    bodies = []
    for row in (first, second, second | {"choice": None, "maybe": 0}):
        body = io.BytesIO()
        fastavro.schemaless_writer(body, schema, row)
        bodies.append(body.getvalue())
    return by_hand(client, Schema(json.dumps(schema), "AVRO"), b"", bodies)


LOOK_UP = {"auto.register.schemas": False}


def avro_exchange(client, payloads):
    """Our rows of a schema with references, and the same rows written by that schema."""
    schema = client.get_latest_version("ours-value").schema
    deserializer = AvroDeserializer(client)
    rows = [deserializer(bytes.fromhex(payload), context("ours")) for payload in payloads]
    serializer = AvroSerializer(client, schema, conf=LOOK_UP)
    return {"rows": rows, "payloads": [serializer(row, context("ours")).hex() for row in rows]}


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


SCALARS = (
    "INT32 SINT32 SFIXED32 UINT32 FIXED32 INT64 SINT64 SFIXED64 UINT64 FIXED64 FLOAT DOUBLE BOOL BYTES".split()
)


def protobuf_package_write(client, _):
    """Every scalar at its ends and at its default, written by the protobuf package alone."""
    file = descriptor_pb2.FileDescriptorProto(name="scalars.proto", package="all", syntax="proto3")
    kind = file.enum_type.add(name="Kind")
    kind.value.add(name="ZERO", number=0)
    kind.value.add(name="ONE", number=1)
    message = file.message_type.add(name="Scalars")
    for number, scalar in enumerate(SCALARS, 1):
        proto_field(message, scalar.lower(), number, scalar)
    proto_field(message, "kind", 15, "ENUM", type_name=".all.Kind")
    proto_field(message, "packed", 16, "INT32", "REPEATED")
    proto_field(message, "loose", 17, "SINT64", "REPEATED").options.packed = False
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    scalars = message_factory.GetMessageClass(pool.FindMessageTypeByName("all.Scalars"))
    ends = [-(2**31)] * 3 + [2**32 - 1] * 2 + [-(2**63)] * 3 + [2**63 - 1] * 2 + [1.5, 1e300, True, b"\x00\xff"]
    values = dict(zip(map(str.lower, SCALARS), ends, strict=True))
    first = scalars(kind=1, packed=[1, -1], loose=[2, -2], **values).SerializeToString()
    bodies = [first, b"", first + scalars(int32=5, packed=[3]).SerializeToString()]
    text = base64.b64encode(file.SerializeToString()).decode()
    # One byte stands for the first message of the file.
    return by_hand(client, Schema(text, "PROTOBUF"), b"\0", bodies)


def proto_class(client, schema_id, name):
    """The class of a message in a file of ours and those that it imports."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)

    def add(file_name, schema):
        for reference in schema.references:
            add(reference.name, client.get_version(reference.subject, reference.version, fmt="serialized").schema)
        file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(schema.schema_str))
        file.name = file_name
        pool.Add(file)

    add("ours.proto", client.get_schema(schema_id, fmt="serialized"))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def protobuf_exchange(client, payloads):
    """Our rows of a file with imports, and the same rows written by that file."""

    def item(row):
        return {"sku": row.sku, "size": {"cm": row.size.cm}}

    order = proto_class(client, client.get_latest_version("ours-value").schema_id, "shop.Order")
    deserializer = ProtobufDeserializer(order, {"use.deprecated.format": False}, client)
    found = [deserializer(bytes.fromhex(payload), context("ours")) for payload in payloads]
    rows = [
        {
            "id": row.id,
            "note": row.note if row.HasField("note") else None,
            "item": item(row.item),
            "items": [item(each) for each in row.items],
        }
        for row in found
    ]
    serializer = ProtobufSerializer(order, client, LOOK_UP | {"use.deprecated.format": False})
    return {"rows": rows, "payloads": [serializer(row, context("ours")).hex() for row in found]}


def protobuf_read(client, payloads):
    """Our rows, read by the deserializer with a class made of the schema that they name."""
    message = proto_class(client, int.from_bytes(bytes.fromhex(payloads[0])[1:5], "big"), "ConnectDefault1")
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


def json_exchange(client, payloads):
    """Our rows of a schema with references, validated by it, and the same rows written by that schema."""
    schema = client.get_latest_version("ours-value").schema
    deserializer = JSONDeserializer(schema, schema_registry_client=client)
    rows = [deserializer(bytes.fromhex(payload), context("ours")) for payload in payloads]
    serializer = JSONSerializer(schema, client, conf=LOOK_UP)
    return {"rows": rows, "payloads": [serializer(row, context("ours")).hex() for row in rows]}


def main():
    command, url = sys.argv[1:]
    client = SchemaRegistryClient({"url": url})
    result = globals()[command](client, json.load(sys.stdin))
    json.dump(result, sys.stdout, default=str)


main()
