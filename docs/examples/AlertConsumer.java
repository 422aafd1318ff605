import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints streamguard's alerts, a line of JSON each: one file to copy and go on from. It needs Java 17 or newer, and
 * the jars of kafka-clients:
 *
 *   java -cp "libs/*" AlertConsumer.java BOOTSTRAP_SERVERS TOPIC GROUP [--until-end]
 *
 * Alerts in structured mode (alerts.mode of the configuration) are printed as they come: the alert is in "data".
 */
public final class AlertConsumer {

    private static final String BINARY = "application/json";
    private static final String STRUCTURED = "application/cloudevents+json";

    /** What the headers of an alert in binary mode say; a header that is not listed may come. */
    private static final Map<String, Predicate<String>> ATTRIBUTES = Map.of(
            "ce_specversion", "1.0"::equals,
            "ce_id", Pattern.compile("[0-9a-f]{32}").asMatchPredicate(),
            "ce_source", text -> text.startsWith("streamguard/"),
            "ce_type", Pattern.compile("streamguard\\.alert\\.(raised|updated|resolved)").asMatchPredicate(),
            "ce_time", Pattern.compile("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z").asMatchPredicate());

    public static void main(String[] arguments) {
        if (arguments.length < 3) {
            System.err.println("usage: AlertConsumer BOOTSTRAP_SERVERS TOPIC GROUP [--until-end]");
            System.exit(2);
        }
        boolean untilEnd = arguments.length > 3 && arguments[3].equals("--until-end");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings(arguments[0], arguments[2]))) {
            consumer.subscribe(Set.of(arguments[1]));
            do {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    handle(record);
                }
                // Only now: whoever dies before this gets them again, and knows them by their id.
                if (!records.isEmpty()) {
                    consumer.commitSync();
                }
            } while (!untilEnd || !isAtEnd(consumer));
        }
    }

    private static Properties settings(String servers, String group) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", servers);
        settings.put("group.id", group);
        // Alerts are written in transactions: without this, those that were aborted would be read, too.
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return settings;
    }

    /** What to do with an alert; here it is printed. */
    private static void handle(ConsumerRecord<byte[], byte[]> record) {
        String contentType = header(record, "content-type");
        if (contentType == null || !contentType.startsWith(STRUCTURED)) {
            check(record, "content-type", BINARY::equals);
            ATTRIBUTES.forEach((name, isRight) -> check(record, name, isRight));
        }
        System.out.println(text(record.value()));
    }

    private static void check(ConsumerRecord<byte[], byte[]> record, String name, Predicate<String> isRight) {
        String found = header(record, name);
        if (found == null || !isRight.test(found)) {
            String where = record.topic() + "-" + record.partition() + "@" + record.offset();
            throw new IllegalStateException(where + " is no alert: header " + name + " is " + found);
        }
    }

    private static String header(ConsumerRecord<byte[], byte[]> record, String name) {
        Header header = record.headers().lastHeader(name);
        return header == null ? null : text(header.value());
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** Whether all that is committed now has been read. */
    private static boolean isAtEnd(KafkaConsumer<?, ?> consumer) {
        Set<TopicPartition> assigned = consumer.assignment();
        Map<TopicPartition, Long> ends = consumer.endOffsets(assigned);
        return !assigned.isEmpty() && assigned.stream().allMatch(each -> consumer.position(each) >= ends.get(each));
    }
}
