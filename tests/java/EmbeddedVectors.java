// Writes opaque bytes by Kafka's own classes and prints what those classes read back from them.
// Arguments: seed, and how many random inputs of each kind and version.
// Standard output, a JSON object a line: kind, version (null where the bytes tell none), bytes_hex (text for the
// metadata of commits), value (Kafka's reading, in upstream's names; the order of maps is Java's, not the wire's).
// Class path: kafka-clients, kafka-streams, connect-runtime.

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.function.Supplier;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.connect.runtime.distributed.ConnectProtocol;
import org.apache.kafka.connect.runtime.distributed.ExtendedAssignment;
import org.apache.kafka.connect.runtime.distributed.ExtendedWorkerState;
import org.apache.kafka.connect.runtime.distributed.IncrementalCooperativeConnectProtocol;
import org.apache.kafka.connect.util.ConnectorTaskId;
import org.apache.kafka.streams.internals.generated.SubscriptionInfoData;
import org.apache.kafka.streams.processor.TaskId;
import org.apache.kafka.streams.processor.assignment.ProcessId;
import org.apache.kafka.streams.processor.internals.ProcessorMetadata;
import org.apache.kafka.streams.processor.internals.TopicPartitionMetadata;
import org.apache.kafka.streams.processor.internals.assignment.AssignmentInfo;
import org.apache.kafka.streams.processor.internals.assignment.SubscriptionInfo;
import org.apache.kafka.streams.state.HostInfo;

public class EmbeddedVectors {
    private static final int LATEST_STREAMS_VERSION = 11;
    private static final int FIRST_NAMED_TOPOLOGY_VERSION = 10;
    private static final int FIRST_OFFSET_SUM_VERSION = 7;
    private static final long RUNNING = -2L;
    private static final long LAST_MILLISECOND_OF_9999 = 253_402_300_799_999L;
    private static final String[] TEXTS = {
        "", "a", "orders", "payments.settled", "nul\0inside", "quote\"back\\slash", "ünïcode-grüße", "消费者组", "emoji😀",
        "x".repeat(127), "y".repeat(300)};
    private static final int[] COUNTS = {0, 0, 1, 1, 2, 3, 5, 20};

    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static PrintStream out;
    private static Random random;

    public static void main(String[] arguments) throws Exception {
        random = new Random(Long.parseLong(arguments[0]));
        int each = Integer.parseInt(arguments[1]);
        out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (int i = 0; i < each; i++) {
            sticky();
            cooperativeSticky();
            connectEager();
            for (boolean sessioned : new boolean[] {false, true}) connectIncremental(sessioned);
            for (int version = 1; version <= LATEST_STREAMS_VERSION; version++) {
                subscription(version);
                assignment(version);
            }
            commitMetadata();
        }
        out.flush();
    }

    // --- The sticky assignors

    private static void sticky() throws Exception {
        List<TopicPartition> held = new ArrayList<>(topicPartitions());
        StickyAssignor assignor = new StickyAssignor();
        assignor.onAssignment(new ConsumerPartitionAssignor.Assignment(held), generation());
        byte[] data = bytes(assignor.subscriptionUserData(Set.of()));
        emit("sticky", null, data, read((Schema) constant(StickyAssignor.class, "STICKY_ASSIGNOR_USER_DATA_V1"), data));

        Schema older = (Schema) constant(StickyAssignor.class, "STICKY_ASSIGNOR_USER_DATA_V0");
        Struct whole = ((Schema) constant(StickyAssignor.class, "STICKY_ASSIGNOR_USER_DATA_V1"))
            .read(ByteBuffer.wrap(data));
        Struct part = new Struct(older).set("previous_assignment", whole.getArray("previous_assignment"));
        ByteBuffer buffer = ByteBuffer.allocate(older.sizeOf(part));
        older.write(buffer, part);
        emit("sticky", null, buffer.array(), read(older, buffer.array()));
    }

    private static void cooperativeSticky() throws Exception {
        CooperativeStickyAssignor assignor = new CooperativeStickyAssignor();
        assignor.onAssignment(new ConsumerPartitionAssignor.Assignment(List.of()), generation());
        byte[] data = bytes(assignor.subscriptionUserData(Set.of()));
        Schema schema = (Schema) constant(CooperativeStickyAssignor.class, "COOPERATIVE_STICKY_ASSIGNOR_USER_DATA_V0");
        emit("cooperative-sticky", null, data, read(schema, data));
    }

    private static ConsumerGroupMetadata generation() {
        return new ConsumerGroupMetadata("group", anyInt(), "member", java.util.Optional.empty());
    }

    // --- Connect

    private static void connectEager() {
        byte[] metadata = bytes(ConnectProtocol.serializeMetadata(new ConnectProtocol.WorkerState(text(), anyLong())));
        emit("connect-metadata", 0, metadata, read(ConnectProtocol.CONFIG_STATE_V0, tail(metadata, 2)));
        byte[] assignment = bytes(ConnectProtocol.serializeAssignment(new ConnectProtocol.Assignment(
            (short) random.nextInt(2), text(), text(), anyLong(), texts(), tasks())));
        emit("connect-assignment", 0, assignment, read(ConnectProtocol.ASSIGNMENT_V0, tail(assignment, 2)));
    }

    private static void connectIncremental(boolean sessioned) {
        int version = sessioned ? 2 : 1;
        ExtendedAssignment given = random.nextInt(4) == 0 ? ExtendedAssignment.empty() : extended((short) version);
        byte[] metadata = bytes(IncrementalCooperativeConnectProtocol.serializeMetadata(
            new ExtendedWorkerState(text(), anyLong(), given), sessioned));
        ByteBuffer buffer = ByteBuffer.wrap(metadata, 2, metadata.length - 2);
        Map<String, Object> value = plain(IncrementalCooperativeConnectProtocol.CONFIG_STATE_V1.read(buffer));
        ByteBuffer allocation = IncrementalCooperativeConnectProtocol.ALLOCATION_V1.read(buffer).getBytes("allocation");
        value.put("allocation", allocation == null ? null : incremental(bytes(allocation)));
        emit("connect-metadata", version, metadata, value);
        byte[] assignment = bytes(
            IncrementalCooperativeConnectProtocol.serializeAssignment(extended((short) version), sessioned));
        Map<String, Object> assigned = incremental(assignment);
        assigned.remove("version");
        emit("connect-assignment", version, assignment, assigned);
    }

    private static Map<String, Object> incremental(byte[] data) {
        Map<String, Object> value = new LinkedHashMap<>();
        value.put("version", ByteBuffer.wrap(data).getShort());
        value.putAll(read(IncrementalCooperativeConnectProtocol.ASSIGNMENT_V1, tail(data, 2)));
        return value;
    }

    private static ExtendedAssignment extended(short version) {
        return new ExtendedAssignment(version, (short) random.nextInt(2), text(), text(), anyLong(),
            texts(), tasks(), texts(), tasks(), anyInt());
    }

    private static List<ConnectorTaskId> tasks() {
        return list(() -> new ConnectorTaskId(text(), random.nextInt(100)));
    }

    // --- Streams

    private static void subscription(int version) throws Exception {
        Map<TaskId, Long> sums = new LinkedHashMap<>();
        for (TaskId task : taskIds(version)) {
            sums.put(task, random.nextInt(3) == 0 ? RUNNING : anyLong());
        }
        Map<String, String> tags = new LinkedHashMap<>();
        for (String key : texts()) tags.put(key, text());
        byte[] data = bytes(new SubscriptionInfo(version, version < 3 ? -1 : LATEST_STREAMS_VERSION,
            new ProcessId(new UUID(anyLong(), anyLong())), random.nextInt(3) == 0 ? null : text(), sums,
            (byte) random.nextInt(256), anyInt(), tags).encode());
        Field field = SubscriptionInfo.class.getDeclaredField("data");
        field.setAccessible(true);
        SubscriptionInfoData read = (SubscriptionInfoData) field.get(SubscriptionInfo.decode(ByteBuffer.wrap(data)));

        Map<String, Object> value = new LinkedHashMap<>();
        if (version >= 3) value.put("latestSupportedVersion", read.latestSupportedVersion());
        value.put("processId", read.processId().toString());
        if (version < FIRST_OFFSET_SUM_VERSION) {
            value.put("prevTasks", generatedTasks(read.prevTasks()));
            value.put("standbyTasks", generatedTasks(read.standbyTasks()));
        }
        if (version >= 2) value.put("userEndPoint", utf8(read.userEndPoint()));
        if (version >= FIRST_OFFSET_SUM_VERSION) value.put("taskOffsetSums", sums(read, version));
        if (version >= 8) value.put("uniqueField", read.uniqueField());
        if (version >= 9) value.put("errorCode", read.errorCode());
        if (version >= 11) {
            List<Object> pairs = new ArrayList<>();
            for (SubscriptionInfoData.ClientTag tag : read.clientTags()) {
                pairs.add(object("key", utf8(tag.key()), "value", utf8(tag.value())));
            }
            value.put("clientTags", pairs);
        }
        emit("streams-subscription", version, data, value);
    }

    private static List<Object> generatedTasks(List<SubscriptionInfoData.TaskId> tasks) {
        List<Object> ids = new ArrayList<>();
        for (SubscriptionInfoData.TaskId task : tasks) {
            ids.add(object("topicGroupId", task.topicGroupId(), "partition", task.partition()));
        }
        return ids;
    }

    private static List<Object> sums(SubscriptionInfoData read, int version) {
        List<Object> sums = new ArrayList<>();
        for (SubscriptionInfoData.TaskOffsetSum sum : read.taskOffsetSums()) {
            if (version >= FIRST_NAMED_TOPOLOGY_VERSION) {
                sums.add(object("topicGroupId", sum.topicGroupId(), "partition", sum.partition(),
                    "offsetSum", sum.offsetSum(), "namedTopology", sum.namedTopology()));
                continue;
            }
            List<Object> partitions = new ArrayList<>();
            for (SubscriptionInfoData.PartitionToOffsetSum partition : sum.partitionToOffsetSum()) {
                partitions.add(object("partition", partition.partition(), "offsetSum", partition.offsetSum()));
            }
            sums.add(object("topicGroupId", sum.topicGroupId(), "partitionToOffsetSum", partitions));
        }
        return sums;
    }

    private static void assignment(int version) {
        Map<TaskId, Set<TopicPartition>> standby = new LinkedHashMap<>();
        for (TaskId task : taskIds(version)) standby.put(task, topicPartitions());
        AssignmentInfo info = new AssignmentInfo(version, LATEST_STREAMS_VERSION, taskIds(version), standby,
            byHost(), byHost(), random.nextInt(5));
        if (random.nextBoolean()) info.setNextRebalanceTime(anyLong());
        byte[] data = bytes(info.encode());
        AssignmentInfo read = AssignmentInfo.decode(ByteBuffer.wrap(data));

        Map<String, Object> value = new LinkedHashMap<>();
        if (version >= 3) value.put("commonlySupportedVersion", read.commonlySupportedVersion());
        List<Object> active = new ArrayList<>();
        for (TaskId task : read.activeTasks()) active.add(task(task, version));
        value.put("activeTasks", active);
        List<Object> standbyTasks = new ArrayList<>();
        for (Map.Entry<TaskId, Set<TopicPartition>> entry : read.standbyTasks().entrySet()) {
            Map<String, Object> task = task(entry.getKey(), version);
            task.put("partitions", pairs(entry.getValue()));
            standbyTasks.add(task);
        }
        value.put("standbyTasks", standbyTasks);
        if (version >= 2) value.put("partitionsByHost", hosts(read.partitionsByHost()));
        if (version >= 6) value.put("standbyPartitionsByHost", hosts(read.standbyPartitionByHost()));
        if (version >= 4) value.put("errCode", read.errCode());
        if (version >= 7) value.put("nextRebalanceMs", read.nextRebalanceMs());
        emit("streams-assignment", version, data, value);
    }

    private static Map<String, Object> task(TaskId id, int version) {
        Map<String, Object> task = object("topicGroupId", id.subtopology(), "partition", id.partition());
        if (version >= FIRST_NAMED_TOPOLOGY_VERSION) task.put("namedTopology", id.topologyName());
        return task;
    }

    private static List<Object> pairs(Collection<TopicPartition> partitions) {
        List<Object> pairs = new ArrayList<>();
        for (TopicPartition partition : partitions) {
            pairs.add(object("topic", partition.topic(), "partition", partition.partition()));
        }
        return pairs;
    }

    private static List<Object> hosts(Map<HostInfo, Set<TopicPartition>> byHost) {
        List<Object> hosts = new ArrayList<>();
        for (Map.Entry<HostInfo, Set<TopicPartition>> entry : byHost.entrySet()) {
            hosts.add(object("host", entry.getKey().host(), "port", entry.getKey().port(),
                "partitions", pairs(entry.getValue())));
        }
        return hosts;
    }

    private static Map<HostInfo, Set<TopicPartition>> byHost() {
        Map<HostInfo, Set<TopicPartition>> byHost = new LinkedHashMap<>();
        for (String host : texts()) byHost.put(new HostInfo(host, anyInt()), topicPartitions());
        return byHost;
    }

    private static List<TaskId> taskIds(int version) {
        boolean named = version >= FIRST_NAMED_TOPOLOGY_VERSION;
        return new ArrayList<>(new LinkedHashSet<>(list(() -> new TaskId(
            random.nextInt(8), random.nextInt(40), named && random.nextInt(3) == 0 ? "t" + text() : null))));
    }

    private static void commitMetadata() throws Exception {
        Map<String, Long> numbers = new LinkedHashMap<>();
        for (String key : texts()) numbers.put(key, anyLong());
        long time = random.nextInt(5) == 0 ? -1 : Math.floorMod(random.nextLong(), LAST_MILLISECOND_OF_9999 + 1);
        String text = new TopicPartitionMetadata(time, new ProcessorMetadata(numbers)).encode();
        TopicPartitionMetadata read = TopicPartitionMetadata.decode(text);
        Field field = ProcessorMetadata.class.getDeclaredField("metadata");
        field.setAccessible(true);
        Map<String, Object> value = object("timestamp", read.partitionTime());
        List<Object> pairs = new ArrayList<>();
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) field.get(read.processorMetadata())).entrySet()) {
            pairs.add(object("key", entry.getKey(), "value", entry.getValue()));
        }
        if (!pairs.isEmpty()) value.put("processorMetadata", pairs);
        emit("streams-metadata", 2, "text", text, value);
    }

    // --- Random inputs

    private static <T> List<T> list(Supplier<T> element) {
        List<T> elements = new ArrayList<>();
        for (int left = COUNTS[random.nextInt(COUNTS.length)]; left > 0; left--) elements.add(element.get());
        return elements;
    }

    private static List<String> texts() {
        return new ArrayList<>(new LinkedHashSet<>(list(EmbeddedVectors::text)));
    }

    private static Set<TopicPartition> topicPartitions() {
        return new LinkedHashSet<>(list(() -> new TopicPartition(text(), anyInt())));
    }

    private static String text() {
        return TEXTS[random.nextInt(TEXTS.length)];
    }

    private static int anyInt() {
        int[] edges = {0, -1, 1, 127, 128, 255, Integer.MAX_VALUE, Integer.MIN_VALUE};
        return random.nextBoolean() ? edges[random.nextInt(edges.length)] : random.nextInt();
    }

    private static long anyLong() {
        return random.nextBoolean() ? anyInt() : random.nextLong();
    }

    // --- Reading and printing

    private static Object constant(Class<?> holder, String name) throws Exception {
        Field field = holder.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(null);
    }

    private static Map<String, Object> read(Schema schema, byte[] data) {
        return plain(schema.read(ByteBuffer.wrap(data)));
    }

    private static Map<String, Object> plain(Struct struct) {
        Map<String, Object> value = new LinkedHashMap<>();
        for (var field : struct.schema().fields()) value.put(field.def.name, plainValue(struct.get(field)));
        return value;
    }

    private static Object plainValue(Object value) {
        if (value instanceof Struct struct) return plain(struct);
        if (value instanceof Object[] array) return Arrays.stream(array).map(EmbeddedVectors::plainValue).toList();
        return value;
    }

    private static Map<String, Object> object(Object... namesAndValues) {
        Map<String, Object> value = new LinkedHashMap<>();
        for (int i = 0; i < namesAndValues.length; i += 2) value.put((String) namesAndValues[i], namesAndValues[i + 1]);
        return value;
    }

    private static String utf8(byte[] data) {
        return new String(data, StandardCharsets.UTF_8);
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] data = new byte[buffer.remaining()];
        buffer.duplicate().get(data);
        return data;
    }

    private static byte[] tail(byte[] data, int from) {
        return Arrays.copyOfRange(data, from, data.length);
    }

    private static void emit(String kind, Integer version, byte[] data, Map<String, Object> value) {
        emit(kind, version, "bytes_hex", HexFormat.of().formatHex(data), value);
    }

    private static void emit(String kind, Integer version, String form, String data, Map<String, Object> value) {
        try {
            out.println(MAPPER.writeValueAsString(object("kind", kind, "version", version, form, data, "value", value)));
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }
}
