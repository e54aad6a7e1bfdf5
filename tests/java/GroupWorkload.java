import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * Arguments: bootstrap servers, "classic" or "consumer" (which group protocols), rounds.
 * Groups commit, members come and go, transactions commit and abort, groups are deleted.
 */
class GroupWorkload {
    static String servers;

    static Map<String, Object> config(Object... pairs) {
        Map<String, Object> map = new HashMap<>(Map.of("bootstrap.servers", servers));
        for (int i = 0; i < pairs.length; i += 2) map.put((String) pairs[i], pairs[i + 1]);
        return map;
    }

    static KafkaConsumer<String, String> consumer(String group, String protocol) {
        Map<String, Object> map = config("group.id", group, "enable.auto.commit", false, "auto.offset.reset", "earliest");
        if (protocol.equals("consumer")) map.put("group.protocol", "consumer");
        else map.put("heartbeat.interval.ms", 200);
        return new KafkaConsumer<>(map, new StringDeserializer(), new StringDeserializer());
    }

    static void consume(String group, String protocol, int rounds) {
        try (var first = consumer(group, protocol); var second = consumer(group, protocol)) {
            first.subscribe(List.of("orders"));
            second.subscribe(List.of("orders"));
            long deadline = System.currentTimeMillis() + 20_000;
            while (second.assignment().isEmpty() || first.assignment().isEmpty()) {
                first.poll(Duration.ofMillis(100));
                second.poll(Duration.ofMillis(100));
                if (System.currentTimeMillis() > deadline) throw new IllegalStateException("no assignment");
            }
            for (int i = 0; i < rounds; i++) {
                for (var member : List.of(first, second)) {
                    var offsets = new HashMap<TopicPartition, OffsetAndMetadata>();
                    for (var partition : member.assignment()) offsets.put(partition, new OffsetAndMetadata(i, "round " + i));
                    member.poll(Duration.ZERO);
                    try { member.commitSync(offsets); } catch (CommitFailedException e) { }
                }
            }
        }
    }

    static void transact(String group, int rounds) {
        var map = config("transactional.id", group + "-tx", "transaction.timeout.ms", 60000);
        try (var producer = new KafkaProducer<>(map, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            for (int i = 0; i < rounds; i++) {
                producer.beginTransaction();
                for (int p = 0; p < 4; p++)
                    producer.sendOffsetsToTransaction(
                        Map.of(new TopicPartition("orders", p), new OffsetAndMetadata(1000 + i, "tx")),
                        new ConsumerGroupMetadata(group));
                if (i % 3 == 2) producer.abortTransaction(); else producer.commitTransaction();
            }
        }
    }

    public static void main(String[] args) throws Exception {
        servers = args[0];
        int rounds = Integer.parseInt(args[2]);
        try (var admin = Admin.create(config())) {
            try {
                admin.createTopics(List.of(new NewTopic("orders", 4, (short) 1))).all().get();
            } catch (java.util.concurrent.ExecutionException e) { } // is there already
            for (int g = 0; g < 2; g++) {
                consume("classic-" + g, "classic", rounds);
                if (args[1].equals("consumer")) consume("consumer-" + g, "consumer", rounds);
                transact("exactly-once-" + g, rounds);
            }
            for (int g = 0; g < 6; g++)
                admin.alterConsumerGroupOffsets("simple-" + g,
                    Map.of(new TopicPartition("orders", 0), new OffsetAndMetadata(g, "\u00fc\"\n"))).all().get();
            admin.deleteConsumerGroups(List.of("classic-0", "simple-1", "exactly-once-1")).all().get();
            System.out.println("done");
        }
    }
}
