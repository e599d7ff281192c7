// Runs Java's serializers: `java Peer.java COMMAND URL` with the payloads to read, or null, on standard input.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.confluent.kafka.schemaregistry.json.JsonSchema;
import io.confluent.kafka.schemaregistry.json.JsonSchemaUtils;
import io.confluent.kafka.schemaregistry.protobuf.ProtobufSchema;
import io.confluent.kafka.serializers.KafkaAvroDeserializer;
import io.confluent.kafka.serializers.KafkaAvroSerializer;
import io.confluent.kafka.serializers.json.KafkaJsonSchemaDeserializer;
import io.confluent.kafka.serializers.json.KafkaJsonSchemaSerializer;
import io.confluent.kafka.serializers.protobuf.KafkaProtobufDeserializer;
import io.confluent.kafka.serializers.protobuf.KafkaProtobufSerializer;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serializer;

public class Peer {
    private static final ObjectMapper JSON = new ObjectMapper();

    private static final String AVRO = """
            {"type": "record", "name": "shop.Order", "fields": [
              {"name": "id", "type": "long"},
              {"name": "name", "type": ["null", "string"], "default": null},
              {"name": "tags", "type": {"type": "array", "items": "string"}},
              {"name": "attrs", "type": {"type": "map", "values": "int"}},
              {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
              {"name": "item", "type": {"type": "record", "name": "Item", "fields": [
                {"name": "sku", "type": "string"}, {"name": "n", "type": "int"}]}}]}""";

    private static final String PROTOBUF = """
            syntax = "proto3";
            package shop;
            import "google/protobuf/timestamp.proto";
            message Order {
              int64 id = 1;
              string name = 2;
              repeated string tags = 3;
              google.protobuf.Timestamp at = 4;
              Item item = 5;
              message Item { string sku = 1; int32 n = 2; }
            }
            message Other { int32 unused = 1; }
            """;

    private static final String JSON_SCHEMA = """
            {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Order", "type": "object", "properties": {
              "id": {"type": "integer"},
              "name": {"oneOf": [{"type": "null"}, {"type": "string"}]},
              "price": {"type": "number"},
              "tags": {"type": "array", "items": {"type": "string"}},
              "attrs": {"type": "object", "additionalProperties": {"type": "integer"}}}}""";

    private static final String JSON_ROWS = """
            [{"id": 7, "name": "bo", "price": 1.5, "tags": ["a", "ü"], "attrs": {"x": 1}},
             {"id": -1, "name": null, "price": 0.5, "tags": [], "attrs": {}}]""";

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> config = new HashMap<>();
        config.put("schema.registry.url", arguments[1]);
        JsonNode input = JSON.readTree(System.in);
        ArrayNode output = switch (arguments[0]) {
            case "avroWrite" -> write(new KafkaAvroSerializer(), config, avroRows());
            case "avroRead" -> read(new KafkaAvroDeserializer(), config, input);
            case "protobufWrite" -> write(new KafkaProtobufSerializer<DynamicMessage>(), config, protobufRows());
            case "protobufRead" -> read(new KafkaProtobufDeserializer<Message>(), config, input);
            case "jsonWrite" -> {
                JsonSchema schema = new JsonSchema(JSON_SCHEMA);
                List<Object> rows = new ArrayList<>();
                for (JsonNode row : JSON.readTree(JSON_ROWS)) {
                    rows.add(JsonSchemaUtils.envelope(schema, row));
                }
                yield write(new KafkaJsonSchemaSerializer<Object>(), config, rows);
            }
            case "jsonRead" -> {
                config.put("json.value.type", JsonNode.class.getName());
                config.put("json.fail.invalid.schema", true);
                yield read(new KafkaJsonSchemaDeserializer<JsonNode>(), config, input);
            }
            default -> throw new IllegalArgumentException(arguments[0]);
        };
        new PrintStream(System.out, true, StandardCharsets.UTF_8).println(output);
    }

    private static <T> ArrayNode write(Serializer<T> serializer, Map<String, Object> config, List<? extends T> rows) {
        serializer.configure(config, false);
        ArrayNode payloads = JSON.createArrayNode();
        for (T row : rows) {
            payloads.add(HexFormat.of().formatHex(serializer.serialize("orders", row)));
        }
        return payloads;
    }

    private static ArrayNode read(Deserializer<?> deserializer, Map<String, Object> config, JsonNode payloads)
            throws Exception {
        deserializer.configure(config, false);
        ArrayNode rows = JSON.createArrayNode();
        for (JsonNode payload : payloads) {
            Object row = deserializer.deserialize("ours", HexFormat.of().parseHex(payload.asText()));
            String text = row instanceof Message message
                    ? JsonFormat.printer().preservingProtoFieldNames().print(message)
                    : row.toString();
            rows.add(JSON.readTree(text));
        }
        return rows;
    }

    private static List<GenericRecord> avroRows() {
        Schema schema = new Schema.Parser().parse(AVRO);
        Schema itemSchema = schema.getField("item").schema();
        List<GenericRecord> rows = new ArrayList<>();
        for (int at = 0; at < 2; at++) {
            GenericRecord item = new GenericData.Record(itemSchema);
            item.put("sku", "s");
            item.put("n", 3);
            GenericRecord row = new GenericData.Record(schema);
            row.put("id", at == 0 ? 7L : -1L);
            row.put("name", at == 0 ? "bo" : null);
            row.put("tags", List.of("a", "ü"));
            row.put("attrs", Map.of("x", 1));
            row.put("kind", new GenericData.EnumSymbol(schema.getField("kind").schema(), "B"));
            row.put("item", item);
            rows.add(row);
        }
        return rows;
    }

    private static List<DynamicMessage> protobufRows() throws Exception {
        DynamicMessage.Builder row = new ProtobufSchema(PROTOBUF).newMessageBuilder();
        DynamicMessage empty = row.build();
        JsonFormat.parser().merge(
                "{\"id\": 7, \"name\": \"bo\", \"tags\": [\"a\", \"ü\"], \"at\": \"1970-01-01T00:00:01Z\","
                        + "\"item\": {\"sku\": \"s\", \"n\": 3}}",
                row);
        return List.of(row.build(), empty);
    }
}
