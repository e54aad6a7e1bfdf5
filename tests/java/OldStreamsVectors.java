// Writes the user data of Kafka Streams 1.1.1 by its own classes, which put all of version 2 under version 1 as well.
// Arguments: seed, and how many random inputs of each kind and version. Prints lines as EmbeddedVectors does; value is
// what was written, since the classes read version 1 without its last field.
// Class path: kafka-streams 1.1.1.

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintStream;
import java.lang.reflect.Constructor;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.processor.TaskId;
import org.apache.kafka.streams.processor.internals.assignment.AssignmentInfo;
import org.apache.kafka.streams.processor.internals.assignment.SubscriptionInfo;
import org.apache.kafka.streams.state.HostInfo;

public class OldStreamsVectors {
    private static final String[] TEXTS = {"a", "orders", "payments.settled", "ünïcode-grüße", "x".repeat(127)};

    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static PrintStream out;
    private static Random random;

    public static void main(String[] arguments) throws Exception {
        random = new Random(Long.parseLong(arguments[0]));
        out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (int i = 0; i < Integer.parseInt(arguments[1]); i++) {
            for (int version = 1; version <= 2; version++) {
                subscription(version);
                assignment(version);
            }
        }
        out.flush();
    }

    private static void subscription(int version) throws Exception {
        UUID process = new UUID(random.nextLong(), random.nextLong());
        Set<TaskId> previous = tasks();
        Set<TaskId> standby = tasks();
        String endPoint = random.nextBoolean() ? null : text();
        ByteBuffer data = new SubscriptionInfo(version, process, previous, standby, endPoint).encode();
        ByteBuffer id = ByteBuffer.allocate(16);
        id.putLong(process.getMostSignificantBits()).putLong(process.getLeastSignificantBits());
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("processId", java.util.Base64.getUrlEncoder().withoutPadding().encodeToString(id.array()));
        value.put("prevTasks", ids(previous));
        value.put("standbyTasks", ids(standby));
        value.put("userEndPoint", endPoint == null ? "" : endPoint);
        emit("streams-subscription", version, data, value);
    }

    private static void assignment(int version) throws Exception {
        List<TaskId> active = new ArrayList<>(tasks());
        Map<TaskId, Set<TopicPartition>> standby = new LinkedHashMap<>();
        for (TaskId task : tasks()) standby.put(task, partitions());
        Map<HostInfo, Set<TopicPartition>> byHost = new LinkedHashMap<>();
        for (int left = random.nextInt(3); left > 0; left--) {
            byHost.put(new HostInfo(text(), random.nextInt(65536)), partitions());
        }
        Constructor<AssignmentInfo> constructor = AssignmentInfo.class.getDeclaredConstructor(
            int.class, List.class, Map.class, Map.class);
        constructor.setAccessible(true);
        ByteBuffer data = constructor.newInstance(version, active, standby, byHost).encode();
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("activeTasks", ids(active));
        List<Object> standbyTasks = new ArrayList<>();
        for (Map.Entry<TaskId, Set<TopicPartition>> entry : standby.entrySet()) {
            Map<String, Object> task = id(entry.getKey());
            task.put("partitions", pairs(entry.getValue()));
            standbyTasks.add(task);
        }
        value.put("standbyTasks", standbyTasks);
        List<Object> hosts = new ArrayList<>();
        for (Map.Entry<HostInfo, Set<TopicPartition>> entry : byHost.entrySet()) {
            Map<String, Object> host = new LinkedHashMap<>();
            host.put("host", entry.getKey().host());
            host.put("port", entry.getKey().port());
            host.put("partitions", pairs(entry.getValue()));
            hosts.add(host);
        }
        value.put("partitionsByHost", hosts);
        emit("streams-assignment", version, data, value);
    }

    private static Set<TaskId> tasks() {
        Set<TaskId> tasks = new LinkedHashSet<>();
        for (int left = random.nextInt(4); left > 0; left--) tasks.add(new TaskId(random.nextInt(8), random.nextInt(40)));
        return tasks;
    }

    private static Set<TopicPartition> partitions() {
        Set<TopicPartition> partitions = new LinkedHashSet<>();
        for (int left = random.nextInt(4); left > 0; left--) {
            partitions.add(new TopicPartition(text(), random.nextInt(100)));
        }
        return partitions;
    }

    private static String text() {
        return TEXTS[random.nextInt(TEXTS.length)];
    }

    private static List<Object> ids(Iterable<TaskId> tasks) {
        List<Object> ids = new ArrayList<>();
        for (TaskId task : tasks) ids.add(id(task));
        return ids;
    }

    private static Map<String, Object> id(TaskId task) {
        Map<String, Object> id = new LinkedHashMap<>();
        id.put("topicGroupId", task.topicGroupId);
        id.put("partition", task.partition);
        return id;
    }

    private static List<Object> pairs(Iterable<TopicPartition> partitions) {
        List<Object> pairs = new ArrayList<>();
        for (TopicPartition partition : partitions) {
            Map<String, Object> pair = new LinkedHashMap<>();
            pair.put("topic", partition.topic());
            pair.put("partition", partition.partition());
            pairs.add(pair);
        }
        return pairs;
    }

    private static void emit(String kind, int version, ByteBuffer data, Map<String, Object> value) throws Exception {
        byte[] bytes = new byte[data.remaining()];
        data.duplicate().get(bytes);
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("kind", kind);
        line.put("version", version);
        if (version == 1) line.put("shape", "1.1.1");
        line.put("bytes_hex", HexFormat.of().formatHex(bytes));
        line.put("value", value);
        out.println(MAPPER.writeValueAsString(line));
    }
}
