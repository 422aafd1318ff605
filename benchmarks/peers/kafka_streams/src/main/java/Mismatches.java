import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;

/** Writes each pair of a prediction and a label up to two hours later that differ. The record keys are the request IDs. */
public final class Mismatches {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final ObjectReader READER = MAPPER.reader();

    record Pair(String prediction, String label) {
        boolean differs() {
            return !prediction.equals(label);
        }
    }

    public static void main(String[] arguments) {
        String predictions = arguments[1], labels = arguments[2], out = arguments[3];
        Properties settings = settings(arguments[0], arguments[4], arguments[5], arguments[6]);
        StreamsBuilder builder = new StreamsBuilder();
        JoinWindows window =
                JoinWindows.ofTimeDifferenceAndGrace(Duration.ofHours(2), Duration.ofHours(6)).before(Duration.ZERO);
        // The stores, and their changelogs, hold the compared values alone.
        values(builder, predictions, "prediction")
                .join(
                        values(builder, labels, "label"),
                        Pair::new,
                        window,
                        StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()))
                .filter((id, pair) -> pair.differs())
                .mapValues(Mismatches::written)
                .to(out, Produced.with(Serdes.String(), Serdes.ByteArray()));
        KafkaStreams streams = new KafkaStreams(builder.build(settings), settings);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
    }

    private static KStream<String, String> values(StreamsBuilder builder, String topic, String field) {
        return builder.stream(topic, Consumed.with(Serdes.String(), Serdes.ByteArray()))
                .mapValues(record -> read(record, field));
    }

    private static String read(byte[] record, String field) {
        try {
            return READER.readTree(record).get(field).asText();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static byte[] written(String id, Pair pair) {
        try {
            return MAPPER.writeValueAsBytes(
                    MAPPER.createObjectNode()
                            .put("request_id", id)
                            .put("prediction", pair.prediction())
                            .put("label", pair.label()));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static Properties settings(String bootstrap, String guarantee, String application, String state) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, state);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1_000);
        settings.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        settings.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.FETCH_MIN_BYTES_CONFIG), 100_000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG), 100);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 262_144);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 134_217_728);
        return settings;
    }
}
