import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Has a broker write what the test then reads: every codec, rolls, transactions, a group, a compacted topic. */
public class Scenario {
    static String bootstrap;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            List<NewTopic> topics = new ArrayList<>();
            for (String name : List.of("none", "gzip", "snappy", "lz4", "zstd"))
                topics.add(new NewTopic(name, 1, (short) 1).configs(Map.of("segment.bytes", "1048576")));
            topics.add(new NewTopic("transactions", 2, (short) 1));
            topics.add(new NewTopic("appended", 1, (short) 1).configs(Map.of("message.timestamp.type", "LogAppendTime")));
            topics.add(new NewTopic("recompressed", 1, (short) 1).configs(Map.of("compression.type", "zstd")));
            topics.add(new NewTopic("compacted", 1, (short) 1).configs(Map.of(
                "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "200")));
            admin.createTopics(topics).all().get();
        }
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) write(codec);
        plain("appended", "lz4", 20);
        plain("recompressed", "gzip", 20);
        transactions();
        group();
        compacted(Path.of(args[1], "cleaner-offset-checkpoint"));
    }

    static KafkaProducer<String, String> producer(String codec, Map<String, String> more) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("compression.type", codec);
        config.put("linger.ms", "20");
        config.putAll(more);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    /** Records with headers, nulls and tombstones, then enough noise for several segments. */
    static void write(String codec) {
        Random random = new Random(7);
        try (var producer = producer(codec, Map.of("batch.size", "65536"))) {
            for (int at = 0; at < 200; at++) {
                String key = at % 7 == 0 ? null : "key-" + at % 10;
                String value = at % 11 == 0 ? null : ("value-" + at + " ").repeat(1 + at % 5);
                var record = new ProducerRecord<>(codec, 0, 1_700_000_000_000L + (at * 37) % 200, key, value);
                if (at % 3 == 0) {
                    record.headers().add("h", ("x" + at).getBytes(StandardCharsets.UTF_8));
                    record.headers().add("h", null);
                }
                producer.send(record);
            }
            producer.flush();
            for (int at = 0; at < 160; at++) {
                StringBuilder value = new StringBuilder();
                while (value.length() < 20_000) value.append((char) (33 + random.nextInt(94)));
                producer.send(new ProducerRecord<>(codec, 0, 1_700_000_001_000L + at, "noise", value.toString()));
            }
        }
    }

    static void plain(String topic, String codec, int count) {
        try (var producer = producer(codec, Map.of())) {
            for (int at = 0; at < count; at++)
                producer.send(new ProducerRecord<>(topic, 0, 1_700_000_000_000L + at, "k" + at, "v" + at));
        }
    }

    static void transactions() {
        try (var producer = producer("none", Map.of("transactional.id", "interop"))) {
            producer.initTransactions();
            for (int round = 0; round < 6; round++) {
                producer.beginTransaction();
                for (int at = 0; at < 5; at++)
                    producer.send(new ProducerRecord<>("transactions", at % 2, 1_700_000_000_000L, "r" + round, "v" + at));
                producer.flush();
                if (round % 3 == 1) producer.abortTransaction();
                else producer.commitTransaction();
            }
        }
    }

    static void group() {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("group.id", "readers");
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        for (String protocol : List.of("classic", "consumer")) {
            config.put("group.protocol", protocol);
            config.put("group.id", "readers-" + protocol);
            try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of("transactions"));
                int seen = 0;
                for (int poll = 0; poll < 50 && seen < 30; poll++) seen += consumer.poll(Duration.ofMillis(200)).count();
                consumer.commitSync(Map.of(new TopicPartition("transactions", 0), new OffsetAndMetadata(3, "note")));
            }
        }
    }

    /** Returns once the cleaner has noted that it has been over the topic. */
    static void compacted(Path checkpoint) throws Exception {
        try (var producer = producer("snappy", Map.of("linger.ms", "0"))) {
            for (int round = 0; round < 4; round++) {
                for (int at = 0; at < 20; at++)
                    producer.send(new ProducerRecord<>("compacted", "k" + at, at == 3 ? null : "v" + round));
                producer.flush();
                Thread.sleep(250);
            }
            producer.send(new ProducerRecord<>("compacted", "last", "v"));
        }
        for (int wait = 0; wait < 300; wait++) {
            if (Files.exists(checkpoint) && Files.readString(checkpoint).contains("compacted 0 80"))
                return;
            Thread.sleep(100);
        }
        throw new IllegalStateException("the cleaner did not run");
    }
}
