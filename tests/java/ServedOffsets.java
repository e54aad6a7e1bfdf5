import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/**
 * Arguments: bootstrap servers, then "fill" (write a topic, offsets, transactions with deletions in between, and one
 * transaction that stays open) or "list": a line for each committed offset that the broker serves, tab-separated:
 * group, topic, partition, offset, leader epoch (-1 = none), metadata; texts in base64.
 */
class ServedOffsets {
    static Map<String, Object> config;
    static final TopicPartition PLACE = new TopicPartition("shelves", 0), OTHER = new TopicPartition("shelves", 1);

    static Map<TopicPartition, OffsetAndMetadata> offset(TopicPartition place, long offset, String metadata) {
        return Map.of(place, new OffsetAndMetadata(offset, metadata));
    }

    static KafkaProducer<String, String> open(String group, TopicPartition place, long offset) {
        var map = new HashMap<>(config);
        map.put("transactional.id", group + "-" + offset);
        var producer = new KafkaProducer<>(map, new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        producer.beginTransaction();
        producer.sendOffsetsToTransaction(offset(place, offset, "transaction"), new ConsumerGroupMetadata(group));
        return producer;
    }

    static void fill(Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic("shelves", 2, (short) 1))).all().get();
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < 2000; i++) producer.send(new ProducerRecord<>("shelves", i % 2, "key", "value"));
        }
        for (String group : List.of("plain", "gr\u00fcn, \"quoted\"", "overtaken", "offset-deleted", "group-deleted", "kept"))
            for (int i = 0; i < 20; i++)
                admin.alterConsumerGroupOffsets(group, offset(i % 2 == 0 ? PLACE : OTHER, i * 3, "n " + i)).all().get();
        // The transactional offset comes first; what happens then differs.
        var overtaken = open("overtaken", PLACE, 500);
        admin.alterConsumerGroupOffsets("overtaken", offset(PLACE, 501, "later")).all().get();
        overtaken.commitTransaction();
        var deleted = open("offset-deleted", PLACE, 502);
        admin.deleteConsumerGroupOffsets("offset-deleted", Set.of(PLACE)).all().get();
        deleted.commitTransaction();
        var gone = open("group-deleted", PLACE, 503);
        admin.deleteConsumerGroups(List.of("group-deleted")).all().get();
        gone.commitTransaction();
        open("kept", PLACE, 504).commitTransaction();
        open("kept", OTHER, 505).abortTransaction();
        var second = open("kept", OTHER, 507);
        open("kept", OTHER, 508).commitTransaction();
        second.commitTransaction(); // written earlier, so it loses
        open("plain", PLACE, 509);
    }

    static void list(Admin admin) throws Exception {
        var base64 = Base64.getEncoder();
        for (var group : admin.listConsumerGroups().all().get()) {
            var found = admin.listConsumerGroupOffsets(group.groupId()).partitionsToOffsetAndMetadata().get();
            for (var entry : found.entrySet()) {
                if (entry.getValue() == null) continue;
                System.out.println(String.join("\t",
                    base64.encodeToString(group.groupId().getBytes(StandardCharsets.UTF_8)),
                    base64.encodeToString(entry.getKey().topic().getBytes(StandardCharsets.UTF_8)),
                    "" + entry.getKey().partition(), "" + entry.getValue().offset(),
                    "" + entry.getValue().leaderEpoch().orElse(-1),
                    base64.encodeToString(entry.getValue().metadata().getBytes(StandardCharsets.UTF_8))));
            }
        }
    }

    public static void main(String[] args) throws Exception {
        config = Map.of("bootstrap.servers", args[0]);
        try (var admin = Admin.create(config)) {
            if (args[1].equals("fill")) fill(admin); else list(admin);
        }
        System.out.flush();
        Runtime.getRuntime().halt(0); // leaves the last transaction open, as a process does that dies
    }
}
